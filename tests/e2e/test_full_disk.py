"""A disk that fills under a running installation: named refusals, nothing acknowledged lost, and all roles catch up."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, eventually, running
from tests.e2e.receiver import receiving

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
DISK = 32 * MIB
FLOOR = 12 * MIB
NOTE = "x" * 20_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a file system of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"may not mount a small file system here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def ballast(folder: Path, *, leave: int = 0) -> Iterator[None]:
    """Fills the disk but for `leave` bytes while inside."""
    file = folder / "ballast"
    with file.open("wb", buffering=0) as heap, contextlib.suppress(OSError):
        while shutil.disk_usage(folder).free > leave:
            heap.write(bytes(16 * 1024))
    yield
    file.unlink()


class Sender:
    """Sends calls one by one and keeps which were acknowledged, and how the others were refused."""

    def __init__(self, tabard: Installation) -> None:
        self.tabard = tabard
        self.acknowledged: set[str] = set()
        self.refusals: list[tuple[int, str, str]] = []
        self._number = 0

    def send(self, note: str = NOTE) -> bool:
        """Whether one more call was acknowledged."""
        self._number += 1
        message_id = f"m{self._number}"
        call = {"userId": f"u{self._number % 5}", "event": "E", "messageId": message_id, "properties": {"note": note}}
        body = json.dumps(call | {"writeKey": self.tabard.write_key}).encode()
        try:
            with urlopen(Request(f"{self.tabard.collector}/v1/track", body), timeout=10) as answer:
                assert json.load(answer) == {"success": True}
        except HTTPError as problem:
            document: dict[str, Any] = json.load(problem)
            self.refusals.append((problem.code, document["code"], problem.headers["retry-after"]))
            return False
        self.acknowledged.add(message_id)
        return True

    def send_until_refused(self, calls_max: int) -> None:
        for _ in range(calls_max):
            if not self.send():
                return
        pytest.fail(f"{calls_max} calls of {len(NOTE)} bytes were taken on a full disk")


@contextlib.contextmanager
def installation(folder: Path, floor: int) -> Iterator[tuple[Installation, FaultyDestination]]:
    environ = {"TABARD_EGRESS_PRIVATE": "true", "TABARD_DISK_FLOOR_BYTES": str(floor)}
    with receiving() as webhook, running(folder, environ=environ) as tabard:
        tabard.tabard("destination", "add", "webhook", "hook", "--set", f"url={webhook.url}", "--start", "beginning")
        yield tabard, webhook


def assert_all_caught_up(tabard: Installation, webhook: FaultyDestination, acknowledged: set[str]) -> None:
    assert eventually(lambda: acknowledged <= set(webhook.message_ids), within_s=40), "acknowledged, not delivered"
    assert eventually(lambda: not tabard.get("/api/status")["books"]["unresolved"])
    status = tabard.get("/api/status")
    assert all(role["running"] for role in status["roles"])
    assert status["books"]["difference"] == 0
    stored = {row["messageId"] for row in tabard.stored()}
    assert acknowledged <= stored
    people = {f"user:u{number}" for number in range(5)}
    assert sum(tabard.profile(person)["events"] for person in people) == status["books"]["stored"]


def test_a_full_disk_is_refused_by_name_and_when_there_is_room_all_roles_catch_up(small_disk: Path) -> None:
    with installation(small_disk, floor=1) as (tabard, webhook):
        sender = Sender(tabard)
        assert all(sender.send() for _ in range(20))
        with ballast(small_disk):
            sender.send_until_refused(200)
            for _ in range(10):
                sender.send()
            assert not eventually(sender.send, within_s=3)
        assert {status for status, _, _ in sender.refusals} == {503}
        # Which it is, is a matter of whether a last block is left: the floor here is one byte.
        assert {code for _, code, _ in sender.refusals} <= {"disk_full", "disk_floor"}
        assert all(int(retry_after) >= 1 for _, _, retry_after in sender.refusals)
        assert eventually(sender.send, within_s=20), "the door stays shut though there is room again"
        assert all(sender.send() for _ in range(20))
        assert_all_caught_up(tabard, webhook, sender.acknowledged)


def test_below_the_floor_the_door_refuses_and_resolver_and_deliverer_go_on(small_disk: Path) -> None:
    with installation(small_disk, floor=FLOOR) as (tabard, webhook):
        sender = Sender(tabard)
        assert all(sender.send() for _ in range(20))
        with ballast(small_disk, leave=FLOOR // 2):
            assert eventually(lambda: not sender.send(), within_s=10), "taken though free disk is below the floor"
            assert sender.refusals[-1][:2] == (503, "disk_floor")
            assert int(sender.refusals[-1][2]) >= 1
            with pytest.raises(HTTPError, match="503"):
                urlopen(f"{tabard.collector}/ready", timeout=10)
            assert_all_caught_up(tabard, webhook, sender.acknowledged)
        assert eventually(sender.send, within_s=20)
        assert_all_caught_up(tabard, webhook, sender.acknowledged)
