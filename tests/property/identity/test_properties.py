"""The 22 properties of the rules (identity.md §9) on the real engine, each under its number.

Where the oracle is asked, it computes the whole set from the rules alone (tests/oracle).
"""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tabard.storage.interface import Fenced
from tests.oracle.engine import Engine, answer, engine, settled
from tests.oracle.rules import CALLS, RANK, Limits, World, anonymous, group_of, ms, named, subject, text_of, trait_email
from tests.oracle.strategies import (
    NAMED,
    Event,
    apart,
    calls,
    controls,
    deletes,
    events,
    limits,
    limits_of_traits,
    messages,
    times,
    unordered,
)

Caps = dict[str, int]
Answer = dict[str, Any]
seeds = st.integers(0, 2**32)


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def shuffled(some: list[Event], seed: int) -> list[Event]:
    return random.Random(seed).sample(some, len(some))


def cut_up(some: list[Event], seed: int) -> list[list[Event]]:
    """The events in batches of random sizes."""
    rng = random.Random(seed)
    found, at = [], 0
    while at < len(some):
        size = rng.randint(1, len(some) - at)
        found.append(some[at : at + size])
        at += size
    return found


def one_a_message(some: list[Event]) -> list[Event]:
    """The events without copies."""
    return list({event["messageId"]: event for event in some}.values())


def home(state: Answer) -> dict[str, str]:
    """Identifier → canonical of its profile."""
    return {one: profile["canonical"] for profile in state["profiles"] for one in profile["ids"]}


@given(events, limits_of_traits, seeds)
@examples(60)
def test_property_1_any_permutation_gives_the_same_state(some: list[Event], caps: Caps, seed: int) -> None:
    assert settled(caps, *cut_up(some, seed)) == settled(caps, *cut_up(shuffled(some, seed), seed + 1))


@given(events, limits_of_traits, seeds)
@examples(60)
def test_property_2_duplicates_change_nothing(some: list[Event], caps: Caps, seed: int) -> None:
    doubled = shuffled(some + random.Random(seed).choices(some, k=len(some)) if some else [], seed)
    assert settled(caps, *cut_up(doubled, seed)) == settled(caps, some)


@given(st.lists(messages, min_size=2, max_size=10), limits, seeds)
@examples(70)
def test_property_3_of_differing_copies_the_smallest_is_the_message(some: list[Event], caps: Caps, seed: int) -> None:
    some = apart(some, 2)
    assert piecemeal(caps, some, seed) == World(some, Limits(**caps)).answer()


def piecemeal(caps: Caps, some: list[Event], seed: int) -> Answer:
    """The answer after a shuffle in batches, everything projected and erased behind each."""
    with engine(caps) as one:
        for batch in cut_up(shuffled(some, seed), seed):
            one.feed(batch)
            one.settle()
        return one.store.dump()


@given(st.lists(calls(), min_size=2, max_size=10), limits, seeds)
@examples(70)
def test_property_3_of_copies_at_one_time_the_message_is_that_whose_canonical_json_is_smaller(
    some: list[Event], caps: Caps, seed: int
) -> None:
    """Without deletes: what one erased is not ordered any more (docs/identity.md, Controls)."""
    some = [
        event | {"messageId": f"m{number % 2}", "timestamp": "2024-05-01T12:00:01.000Z"}
        for number, event in enumerate(some)
    ]
    assert piecemeal(caps, some, seed) == World(some, Limits(**caps)).answer()


@given(st.lists(messages, min_size=1, max_size=14), limits, seeds, st.booleans())
@examples(70)
def test_property_4_a_crash_at_any_statement_and_a_start_from_any_older_position_change_nothing(
    some: list[Event], caps: Caps, seed: int, restarting: bool
) -> None:
    rng = random.Random(seed)
    with engine(caps) as one:
        for batch in cut_up(some, seed):
            one.log += batch
            one.crash(rng.randint(1, 120), one.catch_up)
            one.crash(rng.randint(1, 60), one.settle if not unordered(some) else lambda: one.settle(erase=False))
            if restarting:
                one.restart()
            one.go_back(rng.randint(0, len(one.log)))
        one.catch_up()
        one.settle()
        assert (one.store.dump(), one.store.digest()) == settled(caps, some)


