"""`tabard status` and `tabard doctor` of a folder where things are wrong: what they name, and how they end."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.compose.role_status import Heartbeat
from tabard.storage.sqlite.installation import Installation

PRIVATE_URL = "url=http://127.0.0.1:9/in"


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    return open_or_make(tmp_path / "data", {}, SystemClock()).installation


@pytest.fixture
def all_running(made: Installation) -> None:
    for name in ("collector-1", "resolver-1", "deliverer-1", "web-1"):
        Heartbeat(made.run, name, "127.0.0.1:9" if name == "collector-1" else "")


def call(made: Installation, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(made.data)])


def findings(made: Installation, *words: str) -> dict[str, dict[str, Any]]:
    document = json.loads(call(made, "doctor", *words, "--json").stdout)
    return {each["check"]: each for each in document["findings"]}


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_where_nothing_runs_both_say_so_and_end_with_5(made: Installation, command: str) -> None:
    result = call(made, command)
    assert result.exit_code == 5
    assert f"nothing runs here; start `tabard serve --data {made.data}`" in result.stdout
    assert "None" not in result.stdout


def test_a_status_that_needs_nobody_ends_with_0_and_one_that_does_with_1(made: Installation, all_running: None) -> None:
    assert call(made, "status").exit_code == 0
    assert call(made, "destination", "add", "webhook", "crm", "--set", PRIVATE_URL).exit_code == 0
    assert call(made, "status").exit_code == 1


def test_a_role_that_is_down_has_no_process_number(made: Installation, all_running: None) -> None:
    down = {"name": "resolver-2", "restarts": 1, "crashLooping": False, "lastExit": "exit 1"}
    (made.run / "supervisor.json").write_text(json.dumps({"roles": [down]}))
    result = call(made, "status")
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if line.startswith("resolver-2"))
    assert line.split() == ["resolver-2", "down", "-", "1"]


def test_the_doctor_says_only_what_it_looked_at(made: Installation, all_running: None, tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    calls.write_text("".join(json.dumps({"type": "identify", "userId": f"u{each}"}) + "\n" for each in range(7)))
    (made.run / "collector-1.json").unlink()
    assert call(made, "import", str(calls)).exit_code == 0
    found = findings(made)["status"]
    assert found["ok"]
    assert found["seen"] == (
        "deliverer-1, resolver-1, web-1 run; the books balance; 7 accepted messages are not resolved yet"
    )


@pytest.mark.parametrize("name", ["store.db", "workspace.db"])
def test_the_doctor_names_a_damaged_database_with_the_fix_and_looks_at_the_rest(made: Installation, name: str) -> None:
    (made.data / name).write_bytes(b"no database" * 1000)
    found = findings(made)
    assert not found[name]["ok"]
    assert f"{made.data / name} is damaged" in found[name]["seen"]
    assert "tabard restore" in found[name]["fix"]
    assert found["keys"]["ok"]
    assert found["destinations"]["ok"]


def test_a_deep_look_finds_a_page_that_is_damaged_inside(made: Installation) -> None:
    body = bytearray(made.workspace_db.read_bytes())
    body[4096:8192] = b"\xff" * 4096
    made.workspace_db.write_bytes(bytes(body))
    found = findings(made, "--deep")["workspace.db"]
    assert not found["ok"]
    assert "tabard restore" in found["fix"]


@pytest.mark.parametrize("command", ["status", "source list"])
@pytest.mark.parametrize("name", ["store.db", "workspace.db"])
def test_a_command_on_a_damaged_database_says_so_in_one_line(made: Installation, command: str, name: str) -> None:
    (made.data / name).write_bytes(b"no database" * 1000)
    result = call(made, *command.split())
    if (command, name) == ("source list", "store.db"):
        assert result.exit_code == 0, "sources are not in the store"
        return
    assert result.exit_code == 4
    assert result.stderr.startswith(f"tabard: database_corrupt: {made.data / name} is damaged")
    assert len(result.stderr.splitlines()) == 1


def test_a_destination_at_a_private_address_is_accepted_with_a_plain_word_and_named_until_it_is_allowed(
    made: Installation, all_running: None
) -> None:
    result = call(made, "destination", "add", "webhook", "crm", "--set", PRIVATE_URL)
    assert result.exit_code == 0
    assert "127.0.0.1" in result.stderr
    assert "tabard serve --set egress_private=true" in result.stderr
    assert "destination crm is at 127.0.0.1: nothing is delivered" in call(made, "status").stdout
    assert "egress_private" in findings(made)["destination_private"]["seen"]
    (made.run / "settings.json").write_text(json.dumps({"settings": {"egress_private": True}}))
    assert call(made, "status").exit_code == 0
    assert call(made, "destination", "set", "crm", "--set", PRIVATE_URL).stderr == ""


@pytest.mark.parametrize("written", [b"", b"{", b"\xff\xfe", b"[]", b'{"settings": 3}'])
def test_damaged_settings_of_the_running_server_are_named_with_the_fix(made: Installation, written: bytes) -> None:
    (made.run / "settings.json").write_bytes(written)
    result = call(made, "status")
    assert result.exit_code == 4
    assert result.stderr.startswith(f"tabard: installation_damaged: {made.run / 'settings.json'} is unreadable")
    assert "remove it: `tabard serve` writes it" in result.stderr


@pytest.mark.parametrize("written", [b"", b"{", b"\xff\xfe", b"[]", b'{"roles": 3, "at": "x"}'])
def test_a_damaged_file_of_a_role_says_nothing_and_hides_nothing_else(made: Installation, written: bytes) -> None:
    for name in ("supervisor.json", "collector-1.json", "resolver.json", "deliverer.json"):
        (made.run / name).write_bytes(written)
    Heartbeat(made.run, "web-1")
    result = call(made, "status", "--json")
    assert result.exit_code in (0, 1), result.output
    assert [each["name"] for each in json.loads(result.stdout)["roles"]] == ["web-1"]
