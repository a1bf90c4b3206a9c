"""A destination of a running Tabard is paused: what comes waits, and past the archive's retention it expires."""

from pathlib import Path
from typing import Any

import pytest

from tabard.testing.installation import Installation, eventually, running
from tests.e2e.receiver import receiving

pytestmark = pytest.mark.e2e

KEPT = ("--set", "egress_private=true", "--set", "archive_retention_s=4")


def shown(tabard: Installation) -> tuple[dict[str, Any], set[str]]:
    """The destination and the codes of the warnings, by `tabard status`."""
    status = tabard.tabard("status")
    assert isinstance(status, dict)
    [crm] = status["destinations"]
    return crm, {each["code"] for each in status["warnings"] if each["subject"] == "crm"}


def send(tabard: Installation, key: str, *numbers: int) -> None:
    for number in numbers:
        tabard.send("/v1/track", {"userId": f"u{number}", "event": "Bought", "messageId": f"m{number}"}, key=key)


def test_what_a_paused_destination_is_not_sent_waits_or_expires_and_the_books_balance(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with receiving() as crm:
        with running(data, *KEPT) as tabard:
            tabard.tabard("destination", "add", "webhook", "crm", "--set", f"url={crm.url}", "--start", "beginning")
            key = tabard.write_key
            send(tabard, key, 0)
            assert eventually(lambda: crm.message_ids == ["m0"], within_s=20)
            paused = tabard.tabard("destination", "pause", "crm")
            assert tabard.tabard("destination", "pause", "crm") == paused
            assert eventually(lambda: shown(tabard)[0]["state"] == "paused", within_s=5)
            send(tabard, key, 1, 2, 3)
            assert eventually(lambda: shown(tabard)[0]["books"]["pending"] == 3, within_s=10)
            assert eventually(lambda: shown(tabard)[1] == {"destination_paused", "destination_expiring"}, within_s=10)
            # Its id is enough, and a change of the configuration leaves the pause as it is.
            assert isinstance(paused, dict)
            assert tabard.tabard("destination", "set", paused["id"], "--option", "record=all")["pausedAt"]  # type: ignore[call-overload]
        with running(data, *KEPT) as tabard:
            assert eventually(lambda: not any(each["message"] for each in tabard.stored()), within_s=20)
            assert shown(tabard)[0]["books"]["pending"] == 3
            assert crm.message_ids == ["m0"]
            tabard.tabard("destination", "resume", "crm")
            assert eventually(lambda: shown(tabard)[0]["books"]["expired"] == 3, within_s=10)
            send(tabard, key, 4)
            assert eventually(lambda: shown(tabard)[0]["books"]["delivered"] == 2, within_s=10)
            told, warnings = shown(tabard)
            assert told["state"] == "running"
            assert [told["books"][term] for term in ("taken", "delivered", "expired")] == [5, 2, 3]
            assert warnings == set()
    assert crm.message_ids == ["m0", "m4"]
