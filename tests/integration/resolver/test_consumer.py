"""The resolver's loop on a log: commits, quarantine, several partitions, watermark, replays, fencing."""

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tabard.clock import SystemClock
from tabard.identity.rules import Rules
from tabard.log.codec import encode
from tabard.log.drivers.memory import MemoryLog
from tabard.log.progress import FileProgress
from tabard.log.quarantine import Quarantine, QuarantineReader
from tabard.message.types import RECORD_VERSION, SERVER_TRUST, Record
from tabard.resolver.consumer import Consumer, Parts, Status, run
from tabard.storage.interface import Fenced, StoreUnavailable
from tabard.storage.sqlite.store import SqliteStore, StoreLocked
from tabard.storage.sqlite.store_entry import Entry
from tabard.storage.sqlite.store_profiles import SqliteProfileReader
from tabard.storage.sqlite.store_reader import SqliteMessageReader

SECRET = b"k" * 32
CLOCK = SystemClock()


@dataclass
class World:
    folder: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    statuses: list[Status] = field(default_factory=list)

    def parts(self, store: SqliteStore) -> Parts:
        return Parts(
            log=self.log.reader(),
            store=store,
            quarantine=Quarantine(self.folder / "quarantine.db"),
            progress=FileProgress(self.folder / "progress", self.log.log_id, CLOCK),
            clock=CLOCK,
            rules=Rules(),
            version="0",
            publish=self.statuses.append,
        )

    def store(self) -> SqliteStore:
        return SqliteStore(self.folder / "store.db", SECRET, Rules())

    def resolve(self) -> None:
        """One resolver's life: until the log is empty and everything is projected."""
        store = self.store()
        consumer = Consumer(self.parts(store))
        while consumer.turn():
            pass
        consumer.end()
        store.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def record(kind: str, body: dict[str, Any], source: str = "src") -> bytes:
    return encode(
        Record(
            version=RECORD_VERSION,
            source=source,
            type=kind,
            trust=int(SERVER_TRUST),
            received_at=CLOCK.now_ms(),
            body=msgspec.json.encode(body),
        )
    )


def test_messages_of_two_partitions_are_stored_at_their_positions_and_make_one_profile(world: World) -> None:
    one, two = world.log.writer(1), world.log.writer(2)
    one.append([record("page", {"messageId": "a", "anonymousId": "dev"})])
    two.append([record("identify", {"messageId": "b", "userId": "u", "anonymousId": "dev", "traits": {"n": 1}})])
    world.resolve()
    reader = SqliteMessageReader(world.folder / "store.db")
    assert [message.message_id for message in reader.read(1, 0, 10)] == ["a"]
    assert [message.message_id for message in reader.read(2, 0, 10)] == ["b"]
    assert reader.resolved() == {1: 1, 2: 1}
    profile = SqliteProfileReader(world.folder / "store.db", SECRET, Rules()).profile("anon:dev")
    assert profile is not None
    assert (profile.canonical, profile.events, profile.traits) == ("user:u", 2, {"n": 1})


def test_a_record_that_is_no_message_is_quarantined_with_its_bytes_and_the_rest_goes_on(world: World) -> None:
    writer = world.log.writer(1)
    writer.append([b"\x00junk", record("track", {"messageId": "a", "userId": "u", "event": "E"})])
    world.resolve()
    (kept,) = QuarantineReader(world.folder / "quarantine.db").newest_first()
    assert (kept.offset, kept.value) == (0, b"\x00junk")
    assert kept.reason.startswith("record_unreadable")
    reader = SqliteMessageReader(world.folder / "store.db")
    assert [message.message_id for message in reader.read(1, 0, 10)] == ["a"]
    assert reader.resolved() == {1: 2}


def test_a_message_on_which_we_fail_is_quarantined_and_all_others_are_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = world.log.writer(1)
    writer.append([record("track", {"messageId": f"m{n}", "userId": "u", "event": "E"}) for n in range(5)])
    store = world.store()
    sound = store.facts.apply

    def fails_on_one(entry: Entry) -> bool | None:
        if entry.m.startswith("m3"):
            raise KeyError("a defect")
        return sound(entry)

    monkeypatch.setattr(store.facts, "apply", fails_on_one)
    consumer = Consumer(world.parts(store))
    while consumer.turn():
        pass
    store.close()
    reader = SqliteMessageReader(world.folder / "store.db")
    assert [message.message_id for message in reader.read(1, 0, 10)] == ["m0", "m1", "m2", "m4"]
    assert reader.resolved() == {1: 5}
    (kept,) = QuarantineReader(world.folder / "quarantine.db").newest_first()
    assert (kept.offset, kept.reason) == (3, "unforeseen: KeyError('a defect')")


def test_the_watermark_passes_the_last_message_of_a_partition_while_the_others_are_idle(world: World) -> None:
    world.log.writer(2)
    world.log.writer(1).append([record("track", {"messageId": "a", "userId": "u", "event": "E"})])
    assert passes_the_last_message(world)


