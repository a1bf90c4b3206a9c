"""Acknowledged means kept, once, and sent on, whichever role dies when (design.md §4)."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tabard.message.types import StoredMessage, offset_of
from tabard.storage.sqlite.store_reader import SqliteMessageReader
from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, Json, eventually, running
from tests.e2e.crash.load import PEOPLE, Load
from tests.e2e.receiver import receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROLES = ("collector-1", "resolver-1", "deliverer-1", "web-1")
ENVIRON = {"TABARD_EGRESS_PRIVATE": "true", "TABARD_DISK_FLOOR_BYTES": "1"}
KILLS_A_LIFE = 10
PAUSES_S = (0.1, 0.9)
SEED = 20_261_124


def pid_of(tabard: Installation, role: str) -> int | None:
    try:
        status = msgspec.json.decode((tabard.data / "run" / f"{role}.json").read_bytes())
    except FileNotFoundError:
        return None
    pid: int = status["pid"]
    return pid


def kill_a_role(tabard: Installation, role: str) -> bool:
    """SIGKILL to a role, whatever it is at; whether there was one to kill."""
    pid = pid_of(tabard, role)
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def kill_all(tabard: Installation) -> None:
    """SIGKILL to the supervisor, then to every role it had."""
    tabard.process.kill()
    tabard.process.wait()
    for role in ROLES:
        kill_a_role(tabard, role)


def kill_the_supervisor_alone(tabard: Installation) -> None:
    """Its roles notice and end by themselves; the next start waits for their locks."""
    tabard.process.kill()
    tabard.process.wait()


def events_of(tabard: Installation, person: int) -> int:
    """The messages counted in the one profile of a person; both of its identifiers lead there."""
    known, visitor = tabard.profile(f"user:u{person}"), tabard.profile(f"anon:a{person}")
    assert known["profileId"] == visitor["profileId"]
    events: int = known["events"]
    return events


def stored_messages(data: Path) -> list[StoredMessage]:
    reader = SqliteMessageReader(data / "store.db")
    found: list[StoredMessage] = []
    for partition in reader.resolved():
        offset = 0
        while batch := reader.read(partition, offset, 1000):
            found += batch
            offset = offset_of(batch[-1].position) + 1
    reader.close()
    return found


class Crashes:
    """The lives of one installation under one load, and what it said at the end."""

    def __init__(self, data: Path, webhook: FaultyDestination) -> None:
        self.data = data
        self.webhook = webhook
        self.kills: Counter[str] = Counter()
        self.events: dict[int, int] = {}
        self.books: Json = {}
        self._chance = random.Random(SEED)

    def first_start(self) -> Load:
        """An installation with a webhook, and clients that know its key."""
        with running(self.data, environ=ENVIRON) as tabard:
            hook = ("webhook", "hook", "--set", f"url={self.webhook.url}", "--start", "beginning")
            tabard.tabard("destination", "add", *hook)
            return Load(tabard.collector, tabard.write_key, SEED)

    def life(self, load: Load, end: Callable[[Installation], None]) -> None:
        """Roles die one by one, then the whole installation in one of its ways."""
        with running(self.data, environ=ENVIRON) as tabard:
            load.collector = tabard.collector
            for _ in range(KILLS_A_LIFE):
                time.sleep(self._chance.uniform(*PAUSES_S))
                role = self._chance.choice([each for each in ROLES if pid_of(tabard, each)] or ["collector-1"])
                self.kills[role] += kill_a_role(tabard, role)
            time.sleep(self._chance.uniform(*PAUSES_S))
            end(tabard)
            self.kills[end.__name__] += 1

    def last_life(self, load: Load) -> None:
        """Nothing dies any more: the clients finish, the webhook gets the rest, the profiles are asked."""
        told = load.told
        with running(self.data, environ=ENVIRON) as tabard:
            load.collector = tabard.collector
            load.stop()
            eventually(lambda: told.acknowledged <= set(self.webhook.message_ids), within_s=45)
            self.events = {person: events_of(tabard, person) for person in range(PEOPLE)}
            self.books = tabard.get("/api/status")["books"]


def test_whatever_dies_every_acknowledged_message_is_stored_once_counted_once_and_delivered(tmp_path: Path) -> None:
    with receiving() as webhook:
        crashes = Crashes(tmp_path / "data", webhook)
        load = crashes.first_start()
        load.start()
        for end in (kill_all, kill_the_supervisor_alone, kill_all):
            crashes.life(load, end)
        crashes.last_life(load)
    told, delivered, stored = load.told, Counter(webhook.message_ids), stored_messages(tmp_path / "data")
    print(
        f"\nkilled: {dict(crashes.kills)}\nacknowledged {len(told.acknowledged)}, stored {len(stored)}, "
        f"delivered {len(delivered)}, duplicates delivered {delivered.total() - len(delivered)}"
    )
    assert told.refused == []
    assert crashes.kills.total() >= 15
    assert len(told.acknowledged) > 1000
    ids = {message.message_id for message in stored}
    assert len(ids) == len(stored), "a message is stored twice"
    assert told.acknowledged - ids == set(), "acknowledged, not stored"
    assert ids - told.sent.keys() == set()
    assert told.acknowledged - delivered.keys() == set(), "acknowledged, not delivered"
    assert delivered.keys() - ids == set()
    counted = Counter(told.sent[message_id] for message_id in ids)
    assert crashes.events == counted, "counted in a profile more or less than once"
    assert crashes.books["difference"] == 0
