"""The table of keys: what one commit brings is found at once, by writer and readers, and stays when it is moved on."""

from pathlib import Path
from random import Random

import apsw
import pytest

from tabard.identity.rules import Rules
from tabard.storage.sqlite.database import DatabaseMissing, connect, immediate, is_current, migrate
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_keys import KEY_MASK, RANGES, KeyTable, KeyWriter
from tests.integration.resolver.engine import LOG_ID, SECRET, Engine


def opened(path: Path) -> apsw.Connection:
    database = connect(path)
    migrate(database, "store")
    return database


def test_every_key_is_found_wherever_it_waits_and_none_that_was_undone(tmp_path: Path) -> None:
    random, database = Random(5), opened(tmp_path / "store.db")
    writer, reader = KeyWriter(database, "message"), KeyTable(connect(tmp_path / "store.db", read_only=True), "message")
    kept: dict[int, int] = {}
    undone: set[int] = set()
    for commit in range(RANGES * 2 + 5):
        new = {random.getrandbits(63): commit << 48 | n for n in range(random.randrange(1, 40))}
        database.execute("BEGIN IMMEDIATE")
        writer.add(new.items())
        if commit % 7 == 3:
            database.execute("ROLLBACK")
            writer.forget()
            undone |= new.keys()
        else:
            database.execute("COMMIT")
            kept |= new
        if commit % 10 == 0:
            writer = KeyWriter(database, "message")
        asked = [*random.sample(sorted(kept), min(30, len(kept))), *new, *undone]
        expected = {key: kept[key] for key in asked if key in kept}
        assert writer.find(asked) == expected
        assert reader.find(asked) == expected
    with immediate(database):
        for _ in range(RANGES):
            writer.add(())
    assert database.execute("SELECT count(*) FROM message_key_run").get == 0
    assert dict(database.execute("SELECT key, value FROM message_key")) == kept


def test_a_text_whose_key_is_taken_gets_the_next_even_across_the_end_of_a_range(tmp_path: Path) -> None:
    database = opened(tmp_path / "store.db")
    writer = KeyWriter(database, "node")
    edge = (KEY_MASK + 1) // RANGES
    with immediate(database):
        writer.add([(edge - 1, 1), (edge, 2), (KEY_MASK, 3), (0, 4)])
    assert list(writer.probe(edge - 1)) == list(KeyTable(database, "node").probe(edge - 1)) == [1, 2]
    assert list(writer.probe(KEY_MASK)) == [3, 4]


def test_a_store_of_the_release_before_keeps_its_keys(tmp_path: Path) -> None:
    """Taken back to how version 2 held them: some in the small table, some in the large one."""
    engine = Engine(tmp_path)
    events = [
        {
            "type": "track",
            "messageId": f"m{n}",
            "userId": f"u{n % 9}",
            "anonymousId": f"d{n}",
            "event": "E",
            "timestamp": n,
        }
        for n in range(1_700_000_000, 1_700_000_090)
    ]
    engine.feed(events, batch=4)
    digest = engine.digest()
    engine.close()
    database = connect(tmp_path / "store.db")
    for name in ("message", "node"):
        writer = KeyWriter(database, name)
        with immediate(database):
            for _ in range(RANGES):
                writer.add(())
            database.execute(f"CREATE TABLE {name}_key_new (key INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
            database.execute(f"INSERT INTO {name}_key_new SELECT * FROM {name}_key WHERE value % 3 = 0")
            database.execute(f"DELETE FROM {name}_key WHERE value % 3 = 0")
            database.execute(f"DROP TABLE {name}_key_run")
    database.execute("DROP TABLE deletion").fetchall()
    database.execute("DROP INDEX control_delete").fetchall()
    database.execute("DELETE FROM migration WHERE number >= 3").fetchall()
    database.execute("PRAGMA user_version = 2").fetchall()
    database.close()
    assert not is_current(tmp_path / "store.db", "store")
    with pytest.raises(DatabaseMissing, match="serve"):
        engine.messages()
    store = SqliteStore(tmp_path / "store.db", SECRET, Rules())
    store.begin(LOG_ID)
    store.close()
    assert (tmp_path / "store.db.before-4").exists()
    engine = Engine(tmp_path)
    engine.offset = len(events)
    engine.feed(events, batch=50)
    assert engine.digest() == digest
    found = engine.messages().find("m1700000007")
    assert [one.message_id for one in found] == ["m1700000007"]
    profile = engine.profiles().profile("anon:d1700000007")
    assert profile is not None
    assert f"user:u{1_700_000_007 % 9}" in profile.identifiers
    engine.close()
