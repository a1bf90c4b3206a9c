"""A real Tabard for end-to-end tests: `tabard serve` in a folder of its own, on free ports, stopped at the end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

START_S = 30.0
STOP_S = 20.0
Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Installation:
    """A running installation: its addresses and keys, and the questions tests ask of it."""

    data: Path
    collector: str
    web: str
    write_key: str
    admin_token: str
    process: subprocess.Popen[str]

    def get(self, path: str) -> Json:
        """The JSON answer of the web role."""
        request = Request(self.web + path, headers={"Authorization": f"Bearer {self.admin_token}"})
        with urlopen(request, timeout=10) as answer:
            found: Json = json.load(answer)
        return found

    def send(self, path: str, body: Json, *, key: str | None = None) -> int:
        """Posts to the collector with the write key in the body; the status."""
        payload = json.dumps(body | {"writeKey": key or self.write_key}).encode()
        request = Request(self.collector + path, payload, {"Content-Type": "text/plain"})
        with urlopen(request, timeout=10) as answer:
            status: int = answer.status
        return status

    def stored(self) -> list[Json]:
        """Every stored message (at most 200), oldest first."""
        rows: list[Json] = self.get("/api/messages?limit=200")["messages"]
        return rows[::-1]

    def profile(self, identifier: str) -> Json:
        """The profile of an identifier such as `user:u1`."""
        return self.get(f"/api/profiles/{quote(identifier, safe='')}")

    def add_source(self, name: str, kind: str = "server") -> Json:
        """A new source, once the running collector knows it (within a second)."""
        added = self.tabard("source", "add", name, "--kind", kind)
        assert isinstance(added, dict)
        settings = f"{self.collector}/v1/projects/{added['writeKey']}/settings"
        assert eventually(lambda: _status(settings) == HTTPStatus.OK, within_s=5)
        return added

    def tabard(self, *arguments: str) -> Json | list[Any]:
        """The JSON document a command of the CLI prints about this installation."""
        command = [sys.executable, "-m", "tabard", *arguments, "--data", str(self.data), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        document: Json | list[Any] = json.loads(done.stdout)
        # `status` and `doctor` end with 1 or 5 where something needs a person, and print their document all the same.
        assert not (isinstance(document, dict) and "error" in document), document
        return document


@contextlib.contextmanager
def running(data: Path, *arguments: str, environ: dict[str, str] | None = None) -> Iterator[Installation]:
    """A `tabard serve` on `data`, ready to accept; SIGTERM and a clean exit at the end."""
    command = [sys.executable, "-m", "tabard", "serve", "--data", str(data), "--json", *arguments]
    command += ["--collect", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    known = {"write_key": "", "admin_token": ""}
    with (data.parent / f"{data.name}.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | (environ or {}), bufsize=1
        )
        try:
            block = _first_block(process, Path(log.name))
            known["write_key"] = block.get("writeKey", "")
            known["admin_token"] = block.get("adminToken") or (data / "keys" / "admin-token").read_text("utf-8").strip()
            yield Installation(data, block["collector"], block["web"], process=process, **known)
        finally:
            _stop(process)


def _status(url: str) -> int:
    try:
        with urlopen(url, timeout=10) as answer:
            status: int = answer.status
    except HTTPError as problem:
        problem.close()
        return problem.code
    return status


def _first_block(process: subprocess.Popen[str], log: Path) -> Json:
    deadline = time.monotonic() + START_S
    assert process.stdout is not None
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if line.startswith("{"):
            block: Json = json.loads(line)
            return block
        if process.poll() is not None:
            break
    raise AssertionError(f"tabard serve did not start; its log: {log.read_text('utf-8')[-2000:]}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"tabard serve did not stop within {STOP_S} s of SIGTERM") from None


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(ask: Callable[[], T], *, within_s: float = 15.0) -> T:
    """The first truthy answer of `ask`, asked every 50 ms; the last answer once the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)