def test_the_watermark_passes_the_last_message_of_a_resolver_that_died_of_its_commit(world: World) -> None:
    world.log.writer(1).append([record("track", {"messageId": "a", "userId": "u", "event": "E"})])
    store = world.store()
    assert Consumer(world.parts(store)).turn()
    store.close()
    with contextlib.closing(SqliteMessageReader(world.folder / "store.db")) as reader:
        assert reader.watermark() <= reader.newest(1)[0].received_at
    assert passes_the_last_message(world)


def passes_the_last_message(world: World) -> bool:
    """Whether a running resolver without new messages lets the deliverer have the last one."""
    store = world.store()
    stop = threading.Event()
    loop = threading.Thread(target=run, args=(world.parts(store), stop))
    loop.start()
    try:
        for _ in range(100):
            stop.wait(0.05)
            with contextlib.closing(SqliteMessageReader(world.folder / "store.db")) as reader:
                stored = reader.newest(1)
                if stored and reader.watermark() > stored[0].received_at:
                    return True
        return False
    finally:
        stop.set()
        loop.join(10)
        store.close()


def test_a_log_that_is_read_again_from_its_beginning_changes_nothing(world: World) -> None:
    writer = world.log.writer(1)
    calls = [record("track", {"messageId": f"m{n}", "userId": f"u{n % 3}", "event": "E"}) for n in range(50)]
    writer.append(calls)
    world.resolve()
    store = world.store()
    before = store.digest()
    store.close()
    writer.append(calls)
    world.resolve()
    store = world.store()
    assert store.digest() == before
    store.close()
    assert world.statuses[-1].duplicates == 50


def test_a_resolver_whose_store_was_taken_over_stops_instead_of_writing(world: World) -> None:
    world.log.writer(1).append([record("track", {"messageId": "a", "userId": "u", "event": "E"})])
    store = world.store()
    zombie = Consumer(world.parts(store))
    store.begin(world.log.log_id)
    Consumer(world.parts(store)).turn()
    world.log._append(1, [record("track", {"messageId": "b", "userId": "u", "event": "E"})])
    with pytest.raises(Fenced):
        zombie.turn()
    store.close()


def test_a_second_writer_of_a_store_is_refused_by_name(world: World) -> None:
    store = world.store()
    with pytest.raises(StoreLocked, match="process"):
        world.store()
    store.close()


def test_a_log_that_was_cut_ahead_of_the_resolver_is_counted_and_the_rest_goes_on(world: World) -> None:
    writer = world.log.writer(1)
    writer.append([record("track", {"messageId": f"m{n}", "userId": "u", "event": "E"}) for n in range(5)])
    world.log.cut(1, 3)
    world.resolve()
    world.resolve()
    reader = SqliteMessageReader(world.folder / "store.db")
    assert [message.message_id for message in reader.read(1, 0, 10)] == ["m3", "m4"]


def test_the_status_names_lag_positions_and_books(world: World) -> None:
    world.log.writer(1).append([record("track", {"messageId": "a", "userId": "u", "event": "E"})] * 2)
    world.resolve()
    status = world.statuses[-1]
    assert (status.lag, status.positions, status.stored, status.duplicates) == ({1: 0}, {1: 2}, 1, 1)


def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room_again(world: World) -> None:
    writer = world.log.writer(1)
    body = {"userId": "u", "event": "E", "properties": {"text": "x" * 20_000}}
    writer.append([record("track", {**body, "messageId": f"m{n}"}) for n in range(40)])
    store = world.store()
    pages = store.database.execute("PRAGMA page_count").get
    store.database.execute(f"PRAGMA max_page_count = {pages + 30}")
    consumer = Consumer(world.parts(store))
    with pytest.raises(StoreUnavailable) as refused:
        consumer.turn()
    assert refused.value.code == "disk_full"
    assert SqliteMessageReader(world.folder / "store.db").resolved().get(1, 0) == 0
    store.database.execute("PRAGMA max_page_count = 1000000")
    while consumer.turn():
        pass
    assert len(SqliteMessageReader(world.folder / "store.db").read(1, 0, 100)) == 40
    store.close()


def test_the_loop_takes_the_deleted_out_of_the_files_while_it_runs(world: World) -> None:
    log = world.log.writer(1)
    log.append([record("identify", {"messageId": "a", "userId": "u", "traits": {"note": "secret"}})])
    store = world.store()
    consumer = Consumer(world.parts(store))
    while consumer.turn():
        pass
    files = [world.folder / "store.db", world.folder / "store.db-wal"]
    assert any(b"secret" in path.read_bytes() for path in files)
    log.append([record("control", {"type": "delete", "messageId": "d", "ids": ["user:u"]})])
    until_s = CLOCK.monotonic_s() + 10
    while any(b"secret" in path.read_bytes() for path in files) and CLOCK.monotonic_s() < until_s:
        consumer.turn()
    assert not any(b"secret" in path.read_bytes() for path in files)
    store.close()
