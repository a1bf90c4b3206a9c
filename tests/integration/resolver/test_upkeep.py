"""Deletion that erases, retries (A1), the full rebuild, the archive's horizon, and crashes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import apsw
import msgspec
import pytest

from tabard.identity.rules import Rules
from tabard.resolver.dry_run import resolved_lines
from tabard.storage.sqlite import store_batch, store_nodes, store_reader, store_upkeep
from tabard.storage.sqlite.store_keys import KEY_MASK
from tabard.storage.sqlite.store_nodes import Node
from tabard.storage.sqlite.store_rebuild import Rebuilder
from tabard.storage.sqlite.store_usage import SqliteUsageReader
from tests.integration.resolver.engine import Engine, Event

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "spec" / "identity" / "examples.json").read_text("utf-8")
)


def call(kind: str, name: str, second: float, **fields: Any) -> Event:
    return {"type": kind, "messageId": name, "timestamp": f"2024-05-01T12:00:{second:06.3f}Z", **fields}


def on_disk(path: Path) -> bytes:
    """Every byte of a database as it lies there: the file, its write-ahead log, whatever else is beside it."""
    return b"".join(beside.read_bytes() for beside in sorted(path.parent.glob(path.name + "*")))


PERSON = [
    call("identify", "m1", 1, userId="secret-user", anonymousId="secret-device", traits={"email": "secret@x.io"}),
    call("track", "m2", 2, userId="secret-user", event="secret-event"),
    call("identify", "m3", 3, userId="other", traits={"n": 1}),
]
DELETE = call("delete", "d1", 5, ids=["user:secret-user", "anon:secret-device", "email:secret@x.io"])


@pytest.mark.parametrize("events", [[*PERSON, DELETE], [DELETE, *PERSON]], ids=["delete last", "delete first"])
def test_a_delete_leaves_no_byte_of_the_person_but_keyed_hashes(events: list[Event], tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed(events)
    digest = engine.digest()
    engine.settle(erase=True)
    assert engine.digest() == digest
    assert [profile["canonical"] for profile in engine.state()["profiles"]] == ["user:other"]
    assert engine.store.wipe()
    left = on_disk(engine.path)
    # The control itself names whom it deletes: it stays, so that a rebuild can obey it.
    control = json.dumps(DELETE["ids"], separators=(",", ":")).encode()
    assert control in left
    assert b"secret" not in left.replace(control, b"")
    engine.close()
    assert b"secret" not in on_disk(engine.path).replace(control, b"")


def letters() -> list[Event]:
    """Calls of two kinds of people, some long, all mixed, some copies of others: pages split, overflow and merge."""
    random = Random(3)
    made = []
    for n in range(400):
        who = random.choice(("secret", "open"))
        note = f"{who}-{n}-" * random.choice((1, 40, 900))
        user = f"{who}-user-{random.randrange(20)}"
        traits = {"note": note, "email": f"{user}@x.io"}
        second = random.randrange(3000) / 100
        made.append(
            call(
                "identify", f"m{random.randrange(n + 40)}", second, userId=user, anonymousId=f"{who}-{n}", traits=traits
            )
        )
    return made


def test_what_was_deleted_is_in_no_byte_of_the_files_in_use(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed(letters(), batch=40)
    engine.settle()
    assert b"secret-" in on_disk(engine.path)
    ids = [f"anon:secret-{n}" for n in range(400)]
    for n in range(20):
        ids += [f"user:secret-user-{n}", f"email:secret-user-{n}@x.io"]
    deletes = [call("delete", f"d{n}", 59, ids=ids[n::44]) for n in range(44)]
    engine.feed(deletes)
    engine.settle(erase=True)
    assert engine.store.wipe()
    left = on_disk(engine.path)
    for delete in deletes:
        # The control itself names whom it deletes: it stays, so that a rebuild can obey it.
        left = left.replace(json.dumps(delete["ids"], separators=(",", ":")).encode(), b"")
    assert b"open-" in left
    assert b"secret-" not in left
    engine.close()


def test_a_reader_in_the_way_only_delays_the_wiping(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed(PERSON)
    reader = apsw.Connection(str(engine.path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN; SELECT count(*) FROM body").fetchall()
    engine.feed([DELETE])
    engine.settle(erase=True)
    assert not engine.store.wipe()
    assert b"secret-event" in on_disk(engine.path)
    reader.execute("ROLLBACK")
    assert engine.store.wipe()
    assert b"secret-event" not in on_disk(engine.path)
    engine.close()


GROUP_ALONE = [
    call("group", "g1", 1, groupId="acme", traits={"plan": "hidden", "old": 1}),
    call("track", "g2", 2, userId="admin", event="Object Deleted", properties={"objectId": "acme"}),
    call("group", "g3", 3, groupId="acme", traits={"plan": "free"}),
    call("group", "g4", 4, userId="ann", groupId="acme", traits={"seats": 2}),
    call("group", "g5", 5, groupId="acme", anonymousId="null", traits={"plan": "pro"}),
]


def test_a_group_call_without_a_person_writes_its_groups_traits_in_any_order_and_no_profile(tmp_path: Path) -> None:
    digests = set()
    for number, events in enumerate(permutations(GROUP_ALONE)):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = Engine(folder)
        engine.feed(events, batch=1 + number % 3)
        engine.settle(erase=number % 2 == 0)
        # A retry that is a little earlier changes nothing.
        engine.feed([{**GROUP_ALONE[4], "timestamp": "2024-05-01T12:00:04.500Z"}])
        engine.settle(erase=True)
        state = engine.state()
        assert state["groups"] == {"acme": {"plan": "pro", "seats": 2}}
        assert [profile["canonical"] for profile in state["profiles"]] == ["user:ann"]
        digests.add(engine.digest())
        dead = {one.message_id for one in engine.messages().read(0, 0, 10) if engine.messages().is_dead(one)}
        assert dead == {"g1"}
        assert engine.store.wipe()
        assert b"hidden" not in on_disk(engine.path)
        if number == 0:
            engine.store.rebuild()
            assert engine.digest() in digests
        engine.close()
    assert len(digests) == 1


def test_an_earlier_copy_of_a_group_call_without_a_person_gives_way_to_what_it_overtook(tmp_path: Path) -> None:
    late = call("group", "g9", 9, groupId="acme", traits={"plan": "late"})
    engine = Engine(tmp_path)
    engine.feed([late, call("group", "g8", 8, groupId="acme", traits={"plan": "middle"})])
    assert engine.state()["groups"] == {"acme": {"plan": "late"}}
    engine.feed([{**late, "timestamp": "2024-05-01T12:00:07.000Z"}])
    assert engine.state()["groups"] == {"acme": {"plan": "middle"}}
    engine.close()


def test_which_traits_and_groups_are_kept_of_too_many_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rules = Rules(max_traits=4)
    events = [call("identify", f"k{n}", n, userId="u", traits={f"t{n}": n, "plan": n}) for n in range(1, 9)]
    events += [call("group", f"g{n}", n, userId="u", groupId=f"group-{n}") for n in range(1, 9)]
    events += [call("identify", "e", 9, userId="u", traits={"email": "u@x.io"})]
    delete = call("delete", "d", 4, ids=["user:u"])
    digests, late = set(), set()
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = Engine(folder, rules)
        Random(number).shuffle(events)
        engine.feed(events, batch=1 + number % 5)
        (profile,) = engine.state()["profiles"]
        assert len(profile["traits"]) == len(profile["groups"]) == 4
        assert profile["traits"]["email"] == "u@x.io"
        digests.add(engine.digest())
        engine.feed([delete])
        (profile,) = engine.state()["profiles"]
        assert len(profile["traits"]) == len(profile["groups"]) == 4
        late.add(engine.digest())
        engine.close()
    first = Engine(tmp_path, rules)
    first.feed([delete, *events])
    assert late == {first.digest()}
    assert len(digests) == 1
    (books,) = SqliteUsageReader(first.path).books()
    assert books.warnings["traits_or_groups_at_limit"] > 0
    first.close()


def test_who_was_deleted_and_erased_comes_back_under_the_same_id_with_what_is_new(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed(PERSON)
    engine.settle()
    before = engine.profiles().profile("user:secret-user")
    engine.feed([DELETE])
    engine.settle(erase=True)
    assert engine.profiles().profile("user:secret-user") is None
    engine.feed([call("identify", "m9", 9, userId="secret-user", traits={"n": 2})])
    engine.settle()
    after = engine.profiles().profile("user:secret-user")
    assert before is not None
    assert after is not None
    assert after.profile_id == before.profile_id
    assert (after.events, after.traits, after.identifiers) == (1, {"n": 2}, ("user:secret-user",))


CONTROLS = [
    call("delete", "c", 5, ids=["user:secret-user", "anon:secret-device"]),
    call("suppress", "c", 5, ids=["user:secret-user"]),
    call("unsuppress", "c", 5, ids=["user:secret-user"]),
    call("cut", "c", 5, a="user:secret-user", b="anon:secret-device"),
    call("uncut", "c", 5, a="user:secret-user", b="*"),
    call("track", "c", 5, userId="secret-user", event="User Deleted"),
    call("track", "c", 5, userId="secret-user", event="User Suppressed"),
]


@pytest.fixture
def rebuilt(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Who was derived anew, each time."""
    found: list[set[str]] = []
    original = Rebuilder.rebuild

    def counted(self: Rebuilder, listed: Iterable[Node]) -> None:
        found.append({node.text for node in listed})
        original(self, listed)

    monkeypatch.setattr(Rebuilder, "rebuild", counted)
    return found


