"""What `tabard serve` prints when it is ready: to a terminal, to a program, to what is kept as a log."""

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

UNIT = Path(__file__).parents[2] / "packaging" / "tabard.service"
ANY_PORT = ["--collect", "127.0.0.1:0", "--web", "127.0.0.1:0"]
STOP_S = 20


def printed(command: list[str], last: str, environ: dict[str, str], *, to_terminal: bool = False) -> str:
    """What the command prints, until `last` is in it; then it is stopped."""
    reading, writing = pty.openpty() if to_terminal else os.pipe()
    process = subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL, env=environ)
    os.close(writing)
    text = ""
    try:
        while last not in text and (part := os.read(reading, 65_536)):
            text += part.decode()
        return text
    finally:
        process.terminate()
        process.wait(STOP_S)
        os.close(reading)


def serve(data: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tabard", "serve", "--data", str(data), *ANY_PORT, *more]


def token(data: Path) -> str:
    return (data / "keys" / "admin-token").read_text("utf-8").strip()


def test_a_terminal_sees_key_and_token_at_the_first_start_and_later_where_they_are(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    first = printed(serve(data), "/v1/identify", dict(os.environ), to_terminal=True)
    assert token(data) in first
    later = printed(serve(data), "admin-token", dict(os.environ), to_terminal=True)
    assert f"tabard source list --data {data}" in later
    assert str(data / "keys" / "admin-token") in later
    assert token(data) not in later


def test_what_is_no_terminal_gets_the_place_of_the_token_and_not_the_token(tmp_path: Path) -> None:
    data = tmp_path / "data"
    text = printed(serve(data), "/v1/identify", dict(os.environ))
    assert f"in {data / 'keys' / 'admin-token'}" in text
    assert token(data) not in text


def test_logs_as_json_by_the_environment_hold_no_token_either(tmp_path: Path) -> None:
    data = tmp_path / "data"
    text = printed(serve(data), "\n", os.environ | {"TABARD_LOG_JSON": "true"})
    block = json.loads(text)
    assert block["adminTokenFile"] == str(data / "keys" / "admin-token")
    assert len(block["writeKey"]) == 20
    assert "adminToken" not in block


def test_the_unit_starts_without_a_file_in_etc_and_writes_no_token_to_the_journal(tmp_path: Path) -> None:
    data = tmp_path / "data"
    unit = dict(line.split("=", 1) for line in UNIT.read_text("utf-8").splitlines() if "=" in line and line[0] != "#")
    environ = dict(pair.split("=", 1) for pair in unit["Environment"].split())
    words = unit["ExecStart"].replace("/var/lib/tabard", str(data)).replace("$SERVE_OPTIONS", environ["SERVE_OPTIONS"])
    assert unit["EnvironmentFile"].startswith("-"), "a file that need not be there"
    command = [sys.executable, "-m", "tabard", *shlex.split(words)[1:], *ANY_PORT]
    text = printed(command, "\n", os.environ | environ)
    assert json.loads(text)["data"] == str(data)
    assert token(data) not in text
