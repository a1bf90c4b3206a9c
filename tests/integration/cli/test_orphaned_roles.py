"""A role whose supervisor is gone, and a supervisor to whom nobody listens: real processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.compose.listening import AddressInUse, reserved
from tabard.compose.role_process import SUPERVISED
from tabard.compose.role_status import beat_age_s, running_roles
from tabard.compose.running import running_role
from tabard.storage.sqlite.installation import Installation
from tabard.testing.installation import eventually, is_alive, running

TURNS = 8

PARENT = f"""
import os, subprocess, sys, time
words = [sys.executable, "-m", "tabard", *sys.argv[1:]]
environment = os.environ | {{"{SUPERVISED}": "yes"}}
child = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, start_new_session=True)
time.sleep(60)
"""


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    """An installation on which no resolver has made the store."""
    return open_or_make(tmp_path / "data", {}, SystemClock()).installation


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("role", ["deliver", "web"])
def test_a_role_that_waits_for_the_store_beats_as_not_ready_and_ends_with_its_supervisor(
    made: Installation, started: list[subprocess.Popen[bytes]], role: str
) -> None:
    words = [role, "--data", str(made.data), *(["--set", "web=127.0.0.1:0"] if role == "web" else [])]
    started.append(subprocess.Popen([sys.executable, "-c", PARENT, *words]))
    waiting = eventually(lambda: running_roles(made.run))
    ((status, _),) = waiting
    assert not status.is_ready
    assert running_role(made, status.name.partition("-")[0]) is None
    os.utime(made.run / f"{status.name}.json", (0, 0))
    assert eventually(lambda: (beat_age_s(made.run, status.name) or 99) < 5, within_s=5)
    started[0].kill()
    started[0].wait()
    assert eventually(lambda: not is_alive(status.pid))


def test_serve_goes_on_when_nobody_reads_what_it_prints_and_logs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ["serve", "--data", str(data), "--collect", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    unread, written = os.pipe()
    os.close(unread)
    process = subprocess.Popen([sys.executable, "-m", "tabard", *words], stdout=written, stderr=written)
    os.close(written)
    try:
        assert eventually(lambda: len(ready_roles(data)) == 4)
        os.kill(ready_roles(data)["resolver-1"]["pid"], signal.SIGKILL)
        assert eventually(lambda: restarts(data).get("resolver-1") == 1)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(20) == 0


def ready_roles(data: Path) -> dict[str, Any]:
    found = [json.loads(file.read_text("utf-8")) for file in (data / "run").glob("*-1.json")]
    return {each["name"]: each for each in found if each["isReady"]}


def restarts(data: Path) -> dict[str, int]:
    told = json.loads((data / "run" / "supervisor.json").read_text("utf-8"))
    return {each["name"]: each["restarts"] for each in told["roles"]}


def test_a_killed_serve_starts_again_at_once_on_the_same_ports_eight_times_in_a_row(tmp_path: Path) -> None:
    data = tmp_path / "data"
    collect, web = lasting_address(20_000), lasting_address(25_000)
    words = ["serve", "--data", str(data), "--collect", collect, "--web", web, "--json"]
    key = open_or_make(data, {}, SystemClock()).first_source
    assert key is not None
    for turn in range(TURNS):
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "tabard", *words], stdout=log, stderr=log)
        try:
            # Those of before may take their time to end, as long as a delivery may.
            url = f"http://{collect}/v1/identify"
            is_up = eventually(lambda: accepts(url, key.write_key, f"u{turn}"), within_s=40)  # noqa: B023
            assert is_up, (turn, (tmp_path / "log").read_text("utf-8")[-4_000:])
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()
    with running(data, "--json") as tabard:
        assert eventually(lambda: len(tabard.stored()) == TURNS)
        roles = tabard.get("/api/status")["roles"]
        assert {each["restarts"] for each in roles} == {0}


def lasting_address(first_port: int) -> str:
    """An address that no other program takes meanwhile: below the ports that connections are made from."""
    for port in range(first_port, first_port + 1_000):
        with contextlib.suppress(AddressInUse), reserved(f"127.0.0.1:{port}") as address:
            return address
    raise AssertionError("no port is free")


def accepts(url: str, key: str, user: str) -> bool:
    body = json.dumps({"userId": user, "writeKey": key, "messageId": user}).encode()
    try:
        with urlopen(Request(url, body, {"Content-Type": "text/plain"}), timeout=10) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:  # refused, or cut by one of the roles that are just ending
        return False
