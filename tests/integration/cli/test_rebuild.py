"""`tabard rebuild` beside a running `tabard serve`, and alone."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.compose.running import running_settings
from tabard.compose.upkeep import rebuild_store, state_hash_of
from tabard.storage.sqlite import installation as layout
from tabard.storage.sqlite.database import connect
from tabard.storage.sqlite.store import StoreLocked
from tabard.testing.installation import Installation, eventually, running

PEOPLE = 300


class Shown:
    """What was shown of the progress: of what, out of how many steps, and how far it came."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}

    @contextlib.contextmanager
    def __call__(self, total: int, label: str) -> Iterator[Callable[[int], None]]:
        self.steps[label] = [total, 0]

        def advance(steps: int) -> None:
            self.steps[label][1] += steps

        yield advance


def send(tabard: Installation) -> None:
    calls = [{"type": "identify", "userId": f"u{each}", "traits": {"n": each}} for each in range(PEOPLE)]
    tabard.send("/v1/batch", {"batch": calls})
    assert eventually(lambda: tabard.get("/api/status")["books"]["stored"] == PEOPLE)


def test_beside_a_running_serve_the_resolver_rests_the_door_goes_on_and_the_state_is_the_same(tmp_path: Path) -> None:
    with running(tmp_path / "data") as tabard:
        send(tabard)
        before = tabard.tabard("state-hash")
        done = tabard.tabard("rebuild")
        assert isinstance(before, dict)
        assert isinstance(done, dict)
        assert done["stateHash"] == before["stateHash"]
        tabard.send("/v1/identify", {"userId": "later"})
        assert eventually(lambda: tabard.get("/api/status")["books"]["stored"] == PEOPLE + 1)
        roles = {each["name"]: each for each in tabard.get("/api/status")["roles"]}
        assert roles["resolver-1"]["running"]
        assert {name: each["restarts"] for name, each in roles.items() if each["restarts"]} == {}


def test_its_progress_is_every_message_and_then_every_identifier(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as tabard:
        send(tabard)
    made, shown = layout.Installation(data), Shown()
    rebuild_store(made, running_settings(made), shown)
    assert shown.steps == {"reading messages": [PEOPLE, PEOPLE], "projecting": [PEOPLE, PEOPLE]}


def test_while_a_process_that_serve_did_not_start_writes_the_store_it_is_refused_by_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as tabard:
        send(tabard)
        made = layout.Installation(data)
        (made.run / "supervisor.json").unlink()
        with pytest.raises(StoreLocked, match="is written by process"):
            rebuild_store(made, running_settings(made), Shown())


def test_a_state_hash_says_how_many_records_of_the_log_it_is_without(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as tabard:
        send(tabard)
    said = CliRunner().invoke(main, ["state-hash", "--data", str(data)])
    whole = state_hash_of(layout.Installation(data))
    assert (said.exit_code, said.stdout.strip(), said.stderr, whole.unresolved) == (0, whole.digest, "", 0)
    # As if the resolver had not come to the last records.
    store = connect(layout.Installation(data).store_db)
    store.execute("UPDATE progress SET offset = offset - 3 WHERE offset >= 3").fetchall()
    store.close()
    said = CliRunner().invoke(main, ["state-hash", "--data", str(data)])
    assert said.stdout.strip() == whole.digest
    assert "3 records of the log are not resolved" in said.stderr
    said = CliRunner().invoke(main, ["state-hash", "--data", str(data), "--json"])
    assert msgspec.json.decode(said.stdout) == {"stateHash": whole.digest, "unresolved": 3}
    assert "3 records of the log are not resolved" in said.stderr


def test_changed_rules_are_named_by_status_doctor_and_the_log_until_a_rebuild(tmp_path: Path) -> None:
    data, log = tmp_path / "data", tmp_path / "data.log"
    with running(data) as tabard:
        send(tabard)
        assert warned(tabard) == []
    assert "resolver.rules.changed" not in log.read_text("utf-8")
    for setting in ("TABARD_BLOCKED_VALUES", "TABARD_MAX_TRAITS"):
        log.write_text("", "utf-8")
        with running(data, environ={setting: "7"}) as tabard:
            assert eventually(lambda: "resolver.rules.changed" in log.read_text("utf-8"))
            line = next(line for line in log.read_text("utf-8").splitlines() if "resolver.rules.changed" in line)
            assert "tabard rebuild" in line
            assert "rules_changed" in {each["code"] for each in tabard.get("/api/status")["warnings"]}
            (message,) = warned(tabard)
            assert "`tabard rebuild`" in message
            finding = next(each for each in findings(tabard) if each["check"] == "rules_changed")
            assert (finding["ok"], finding["fix"]) == (False, "tabard rebuild")
            tabard.tabard("rebuild")
            assert warned(tabard) == []
            assert not [each for each in findings(tabard) if each["check"] == "rules_changed"]


def warned(tabard: Installation) -> list[str]:
    document = tabard.tabard("status")
    assert isinstance(document, dict)
    return [each["message"] for each in document["warnings"] if each["code"] == "rules_changed"]


def findings(tabard: Installation) -> list[dict[str, Any]]:
    document = tabard.tabard("doctor")
    assert isinstance(document, dict)
    found: list[dict[str, Any]] = document["findings"]
    return found