@pytest.mark.parametrize("control", CONTROLS, ids=lambda event: event.get("event", event["type"]))
def test_a_control_that_comes_again_derives_nobody_anew(
    control: Event, tmp_path: Path, rebuilt: list[set[str]]
) -> None:
    engine = Engine(tmp_path)
    engine.feed(PERSON)
    assert rebuilt == []
    engine.feed([control, control])
    assert len(rebuilt) == 1
    engine.feed([control])
    engine.settle(erase=True)
    engine.feed([control, control])
    engine.restart()
    engine.feed([control])
    assert len(rebuilt) == 1
    engine.close()


def test_a_copy_of_a_delete_derives_anew_whom_it_names_besides_or_deletes_for_longer(
    tmp_path: Path, rebuilt: list[set[str]]
) -> None:
    engine = Engine(tmp_path)
    engine.feed([*PERSON, call("delete", "c", 5, ids=["user:secret-user"])])
    rebuilt.clear()
    engine.feed([call("delete", "c", 4, ids=["user:secret-user"])])
    assert rebuilt == []
    engine.feed([call("delete", "c", 5, ids=["user:secret-user", "user:other"])])
    assert rebuilt == [{"user:other"}]
    engine.feed([call("delete", "c", 6, ids=["user:secret-user"])])
    assert rebuilt == [{"user:other"}, {"user:secret-user"}]
    engine.close()


