"""What any store promises those who read it (storage/interface.py); each driver is run through this suite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.message.types import SERVER_TRUST
from tabard.storage.interface import Consumed, Fenced, MessageReader, ProfileReader
from tests.integration.resolver.engine import LOG_ID, Engine, Event


def call(kind: str, name: str, second: int, **fields: Any) -> Event:
    return {"type": kind, "messageId": name, "timestamp": f"2024-05-01T12:00:{second:02d}.000Z", **fields}


LIFE = [
    call("page", "m0", 0, anonymousId="d"),
    call("identify", "m1", 1, anonymousId="d", userId="ann", traits={"email": "ann@x.io", "firstName": "Ann"}),
    call("track", "m2", 2, userId="bob", event="E"),
    call("track", "m2", 2, userId="bob", event="E"),
    call("cut", "c1", 3, a="user:bob", b="anon:z"),
    call("group", "m3", 4, userId="ann", groupId="acme", traits={"plan": "team"}),
]


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path)
    made.feed(LIFE)
    made.settle()
    yield made
    made.close()


@pytest.fixture
def messages(engine: Engine) -> MessageReader:
    return engine.messages()


@pytest.fixture
def profiles(engine: Engine) -> ProfileReader:
    return engine.profiles()


def test_messages_come_in_log_order_without_copies_and_controls(messages: MessageReader) -> None:
    read = messages.read(0, 0, 10)
    assert [(one.message_id, one.position) for one in read] == [("m0", 0), ("m1", 1), ("m2", 2), ("m3", 5)]
    assert [one.message_id for one in messages.read(0, 2, 1)] == ["m2"]
    assert messages.read(0, 6, 10) == []
    assert messages.read(1, 0, 10) == []
    assert messages.log_id() == LOG_ID
    assert messages.resolved() == {0: 6}


def test_the_newest_messages_come_first_and_can_be_filtered(messages: MessageReader) -> None:
    assert [one.message_id for one in messages.newest(2)] == ["m3", "m2"]
    assert [one.message_id for one in messages.newest(9, call_type="track")] == ["m2"]
    assert [one.message_id for one in messages.newest(9, source="nobody")] == []


def test_a_message_is_found_by_its_id(messages: MessageReader) -> None:
    (found,) = messages.find("m1")
    assert (found.position, found.type, b'"Ann"' in found.body) == (1, "identify", True)
    assert found.trust == messages.read(0, 1, 1)[0].trust == messages.newest(9)[2].trust == SERVER_TRUST
    assert messages.find("c1") == []
    assert messages.find("nothing") == []


def test_any_identifier_leads_to_the_profile_and_so_does_its_id(profiles: ProfileReader) -> None:
    ann = profiles.profile("anon:d")
    assert ann is not None
    assert ann == profiles.profile("email:Ann@x.io") == profiles.profile_by_id(ann.profile_id)
    assert ann.identifiers == ("anon:d", "email:ann@x.io", "user:ann")
    assert (ann.canonical, ann.traits, ann.groups, ann.events) == (
        "user:ann",
        {"email": "ann@x.io", "firstName": "Ann"},
        ("acme",),
        3,
    )
    assert ann.last_seen - ann.first_seen == 4000
    assert profiles.profile("user:nobody") is None
    assert profiles.profile_by_id("00" * 16) is None
    assert profiles.profile_by_id("no id") is None
    with pytest.raises(ValueError, match="no identifier"):
        profiles.profile("ann")


def test_an_identifier_that_was_not_projected_yet_has_its_profile_already(engine: Engine) -> None:
    engine.feed([call("track", "m9", 9, userId="ann", anonymousId="new", event="E")])
    profile = engine.profiles().profile("anon:new")
    assert profile is not None
    assert profile.canonical == "user:ann"


def test_people_are_found_by_a_whole_identifier_and_the_beginning_of_an_address(profiles: ProfileReader) -> None:
    for text in ("ann", "user:ann", "ann@", "an", "d", "anon:d"):
        assert [one.canonical for one in profiles.search(text, 5)] == ["user:ann"], text
    assert profiles.search("nn@x.io", 5) == []
    assert profiles.search("bo", 5) == []


def test_a_timeline_is_the_whole_profiles_newest_first_and_goes_on_below_a_position(profiles: ProfileReader) -> None:
    line = list(profiles.timeline("email:ann@x.io", 2))
    assert [one.message_id for one in line] == ["m3", "m1"]
    assert [one.message_id for one in profiles.timeline("anon:d", 5, before=line[-1].position)] == ["m0"]


def test_a_long_timeline_is_paged_without_gaps_or_repeats(engine: Engine) -> None:
    engine.feed([call("track", f"t{n}", n % 60, userId="long", event=f"{n}") for n in range(500)])
    engine.settle()
    reader, paged, before = engine.profiles(), [], None
    while page := reader.timeline("user:long", 37, before):
        paged += [one.message_id for one in page]
        before = page[-1].position
    assert paged == [f"t{n}" for n in reversed(range(500))]


def test_changes_tell_in_order_which_profile_an_identifier_moved_to(engine: Engine) -> None:
    reader = engine.profiles()
    first = reader.changes(0, 100)
    assert [one.seq for one in first] == list(range(1, len(first) + 1))
    assert {one.identifier for one in first} == {"anon:d", "user:ann", "email:ann@x.io", "user:bob"}
    engine.feed([call("alias", "m8", 8, previousId="bob", userId="ann")])
    engine.settle()
    (moved,) = reader.changes(first[-1].seq, 100)
    ann, bob = reader.profile("user:ann"), next(one for one in first if one.identifier == "user:bob")
    assert ann is not None
    assert (moved.identifier, moved.new_profile_id, moved.cause) == ("user:bob", ann.profile_id, "alias")
    assert moved.old_profile_id == bob.new_profile_id


def test_of_each_identifier_only_the_newest_change_is_kept_and_no_number_is_given_twice(engine: Engine) -> None:
    reader = engine.profiles()
    seen = [one.seq for one in reader.changes(0, 100)]
    for n in range(20):
        engine.feed([call(("cut", "uncut")[n % 2], f"c{n}", 10 + n, a="user:ann", b="anon:d")])
        # Bob goes, and comes back as somebody who was in no profile.
        engine.feed([call("delete", f"d{n}", 10 + n, ids=["user:bob"])])
        engine.settle()
        engine.feed([call("track", f"b{n}", 11 + n, userId="bob", event="E")])
        engine.settle()
        seen += [one.seq for one in reader.changes(seen[-1], 100)]
    assert len(seen) == len(set(seen)) >= 20
    assert engine.store.database.execute("SELECT count(*) FROM outbox").get <= 8
    kept = reader.changes(0, 100)
    assert sorted(one.identifier for one in kept) == ["anon:d", "email:ann@x.io", "user:ann", "user:bob"]
    ann = reader.profile("user:ann")
    assert ann is not None
    assert next(one for one in kept if one.identifier == "anon:d").new_profile_id == ann.profile_id


def test_a_follower_of_moves_that_goes_by_their_key_ends_right_after_an_erasure(engine: Engine) -> None:
    reader, after = engine.profiles(), 0
    names: dict[str, str] = {}
    mirror: dict[str, str | None] = {}

    def follow() -> None:
        nonlocal after
        for one in reader.changes(after, 100):
            names.setdefault(one.key, one.identifier)
            mirror[one.key] = one.new_profile_id
            after = one.seq

    def who() -> dict[str, str | None]:
        return {names[key]: profile_id for key, profile_id in mirror.items()}

    follow()
    ann, bob = reader.profile("user:ann"), reader.profile("user:bob")
    assert ann is not None
    assert bob is not None
    both = {"anon:d": ann.profile_id, "email:ann@x.io": ann.profile_id, "user:ann": ann.profile_id}
    assert who() == {**both, "user:bob": bob.profile_id}
    engine.feed([call("delete", "d1", 10, ids=["user:ann", "email:ann@x.io"])])
    engine.settle(erase=True)
    follow()
    gone = {one.key: one for one in reader.changes(0, 100) if one.new_profile_id is None}
    assert {names[key] for key in gone} == {"user:ann", "email:ann@x.io"}
    assert all(one.identifier == f"{names[key].partition(':')[0]}:~{key}" for key, one in gone.items())
    device = reader.profile("anon:d")
    alone = None if device is None else device.profile_id
    assert who() == {"anon:d": alone, "email:ann@x.io": None, "user:ann": None, "user:bob": bob.profile_id}
    engine.feed([call("track", "t1", 11, userId="ann", event="E")])
    engine.settle()
    follow()
    assert who()["user:ann"] == ann.profile_id
    assert len(mirror) == 4


def test_an_identifier_that_reads_like_an_erased_one_has_an_id_of_its_own(engine: Engine) -> None:
    reader = engine.profiles()
    ann = reader.profile("user:ann")
    assert ann is not None
    engine.feed([call("track", "t1", 11, userId=f"~{ann.profile_id}", event="E")])
    engine.settle()
    copycat = reader.profile(f"user:~{ann.profile_id}")
    assert copycat is not None
    assert copycat.profile_id != ann.profile_id
    assert reader.profile_by_id(copycat.profile_id) == copycat
    assert reader.profile_by_id(ann.profile_id) == ann
    keys = [one.key for one in reader.changes(0, 100)]
    assert len(keys) == len(set(keys))


def test_dead_is_what_a_delete_or_suppression_covers(engine: Engine) -> None:
    reader = engine.messages()
    assert not any(reader.is_dead(one) for one in reader.read(0, 0, 10))
    engine.feed([call("suppress", "s1", 2, ids=["user:bob", "user:ann"])])
    assert [one.message_id for one in reader.read(0, 0, 10) if reader.is_dead(one)] == ["m2", "m3"]


def test_why_a_message_is_dead_names_the_control_and_since_when(engine: Engine) -> None:
    engine.feed(
        [
            call("suppress", "s1", 2, ids=["user:bob"]),
            call("track", "m5", 5, userId="bob", event="E"),
            call("unsuppress", "s2", 6, ids=["user:bob"]),
            call("track", "m7", 7, userId="bob", event="E"),
            call("delete", "d1", 3, ids=["user:ann"]),
            call("delete", "d2", 9, ids=["user:ann"]),
        ]
    )
    reader = engine.messages()
    found = {one.message_id: reader.why_dead(one) for one in reader.read(0, 0, 20)}
    assert [name for name, why in found.items() if why is None] == ["m0", "m7"]
    stated = {
        name: (why.name, why.identifier, why.message.type, why.message.message_id)
        for name, why in found.items()
        if why and why.message
    }
    assert stated == {
        "m1": ("deleted", "user:ann", "control", "d1"),
        "m2": ("suppressed", "user:bob", "control", "s1"),
        "m3": ("deleted", "user:ann", "control", "d2"),
        "m5": ("suppressed", "user:bob", "control", "s1"),
    }
    assert found["m5"] is not None
    assert found["m5"].sentence == ("user:bob is suppressed since 2024-05-01T12:00:02.000Z: stored, never delivered")


def test_positions_that_do_not_follow_are_refused(engine: Engine) -> None:
    with pytest.raises(Fenced):
        engine.store.apply([], [Consumed(0, 3, 9, 0)])
    assert engine.store.positions() == {0: 6}


def test_a_store_belongs_to_one_log(engine: Engine) -> None:
    with pytest.raises(Fenced, match="belongs to log"):
        engine.store.begin("another log")


def test_deletions_name_the_people_even_when_everything_of_them_is_erased(engine: Engine) -> None:
    engine.feed(
        [
            call("delete", "d1", 10, ids=["user:ann", "email:ann@x.io"]),
            call("suppress", "s1", 11, ids=["user:eve"]),
            call("track", "d2", 12, userId="bob", event="User Suppressed"),
            call("track", "d3", 13, userId="bob", event="Object Deleted", properties={"objectId": "acme"}),
        ]
    )
    engine.settle(erase=True)
    reader = engine.messages()
    found = [(each.message.message_id, each.identifiers) for each in reader.deletions(0, 0, 10)]
    assert found == [("d1", ("user:ann", "email:ann@x.io")), ("d2", ("user:bob",)), ("d3", ())]
    assert [each.message.message_id for each in reader.deletions(0, 7, 1)] == ["d2"]
    assert reader.deletions(1, 0, 10) == []


FIRST = call("delete", "d", 10, ids=["user:ann"])
LOSING = call("delete", "d", 11, ids=["user:bob", "user:ann", "group:acme"])
BETTER = call("delete", "d", 9, ids=["user:eve"])
PAGE = call("page", "d", 8, anonymousId="z")


@pytest.mark.parametrize(
    "batches",
    [
        [[FIRST], [LOSING], [BETTER], [PAGE]],
        [[PAGE], [BETTER], [LOSING], [FIRST]],
        [[FIRST, LOSING, BETTER, PAGE]],
        [[PAGE, LOSING, FIRST], [BETTER]],
        [[BETTER, PAGE], [FIRST], [FIRST], [LOSING, PAGE]],
    ],
)
def test_deletions_name_whom_any_copy_of_a_message_deletes_to_those_who_follow_at_any_pace(
    engine: Engine, batches: list[list[Event]]
) -> None:
    once, at = engine.messages(), 0
    followed: set[str] = set()
    for batch in [*batches, *batches]:
        engine.feed(batch)
        engine.settle(erase=True)
        for each in once.deletions(0, at, 10):
            assert each.is_of_copy == (each.position != each.message.position)
            assert each.received_at > 0
            followed.update(each.identifiers)
            at = each.position + 1
        named = {id_ for one in batch for id_ in one.get("ids", ()) if not id_.startswith("group:")}
        assert named <= followed
    late = {id_ for each in engine.messages().deletions(0, 0, 10) for id_ in each.identifiers}
    assert followed == late == {"user:ann", "user:bob", "user:eve"}


def test_a_copy_of_a_deletion_that_names_nobody_else_is_no_deletion_of_its_own(engine: Engine) -> None:
    engine.feed([FIRST])
    engine.feed([FIRST, {**FIRST, "timestamp": "2024-05-01T12:00:11.000Z"}, {**FIRST, "ids": ["user:ann", "group:x"]}])
    assert [each.identifiers for each in engine.messages().deletions(0, 0, 10)] == [("user:ann",)]