@given(st.lists(messages, min_size=2, max_size=14), limits, seeds)
@examples(60)
def test_property_5_of_several_workers_only_the_last_to_begin_writes(some: list[Event], caps: Caps, seed: int) -> None:
    with engine(caps) as one:
        for batch in cut_up(some, seed):
            zombie = one.fenced_by_another()
            one.feed(batch)
            for what in (lambda: zombie.apply((), ()), lambda: zombie.project(10), lambda: zombie.erase(10)):  # noqa: B023
                with pytest.raises(Fenced):
                    what()
            zombie.close()
        one.settle()
        assert (one.store.dump(), one.store.digest()) == settled(caps, some)


@given(events, limits)
@examples(60)
def test_property_6_after_every_prefix_the_increments_are_the_batch(some: list[Event], caps: Caps) -> None:
    with engine(caps) as one:
        for count, event in enumerate(some, 1):
            one.feed([event])
            one.settle(erase=not unordered(some))
            assert one.store.dump() == World(some[:count], Limits(**caps)).answer()


@given(events, limits)
@examples(70)
def test_property_7_an_identifier_is_in_one_profile_and_the_canonical_has_its_highest_rank(
    some: list[Event], caps: Caps
) -> None:
    profiles = answer(caps, some)["profiles"]
    listed = Counter(one for profile in profiles for one in profile["ids"])
    assert set(listed) == World(some, Limits(**caps)).visible()
    assert set(listed.values()) <= {1}
    for profile in profiles:
        ranks = [RANK[one.partition(":")[0]] for one in profile["ids"]]
        assert profile["canonical"] in profile["ids"]
        assert RANK[profile["canonical"].partition(":")[0]] == max(ranks)


@given(events, limits)
@examples(70)
def test_property_8_without_alias_no_profile_has_two_users(some: list[Event], caps: Caps) -> None:
    for profile in answer(caps, [event for event in some if event["type"] != "alias"])["profiles"]:
        assert sum(one.startswith("user:") for one in profile["ids"]) <= 1


@given(events, limits)
@examples(70)
def test_property_9_evidence_over_a_limit_is_void_as_a_whole(some: list[Event], caps: Caps) -> None:
    world = World(some, Limits(**caps))
    weight = Counter((high, low.partition(":")[0]) for low, high in world.claims)
    light = [pair for pair in world.claims if weight[pair[1], pair[0].partition(":")[0]] <= caps["max_claims"]]
    for profile in answer(caps, some)["profiles"]:
        rank = profile["canonical"].partition(":")[0]
        assert sum(one.startswith(f"{rank}:") for one in profile["ids"]) <= caps["max_alias"]
        for members in {world.class_of[one] for one in profile["ids"]}:
            if profile["canonical"] not in members:
                owners = {high for low, high in light if low in members}
                assert owners & set(profile["ids"])
                assert len(owners) <= caps["max_owners"]


@given(events, limits)
@examples(70)
def test_property_10_a_trait_is_the_newest_live_write_and_null_never_shows(some: list[Event], caps: Caps) -> None:
    registers = World(some, Limits(**caps)).registers()
    for profile in answer(caps, some)["profiles"]:
        newest: dict[str, tuple[Any, Any]] = {}
        for (who, key), (stamp, value) in registers.items():
            if who in profile["ids"] and (key not in newest or newest[key][0] < stamp):
                newest[key] = (stamp, value)
        assert profile["traits"] == {key: value for key, (_, value) in newest.items() if value is not None}
        assert None not in profile["traits"].values()


@given(events, limits, st.sampled_from(["plan", "firstName", "age"]), times, times)
@examples(70)
def test_property_11_an_older_write_to_a_set_key_changes_nothing_but_the_count(
    some: list[Event], caps: Caps, key: str, earlier: str, later: str
) -> None:
    write = {"type": "identify", "messageId": "set", "timestamp": later, "userId": "u1", "traits": {key: "set"}}
    older = write | {"messageId": "older", "timestamp": earlier, "traits": {key: "older"}}
    some = [*some, write]
    registers = World(some, Limits(**caps)).registers()
    assume(("user:u1", key) in registers)
    assume(World.stamp(older) < registers["user:u1", key][0])
    before, after = answer(caps, some), answer(caps, [*some, older])
    for state in (before, after):
        for profile in state["profiles"]:
            profile.pop("events")
    assert after == before


