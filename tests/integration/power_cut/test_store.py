"""No cursor is ahead of its effects: at any cut of the power the store holds just what its positions say."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from tabard.identity.rules import Rules
from tabard.resolver.dry_run import resolved_lines
from tabard.storage.interface import Consumed
from tabard.storage.sqlite import store as store_module
from tabard.storage.sqlite.database import MigrationChanged
from tabard.storage.sqlite.store import SqliteStore, StoreOptions
from tabard.testing.recording_vfs import RecordingVfs

SECRET = b"a secret of thirty-two bytes, yes"
RULES = Rules()
LOG_ID = "log"
CUTS = 30
TURNS = 60
# Small, so that checkpoints come between the cuts.
OPTIONS = StoreOptions(checkpoint_pages=40, cache_kib=256)

# How a torn file shows: to SQLite, or by migrations whose record is not the one that was written.
DAMAGE: Final = (apsw.Error, MigrationChanged)

Event = dict[str, Any]


def events(chance: random.Random) -> list[Event]:
    """People who come as visitors, log in, share devices; now and then one is deleted or cut off."""
    made: list[Event] = []
    for number in range(TURNS * 8):
        person, device = chance.randrange(12), chance.randrange(15)
        common: Event = {"messageId": f"m{number}", "timestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"}
        call = chance.choice(("visit", "visit", "login", "buy", "join", "delete", "cut"))
        if call == "visit":
            made.append(common | {"type": "page", "anonymousId": f"a{device}", "properties": {"n": number}})
        elif call == "login":
            traits = {"email": f"p{person}@example.com", "plan": chance.choice(("free", "pro"))}
            made.append(
                common | {"type": "identify", "userId": f"u{person}", "anonymousId": f"a{device}", "traits": traits}
            )
        elif call == "buy":
            made.append(common | {"type": "track", "userId": f"u{person}", "event": "Bought"})
        elif call == "join":
            made.append(common | {"type": "group", "userId": f"u{person}", "groupId": f"g{person % 3}"})
        elif call == "delete" and number % 5 == 0:
            made.append(common | {"type": "delete", "ids": [f"user:u{person}"]})
        else:
            made.append(common | {"type": "cut", "a": f"user:u{person}", "b": f"anon:a{device}"})
    return made


@dataclass
class Run:
    """A resolver's store on a recorded disk, and after which step the log was let go of up to which offset."""

    vfs: RecordingVfs
    path: Path
    given: list[Event]
    released: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    digests: dict[int, str] = field(default_factory=dict)

    def live(self, chance: random.Random) -> None:
        store, offset = opened(self.path), 0
        for turn in range(TURNS):
            size = chance.choice((1, 3, 20))
            offset = commit(store, self.given, offset, min(offset + size, len(self.given)))
            if turn % 3 == 0:
                store.project(50)
                store.erase(5)
            if turn % 4 == 0:
                store.sync()
                self.released.append((len(self.vfs.steps), offset))
            if turn % 25 == 20:
                store.close()
                store = opened(self.path)
        store.close()

    def after(self, folder: Path, cut: int, chance: random.Random | None) -> str:
        """What is wrong with the disk as of a cut; empty if nothing is."""
        folder.mkdir()
        self.vfs.rebuild(self.path.parent, folder, cut=cut, chance=chance)
        try:
            store = opened(folder / self.path.name)
        except DAMAGE as problem:
            return f"does not open: {problem}"
        try:
            if (found := store.database.execute("PRAGMA integrity_check").get) != "ok":
                return f"is damaged: {found}"
            offset = store.positions().get(0, 0)
            let_go = max(released for step, released in self.released if step <= cut)
            if offset < let_go:
                return f"is at {offset}, the log was let go of up to {let_go}"
            if digest(store) != self.expected(offset):
                return f"is at {offset}, and holds something else"
        except DAMAGE as problem:
            return f"is damaged: {problem}"
        finally:
            store.close()
        return ""

    def expected(self, offset: int) -> str:
        """The digest of a store that got just so many messages, undisturbed."""
        if offset not in self.digests:
            store = opened(self.path.with_name(f"expected-{offset}.db"))
            commit(store, self.given, 0, offset)
            self.digests[offset] = digest(store)
            store.close()
        return self.digests[offset]


def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, SECRET, RULES, OPTIONS)
    store.begin(LOG_ID)
    return store


def commit(store: SqliteStore, given: list[Event], start: int, end: int) -> int:
    batch = list(resolved_lines(given[start:end], RULES, start))
    received = max((one.message.received_at for one in batch), default=0)
    store.apply(batch, [Consumed(0, start, end, received)])
    return end


def digest(store: SqliteStore) -> str:
    while store.project(50):
        pass
    while store.erase(50):
        pass
    return store.digest()


def problems(vfs: RecordingVfs, tmp_path: Path, *, reorder: bool) -> tuple[list[str], int]:
    """What is wrong at random cuts; and how many different states they met."""
    chance = random.Random(11)
    (tmp_path / "disk").mkdir()
    run = Run(vfs, tmp_path / "disk" / "store.db", events(chance))
    run.live(chance)
    steps = len(vfs.steps)
    apsw.set_default_vfs("unix")
    cuts = [chance.randint(1, steps) for _ in range(CUTS)]
    found = [run.after(tmp_path / str(n), cut, chance if reorder else None) for n, cut in enumerate(cuts)]
    return [problem for problem in found if problem], len(set(run.digests.values()))


@pytest.mark.parametrize("reorder", [False, True], ids=["nothing unsynced survives", "any part of it survives"])
def test_after_a_power_cut_the_store_holds_what_its_positions_say(
    recorded: RecordingVfs, tmp_path: Path, reorder: bool
) -> None:
    found, states = problems(recorded, tmp_path, reorder=reorder)
    assert found == []
    assert states >= 4


def test_the_same_run_shows_the_damage_when_nothing_waits_for_the_disk(
    recorded: RecordingVfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = store_module._tune

    def careless(database: apsw.Connection, options: StoreOptions) -> None:
        tune(database, options)
        database.execute("PRAGMA synchronous = OFF")

    monkeypatch.setattr(store_module, "_tune", careless)
    found, _ = problems(recorded, tmp_path, reorder=True)
    assert found