def test_dead_messages_are_never_to_be_delivered_and_the_call_that_deletes_is(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([*PERSON, call("track", "d2", 6, userId="secret-user", event="User Deleted")])
    reader = engine.messages()
    dead = {message.message_id: reader.is_dead(message) for message in reader.read(0, 0, 10)}
    assert dead == {"m1": True, "m2": True, "m3": False, "d2": False}


def test_a_retry_with_a_smaller_time_is_no_new_message_and_keeps_every_answer(tmp_path: Path) -> None:
    first = [
        call("identify", "a", 2.015, userId="u", anonymousId="d", traits={"plan": "retried"}),
        call("identify", "b", 2.010, userId="u", traits={"plan": "between"}),
    ]
    retry = call("identify", "a", 2.003, userId="u", anonymousId="d", traits={"plan": "retried"})
    engine = Engine(tmp_path)
    engine.feed(first)
    assert engine.state()["profiles"][0]["traits"] == {"plan": "retried"}
    committed = engine.commit(list(resolved_lines([retry], Rules(), engine.offset)))
    assert (committed.stored, committed.duplicates, committed.conflicting) == (0, 1, 0)
    assert engine.state()["profiles"][0]["traits"] == {"plan": "between"}
    assert [message.message_id for message in engine.messages().read(0, 0, 10)] == ["a", "b"]
    other = tmp_path / "other"
    other.mkdir()
    reversed_ = Engine(other)
    reversed_.feed([retry, *reversed(first)])
    assert reversed_.digest() == engine.digest()


def test_copies_with_other_content_are_counted_and_the_smallest_is_the_message(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([call("track", "constant", 5, userId=f"u{n}", event=f"E{n}") for n in (3, 2, 4)], batch=1)
    assert [profile["canonical"] for profile in engine.state()["profiles"]] == ["user:u2"]
    (stored,) = engine.messages().find("constant")
    assert b'"E2"' in stored.body
    assert engine.messages().read(0, 0, 10) == [stored]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_a_full_rebuild_gives_the_same_state_byte_for_byte(example: dict[str, Any], tmp_path: Path) -> None:
    engine = Engine(tmp_path, Rules(**example.get("config", {})))
    engine.feed(example["events"], batch=3)
    digest, changes = engine.digest(), engine.profiles().changes(0, 1000)
    engine.store.rebuild()
    assert engine.digest() == digest
    assert engine.state() == example["expect"]
    assert engine.profiles().changes(0, 1000) == changes


def test_a_rebuild_obeys_values_blocked_since(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([call("track", f"m{n}", n, userId=f"u{n}", anonymousId="shared-tv", event="E") for n in range(2)])
    engine.feed([call("page", "p", 3, anonymousId="shared-tv")])
    engine.settle()
    engine.rules = Rules(blocked=frozenset({"shared-tv"}))
    engine.restart()
    engine.store.rebuild()
    assert [profile["ids"] for profile in engine.state()["profiles"]] == [["user:u0"], ["user:u1"]]


def test_a_changed_limit_of_traits_is_noticed_and_holds_after_a_rebuild(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([call("identify", "m", 1, userId="u", traits={f"t{n}": n for n in range(9)})])
    engine.settle()
    assert not engine.store.is_outdated()
    for most in (4, 7):
        engine.rules = Rules(max_traits=most)
        engine.restart()
        assert engine.store.is_outdated()
        engine.store.rebuild()
        assert not engine.store.is_outdated()
        assert len(engine.state()["profiles"][0]["traits"]) == most
    fresh_folder = tmp_path / "fresh"
    fresh_folder.mkdir()
    fresh = Engine(fresh_folder, engine.rules)
    fresh.feed([call("identify", "m", 1, userId="u", traits={f"t{n}": n for n in range(9)})])
    assert fresh.digest() == engine.digest()
    assert engine.store.purge(engine.messages().newest(1)[0].received_at + 1) == 1
    engine.rules = Rules(max_traits=2)
    engine.restart()
    engine.store.rebuild()
    assert len(engine.state()["profiles"][0]["traits"]) == 2


def test_changed_limits_hold_after_a_restart_without_a_rebuild(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([call("track", f"m{n}", n, userId=f"u{n}", anonymousId="tv", event="E") for n in range(3)])
    assert engine.state()["profiles"][0]["ids"] == ["anon:tv", "user:u0"]
    engine.rules = Rules(max_owners=2)
    engine.restart()
    assert engine.state()["profiles"][0]["ids"] == ["user:u0"]


def test_bodies_past_the_horizon_go_and_what_is_known_stays_even_after_a_rebuild(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed(PERSON)
    digest = engine.digest()
    received = engine.messages().newest(1)[0].received_at
    assert engine.store.purge(received) == 2
    assert engine.store.purge(received) == 0
    assert [bool(message.body) for message in engine.messages().read(0, 0, 10)] == [False, False, True]
    assert engine.digest() == digest
    engine.store.rebuild()
    assert engine.digest() == digest
    engine.feed([PERSON[0]])
    assert engine.digest() == digest


def test_messages_and_identifiers_whose_hashes_collide_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (store_batch, store_reader):
        monkeypatch.setattr(module, "message_key", lambda _: KEY_MASK - 1)
    monkeypatch.setattr(store_nodes, "key_of", lambda _: KEY_MASK - 1)
    for number, example in enumerate(EXAMPLES[:20]):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = Engine(folder, Rules(**example.get("config", {})))
        engine.feed([*example["events"], *example["events"]], batch=2)
        engine.restart()
        engine.feed(example["events"])
        assert engine.state() == example["expect"]
        first = example["events"][0]
        assert [one.message_id for one in engine.messages().find(first["messageId"])] == [first["messageId"]]
        engine.close()


def test_one_message_id_of_two_sources_is_two_messages(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    (one,) = resolved_lines([call("track", "m", 1, userId="u", event="E")], Rules())
    other = msgspec.structs.replace(one, message=msgspec.structs.replace(one.message, position=1, source="other"))
    engine.commit([one, other])
    assert engine.state()["profiles"][0]["events"] == 2
    assert sorted(found.source for found in engine.messages().find("m")) == ["other", "resolve"]


def test_an_inactive_call_updates_traits_and_not_the_last_time_somebody_was_seen(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([call("track", "a", 1, userId="u", event="E")])
    engine.feed([call("identify", "b", 9, userId="u", traits={"n": 1}, context={"active": False})])
    profile = engine.profiles().profile("user:u")
    assert profile is not None
    assert (profile.last_seen - profile.first_seen, profile.events, profile.traits) == (0, 2, {"n": 1})


def test_a_rebuild_that_is_cut_off_goes_on_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_upkeep, "CHUNK", 2)
    engine = Engine(tmp_path)
    engine.feed(crash_events()[:60])
    digest = engine.digest()
    settled = 0

    def dies(*_: object) -> None:
        nonlocal settled
        settled += 1
        if settled > 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as cut_off:
        cut_off.setattr(Rebuilder, "settle", dies)
        with pytest.raises(KeyboardInterrupt):
            engine.store.rebuild()
    engine.restart()
    # It may take long, and whoever watches the resolver must see that it works.
    assert engine.beats >= 20
    assert engine.digest() == digest


CRASHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.integration.resolver.test_upkeep import crash_events
from tests.integration.resolver.engine import Engine
engine = Engine(Path(sys.argv[1]))
engine.offset = engine.store.positions().get(0, 0)
events = crash_events()
print(engine.offset, flush=True)
for start in range(engine.offset, len(events), 7):
    engine.feed(events[start:start + 7])
    if start % 3 == 0:
        engine.store.project(5)
"""


def crash_events() -> list[Event]:
    """A few thousand calls and controls of a small world, always the same."""
    random = Random(11)
    events: list[Event] = []
    for number in range(3000):
        kind = random.choice(["page", "track", "identify", "identify", "alias", "group"])
        event = call(kind, f"m{random.randrange(2500)}", number % 60)
        event["anonymousId"] = f"d{random.randrange(60)}"
        if kind != "page":
            event["userId"] = random.choice([f"u{random.randrange(40)}", f"l{random.randrange(20)}@x.io"])
        if kind == "alias":
            event["previousId"] = f"u{random.randrange(40)}"
        if kind in ("identify", "group"):
            event["traits"] = {f"k{random.randrange(4)}": number, "email": f"l{random.randrange(20)}@x.io"}
        if kind == "group":
            event["groupId"] = f"g{random.randrange(5)}"
        events.append(event)
        if number % 250 == 99:
            events.append(call("delete", f"c{number}", number % 60, ids=[f"user:u{random.randrange(40)}"]))
            events.append(call("cut", f"x{number}", 59, a=f"user:u{random.randrange(40)}", b="*"))
    return events


def test_a_resolver_killed_at_random_moments_ends_in_the_same_state(tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    reference = Engine(calm)
    reference.feed(crash_events(), batch=500)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    random = Random(3)
    root = str(Path(__file__).parents[3])
    kills = 0
    for _ in range(12):
        arguments = [sys.executable, "-c", CRASHER, str(crashed), "-", root]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0.02, 0.3))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
    assert kills > 3
    survivor = Engine(crashed)
    survivor.offset = survivor.store.positions()[0]
    assert survivor.offset > 0
    survivor.feed(crash_events())
    assert survivor.digest() == reference.digest()
    assert survivor.state() == reference.state()


def test_deleting_an_object_ends_its_traits_and_memberships_up_to_then(tmp_path: Path) -> None:
    events = [
        call("group", "g1", 1, userId="u", groupId="acme", traits={"plan": "old"}),
        call("group", "g2", 2, userId="v", groupId="acme", traits={"size": 2}),
        call("identify", "g3", 3, userId="w", traits={"objectId": "acme"}),
        call("track", "d", 5, userId="admin", event="Object Deleted", properties={"objectId": "acme"}),
        call("group", "g4", 9, userId="v", groupId="acme", traits={"plan": "new"}),
    ]
    digests = set()
    for number, order in enumerate([events, events[::-1], [*events[2:], *events[:2]]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = Engine(folder)
        engine.feed(order, batch=1)
        state = engine.state()
        assert {one["canonical"]: one["groups"] for one in state["profiles"]} == {
            "user:u": [],
            "user:v": ["acme"],
            "user:w": [],
        }
        assert state["groups"] == {"acme": {"plan": "new"}}
        digests.add(engine.digest())
        engine.close()
    assert len(digests) == 1