@given(events, limits)
@examples(70)
def test_property_12_the_counts_add_up_to_the_live_messages(some: list[Event], caps: Caps) -> None:
    counted = sum(profile["events"] for profile in answer(caps, some)["profiles"])
    assert counted == len(World(some, Limits(**caps)).live)


@given(events, limits, st.lists(deletes(), min_size=1, max_size=2), seeds)
@examples(70)
def test_property_13_erasing_what_is_dead_changes_nothing(
    some: list[Event], caps: Caps, more: list[Event], seed: int
) -> None:
    some = apart(shuffled([*some, *more], seed), 9)
    with engine(caps) as one:
        for batch in cut_up(some, seed):
            one.feed(batch)
            one.settle(erase=False)
            before = one.store.dump(), one.store.digest()
            one.settle(erase=True)
            assert (one.store.dump(), one.store.digest()) == before
        assert (one.store.dump(), one.store.digest()) == settled(caps, some)


@given(events, limits, st.sampled_from(NAMED), seeds)
@examples(70)
def test_property_14_nothing_at_or_before_a_delete_is_visible_in_any_order(
    some: list[Event], caps: Caps, whom: str, seed: int
) -> None:
    """The delete is at the time of the latest message: of whom it names nothing may be left."""
    last = max((event["timestamp"] for event in some), default="2024-05-01T12:00:00.000Z")
    delete = {"type": "delete", "messageId": "c", "timestamp": last, "ids": [whom]}
    state, _ = settled(caps, *cut_up(shuffled([*some, delete], seed), seed))
    assert whom not in home(state)
    others = [event for event in World(some, Limits(**caps)).live if subject(event) != whom]
    assert sum(profile["events"] for profile in state["profiles"]) == len(others)


@given(events, limits, st.sampled_from(NAMED), st.sampled_from([*NAMED, "*"]), st.none() | times)
@examples(70)
def test_property_15_a_cut_and_its_uncut_are_nothing_and_a_cut_pair_has_no_direct_link(
    some: list[Event], caps: Caps, a: str, b: str, until: str | None
) -> None:
    assume(a != b)
    some = [event for event in some if event["type"] not in ("cut", "uncut")]
    cut = {"type": "cut", "messageId": "x1", "timestamp": "2024-05-01T12:00:03.000Z", "a": a, "b": b, "until": until}
    uncut = cut | {"type": "uncut", "messageId": "x2", "timestamp": "2024-05-01T12:00:04.000Z"}
    assert answer(caps, [*some, cut, uncut]) == answer(caps, [uncut, *some, cut]) == answer(caps, some)
    with engine(caps) as one:
        one.feed([*some, cut])
        one.settle()
        severed = [pair for pair, at in links(one) if until is None or at <= ms(until)]
        assert all({a, b} != pair and (b != "*" or a not in pair) for pair in severed)


def links(one: Engine) -> list[tuple[set[str], int]]:
    """The pairs that claims and alias edges join, as they are stored, and the time of the evidence."""
    run = one.store.database.execute
    pairs = [*run("SELECT low, high, t FROM claim"), *run("SELECT x, y, t FROM edge")]
    text = dict(run("SELECT id, text FROM node"))
    return [({str(text[x]), str(text[y])}, t) for x, y, t in pairs]


@given(events, limits, st.integers(-10_000, 10_000))
@examples(60)
def test_property_16_moving_all_times_changes_nothing(some: list[Event], caps: Caps, hours: int) -> None:
    def moved(text: str) -> str:
        later = datetime.fromisoformat(text) + timedelta(hours=hours)
        return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    late = [e | {key: moved(e[key]) for key in ("timestamp", "until") if key in e} for e in some]
    assert answer(caps, late) == answer(caps, some)


@given(events, limits)
@examples(60)
def test_property_17_renaming_users_renames_the_answer(some: list[Event], caps: Caps) -> None:
    """u1, u2, u3 become v3, v1, v2; without copies, whose contents are compared as texts."""
    new = {"u1": "v3", " u1 ": "v3", "u2": "v1", "u3": "v2"}

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(one) for one in value]
        if isinstance(value, str) and value.startswith("user:"):
            return "user:" + new.get(value[5:], value[5:])
        return new.get(value, value) if isinstance(value, str) else value

    some = one_a_message(some)
    before, after = answer(caps, some), answer(caps, [{key: renamed(value) for key, value in e.items()} for e in some])
    for profile in before["profiles"]:
        profile["canonical"], profile["ids"] = renamed(profile["canonical"]), sorted(renamed(profile["ids"]))
    before["profiles"].sort(key=lambda profile: profile["canonical"])
    assert after == before


