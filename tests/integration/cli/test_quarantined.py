"""What was accepted and cannot be processed: seen in shell, status, API and page, and tried again after an upgrade."""

from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.log.codec import encode
from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter
from tabard.log.quarantine import Quarantine, QuarantinedRecord
from tabard.message.types import CONTROL, RECORD_VERSION, SERVER_TRUST, Record
from tabard.storage.sqlite import installation as layout
from tabard.testing.installation import Installation, eventually, running

UNREADABLE = b"\xffno record\x1b[31m <script>alert(1)</script>" + b"x" * 5000
NOW_MS = SystemClock().now_ms()


def record(source: str, user: str, version: int = RECORD_VERSION) -> bytes:
    body = {"userId": user, "messageId": f"m-{user}", "type": "identify", "traits": {"plan": "pro"}}
    return encode(
        Record(
            version=version,
            source=source,
            type="identify",
            trust=int(SERVER_TRUST),
            received_at=NOW_MS,
            body=msgspec.json.encode(body),
        )
    )


def control(body: dict[str, Any]) -> bytes:
    return encode(
        Record(
            version=RECORD_VERSION,
            source="",
            type=CONTROL,
            trust=int(SERVER_TRUST),
            received_at=NOW_MS,
            body=msgspec.json.encode(body),
        )
    )


def append(data: Path, *values: bytes) -> None:
    """Puts records where the doors put them, as one of another release would."""
    log = SqliteLogWriter(layout.Installation(data).log, 0, LogOptions(lock_wait_s=5), SystemClock())
    try:
        log.append(list(values))
    finally:
        log.close()


def books(tabard: Installation) -> dict[str, int]:
    found: dict[str, int] = tabard.get("/api/status")["books"]
    return found


def shown(tabard: Installation, *words: str) -> dict[str, Any]:
    document = tabard.tabard("quarantined", *words)
    assert isinstance(document, dict)
    return document


def page(tabard: Installation, path: str) -> str:
    request = Request(tabard.web + path, headers={"Authorization": f"Bearer {tabard.admin_token}"})
    with urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_record_that_is_none_is_passed_counted_and_shown_everywhere_with_reason_and_a_bounded_preview(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "data") as tabard:
        append(tabard.data, UNREADABLE, record("src_x", "u1", version=99))
        tabard.send("/v1/identify", {"userId": "u2"})
        assert eventually(lambda: books(tabard)["stored"] == 1 and books(tabard)["quarantined"] == 2)
        assert books(tabard)["difference"] == 0
        document = shown(tabard)
        assert document == tabard.get("/api/quarantined")
        assert (document["kept"], document["dropped"]) == (2, 0)
        newer, none = document["quarantined"]
        assert (newer["position"], newer["code"], newer["now"]) == ("0:1", "record_unreadable", "unreadable")
        assert newer["message"] == f"record version 99, this release reads {RECORD_VERSION}"
        assert (none["position"], none["bytes"], none["component"]) == ("0:0", len(UNREADABLE), "resolver")
        assert none["preview"].startswith("\\xffno record")
        assert len(none["preview"]) < 500
        assert len(shown(tabard, "--limit", "1")["quarantined"]) == 1
        assert "&lt;script&gt;alert(1)" in page(tabard, "/quarantined")
        assert tabard.get("/api/status")["quarantine"] == {"kept": 2, "dropped": 0}
        table = CliRunner().invoke(main, ["quarantined", "--data", str(tabard.data)]).stdout
        assert "\x1b" not in table
        assert table.endswith("2 kept, 0 dropped for newer ones\n")
        status = CliRunner().invoke(main, ["status", "--data", str(tabard.data)]).stdout
        assert "* 2 records in quarantine; `tabard quarantined` shows them" in status


def test_after_an_upgrade_that_reads_them_a_retry_hands_records_in_once_and_only_those(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = open_or_make(data, {}, SystemClock()).first_source
    assert first is not None
    readable = record(first.id, "u1")
    deletion = control({"type": "delete", "ids": ["user:u9"], "messageId": "c-1", "timestamp": "2026-01-01T00:00:00Z"})
    # As an older release left them: a message and a control it failed on that
    # this one reads, and between them one that neither reads.
    quarantine = Quarantine(layout.Installation(data).quarantine_db)
    log_id = SqliteLogReader(layout.Installation(data).log).log_id
    quarantine.add(
        QuarantinedRecord(log_id, 1, offset, NOW_MS, "resolver", "0.0.1", "unforeseen: KeyError('x')", value)
        for offset, value in enumerate((readable, UNREADABLE, deletion))
    )
    quarantine.close()
    with running(data) as tabard:
        assert [each["now"] for each in shown(tabard)["quarantined"]] == ["readable", "unreadable", "readable"]
        assert shown(tabard, "--retry") == {"handedIn": 2, "stored": 0, "unreadable": 1}
        assert eventually(lambda: books(tabard)["stored"] == 2)
        assert tabard.profile("user:u1")["traits"]["plan"] == "pro"
        assert [each["now"] for each in shown(tabard)["quarantined"]] == ["stored", "unreadable", "stored"]
        assert shown(tabard, "--retry") == {"handedIn": 0, "stored": 2, "unreadable": 1}
        assert books(tabard)["accepted"] == 2


@pytest.mark.parametrize("words", [[], ["--retry"]])
def test_without_a_quarantine_nothing_is_shown_and_nothing_handed_in(tmp_path: Path, words: list[str]) -> None:
    data = tmp_path / "data"
    open_or_make(data, {}, SystemClock())
    result = CliRunner().invoke(main, ["quarantined", "--data", str(data), *words])
    assert result.exit_code == 0, result.output
    assert "0 " in result.stdout