@given(events, limits)
@examples(70)
def test_property_18_blocked_values_never_appear(some: list[Event], caps: Caps) -> None:
    with engine(caps) as one:
        one.feed(some)
        one.settle()
        stored = [str(text) for (text,) in one.store.database.execute("SELECT text FROM node")]
    for identifier in stored:
        value = identifier.partition(":")[2]
        assert value.startswith("~") or text_of(value) == value


@given(st.lists(messages, max_size=12), calls() | controls(), limits)
@examples(90)
def test_property_19_one_more_event_changes_only_profiles_in_its_neighbourhood(
    some: list[Event], event: Event, caps: Caps
) -> None:
    before, after = answer(caps, some), answer(caps, [*some, event])
    near = neighbourhood([*some, event], event, before, after)
    rows_before, rows_after = ({p["canonical"]: p for p in state["profiles"]} for state in (before, after))
    for canonical in rows_before.keys() | rows_after.keys():
        was, now = rows_before.get(canonical), rows_after.get(canonical)
        if was != now:
            assert near & {one for row in (was, now) if row for one in row["ids"]}


def mentioned(event: Event) -> set[str]:
    """Every identifier an event may mean."""
    if event["type"] not in CALLS:
        return {*event.get("ids", ()), event.get("a", "*"), event.get("b", "*")} - {"*"}
    previous = event.get("previousId") if event["type"] == "alias" else None
    found = (named(event.get("userId")), anonymous(event.get("anonymousId")), trait_email(event), group_of(event))
    return {one for one in (*found, anonymous(previous), named(previous)) if one}


def neighbourhood(some: list[Event], event: Event, before: Answer, after: Answer) -> set[str]:
    """The identifiers of an event (and of its other copies), their profiles, and who claims or is claimed by these.

    Of a control also who shares a message with whom it names: those sightings come and go with it (§6.3).
    """
    near = {one for e in some if e["messageId"] == event["messageId"] for one in mentioned(e)}
    if event["type"] not in CALLS:
        near |= {one for e in some if mentioned(e) & near for one in mentioned(e)}
    for state in (before, after):
        near |= {one for p in state["profiles"] if near & set(p["ids"]) for one in p["ids"]}
    return near | {one for e in some if mentioned(e) & near for one in mentioned(e)}


@given(events, limits_of_traits, seeds)
@examples(60)
def test_property_20_a_full_rebuild_reproduces_every_profile_id(some: list[Event], caps: Caps, seed: int) -> None:
    with engine(caps) as one:
        for batch in cut_up(some, seed):
            one.feed(batch)
        one.settle()
        before = one.store.dump(), one.store.digest(), ids_of(one)
        one.store.rebuild()
        one.settle()
        assert (one.store.dump(), one.store.digest(), ids_of(one)) == before


def ids_of(one: Engine) -> dict[str, str]:
    """Identifier → profile id, of all shown."""
    reader = one.reader()
    found = {}
    for identifier in home(one.store.dump()):
        profile = reader.profile(identifier)
        assert profile is not None
        found[identifier] = profile.profile_id
    reader.close()
    return found


@given(events, events, limits_of_traits)
@examples(60)
def test_property_21_the_union_of_two_logs_is_the_same_from_either_half_first(
    some: list[Event], others: list[Event], caps: Caps
) -> None:
    assert settled(caps, some, others) == settled(caps, others, some)


@given(events, limits, seeds)
@examples(70)
def test_property_22_whoever_follows_the_moves_by_key_ends_with_the_state(
    some: list[Event], caps: Caps, seed: int
) -> None:
    mirror: dict[str, str | None] = {}
    after = 0
    with engine(caps) as one:
        reader = one.reader()
        for batch in cut_up(some, seed):
            one.feed(batch)
            one.settle(erase=not unordered(some))
            for move in reader.changes(after, 10_000):
                assert move.old_profile_id != move.new_profile_id
                mirror[move.key] = move.new_profile_id
                after = move.seq
        moves = reader.changes(0, 10_000)
        reader.close()
        assert {move.key: move.new_profile_id for move in moves} == mirror
        assert len(moves) == len(mirror)
        shown = {move.identifier: move.new_profile_id for move in moves if move.new_profile_id is not None}
        assert shown == ids_of(one)
