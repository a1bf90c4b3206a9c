"""What people ask of a profile: why, since when, from which message, and how it was before."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tabard.identity.rules import Rules
from tabard.message.normalize import normalize
from tabard.message.traits import iso_ms, parse_instant
from tabard.message.types import Trust
from tabard.resolver.dry_run import record_of
from tabard.resolver.stages import resolved_as
from tabard.storage.sqlite.store_explain import Explainer
from tabard.storage.sqlite.store_history import History
from tabard.storage.sqlite.store_usage import SqliteUsageReader
from tests.integration.resolver.engine import Engine, Event


def at(second: int) -> str:
    return f"2024-05-01T12:00:{second:02d}.000Z"


def call(kind: str, second: int, **fields: Any) -> Event:
    return {"type": kind, "messageId": f"m{second:02d}", "timestamp": at(second), **fields}


STORY = [
    call("page", 1, anonymousId="pad"),
    call("identify", 2, anonymousId="pad", userId="ann", traits={"email": "ann@x.io", "plan": "free"}),
    call("identify", 3, anonymousId="pad", userId="bob", traits={"email": "ann@x.io"}),
    call("identify", 4, userId="ann", traits={"plan": "pro"}),
    call("alias", 5, previousId="ann", userId="anna"),
    call("track", 6, userId="anna", anonymousId="undefined", event="E"),
]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = Engine(tmp_path)
    made.feed(STORY)
    made.settle()
    return made


def test_explain_names_the_message_that_linked_each_identifier(engine: Engine) -> None:
    explained = Explainer(engine.profiles()).explain("anon:pad")
    assert explained is not None
    together = {
        (one.identifier, one.other, one.name, one.message and one.message.message_id) for one in explained.together
    }
    assert together == {
        ("user:ann", "user:anna", "alias", "m05"),
        ("anon:pad", "user:ann", "device", "m02"),
        ("email:ann@x.io", "user:ann", "email", "m02"),
    }
    assert explained.canonical == "user:anna"


def test_explain_tells_near_misses_apart(engine: Engine) -> None:
    explained = Explainer(engine.profiles()).explain("user:anna")
    assert explained is not None
    apart = {(one.identifier, one.other, one.name) for one in explained.apart}
    assert ("anon:pad", "user:bob", "claimed_first") in apart
    assert ("email:ann@x.io", "user:bob", "claimed_first") in apart
    assert any(name == "blocked_value" and "undefined" in other for _, other, name in apart)
    sentences = [one.sentence for one in explained.apart]
    assert "user:bob claims anon:pad too, but user:ann outranks it or claimed it first" in sentences


def test_explain_says_when_a_limit_or_a_cut_keeps_identifiers_apart(tmp_path: Path) -> None:
    engine = Engine(tmp_path, Rules(max_alias=2, max_owners=1, max_claims=1))
    engine.feed(
        [
            call("track", 1, userId="a", event="E"),
            call("alias", 2, previousId="a", userId="b"),
            call("alias", 3, previousId="b", userId="c"),
            call("track", 4, userId="b", anonymousId="d1", event="E"),
            call("track", 5, userId="b", anonymousId="d2", event="E"),
            {"type": "cut", "messageId": "c1", "timestamp": at(9), "a": "user:b", "b": "anon:d9"},
        ]
    )
    engine.settle()
    explained = Explainer(engine.profiles()).explain("user:b")
    assert explained is not None
    assert {one.name for one in explained.apart} == {"class_too_large", "heavy", "cut"}


def control(kind: str, second: int, **fields: Any) -> Event:
    return {"type": kind, "messageId": f"c{second:02d}", "timestamp": at(second), **fields}


@pytest.mark.parametrize(
    ("controls", "stated"),
    [
        ([control("cut", 8, a="user:anna", b="anon:pad")], {("cut_in_vain", "user:anna")}),
        ([control("cut", 8, a="user:anna", b="anon:other")], {("cut", "anon:other")}),
        ([control("cut", 8, a="user:anna", b="anon:pad"), control("uncut", 9, a="anon:pad", b="user:anna")], set()),
        ([control("uncut", 9, a="anon:pad", b="user:anna"), control("cut", 8, a="user:anna", b="anon:pad")], set()),
        ([control("cut", 8, a="user:anna", b="anon:pad"), control("uncut", 9, a="anon:pad", b="*")], set()),
        ([control("cut", 8, a="user:anna", b="*"), control("uncut", 9, a="user:anna", b="*")], set()),
        ([control("cut", 8, a="user:anna", b="*")], {("cut", "everything else"), ("cut", "user:ann")}),
        ([control("suppress", 8, ids=["user:anna"])], {("suppressed", "")}),
        ([control("suppress", 8, ids=["user:anna"]), control("unsuppress", 9, ids=["user:anna"])], set()),
        ([control("delete", 4, ids=["user:anna"]), control("delete", 3, ids=["user:anna"])], {("deleted", "")}),
    ],
)
def test_explain_states_the_latest_control_of_each_and_none_that_was_taken_back(
    engine: Engine, controls: list[Event], stated: set[tuple[str, str]]
) -> None:
    engine.feed(controls, batch=1)
    engine.settle()
    explained = Explainer(engine.profiles()).explain("user:anna")
    assert explained is not None
    names = ("cut", "cut_in_vain", "suppressed", "deleted")
    found = [one for one in explained.apart if one.name in names and "anna" in one.identifier + one.other]
    assert {(one.name, one.other) for one in found} == stated
    for one in found:
        assert one.message is not None
        assert one.message.type == "control"
        assert iso_ms(one.message.timestamp) in one.sentence
        assert one.message.timestamp == parse_instant(at(4 if one.name == "deleted" else 8))


SHARED = [
    call("track", 1, userId="u1", anonymousId="kiosk", event="E"),
    call("track", 2, userId="u2", anonymousId="kiosk", event="E"),
    call("identify", 3, userId="u2", traits={"email": "desk@x.io"}),
    call("identify", 4, userId="u3", traits={"email": "desk@x.io"}),
    call("track", 5, userId="u4", anonymousId="own", event="E"),
]


@pytest.mark.parametrize(
    ("asked", "stated"),
    [
        ("user:u1", {("user:u1", "anon:kiosk", "c08")}),
        ("user:u2", {("user:u2", "anon:kiosk", "c08"), ("user:u2", "email:desk@x.io", "c09")}),
        ("user:u3", {("user:u3", "email:desk@x.io", "c09")}),
        ("user:u4", set()),
        (
            "anon:kiosk",
            {("anon:kiosk", other, "c08") for other in ("everything else", "user:u1", "user:u2")},
        ),
    ],
)
def test_a_cut_from_everything_is_named_to_whomever_it_keeps_apart(
    tmp_path: Path, asked: str, stated: set[tuple[str, str, str]]
) -> None:
    engine = Engine(tmp_path)
    engine.feed(SHARED)
    engine.settle()
    engine.feed([control("cut", 8, a="anon:kiosk", b="*"), control("cut", 9, a="email:desk@x.io", b="*")])
    engine.settle()
    explained = Explainer(engine.profiles()).explain(asked)
    assert explained is not None or not stated
    found = [one for one in explained.apart if one.name == "cut"] if explained else []
    assert {(one.identifier, one.other, one.message and one.message.message_id) for one in found} == stated


def test_a_cut_that_does_not_reach_a_message_or_was_taken_back_is_not_named_as_its_cause(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed([*SHARED[:2], control("cut", 8, a="anon:kiosk", b="*", until=at(1))])
    engine.settle()
    assert _apart(engine, "user:u1") == {("user:u1", "anon:kiosk", "cut")}
    assert _apart(engine, "user:u2") == {("anon:kiosk", other, "cut") for other in ("everything else", "user:u1")}
    engine.feed([control("uncut", 9, a="anon:kiosk", b="*")])
    engine.settle()
    taken_back = {("anon:kiosk", "user:u2", "claimed_first")}
    assert (_apart(engine, "user:u1"), _apart(engine, "user:u2")) == (taken_back, taken_back)


def _apart(engine: Engine, asked: str) -> set[tuple[str, str, str]]:
    explained = Explainer(engine.profiles()).explain(asked)
    assert explained is not None
    return {(one.identifier, one.other, one.name) for one in explained.apart}


def test_explain_says_what_a_page_may_not_claim(engine: Engine) -> None:
    rules = Rules()
    calls = [
        call("identify", 8, userId="eve", traits={"email": "ann@x.io"}),
        call("alias", 9, userId="eve", previousId="anna"),
    ]
    records = [msgspec.structs.replace(record_of(each, 0), trust=int(Trust.CLIENT)) for each in calls]
    first = engine.offset
    messages = [normalize(record, skew_correction=True) for record in records]
    engine.commit([resolved_as(message, first + at, rules) for at, message in enumerate(messages)])
    engine.settle()
    explained = Explainer(engine.profiles()).explain("user:eve")
    assert explained is not None
    assert {(one.other, one.name, one.message and one.message.message_id) for one in explained.apart} == {
        ("user:eve", "untrusted", "m08"),
        ("previousId 'anna'", "untrusted_alias", "m09"),
    }


def test_explain_says_why_an_identifier_is_in_no_profile(tmp_path: Path) -> None:
    engine = Engine(tmp_path, Rules(max_owners=1))
    engine.feed([call("track", n, userId=f"u{n}", anonymousId="kiosk", event="E") for n in range(1, 4)])
    engine.feed([control("delete", 5, ids=["user:u1"])])
    engine.settle(erase=True)
    explainer = Explainer(engine.profiles())
    for identifier, reasons in (("anon:kiosk", {"shared"}), ("user:u1", {"deleted"})):
        explained = explainer.explain(identifier)
        assert explained is not None
        assert (explained.profile_id, explained.canonical, explained.together) == (None, identifier, ())
        assert {one.name for one in explained.apart} == reasons
        assert all(identifier in one.sentence for one in explained.apart)
    assert explainer.explain("user:nobody") is None


def test_the_graph_lists_claims_and_edges_with_their_messages(engine: Engine) -> None:
    graph = Explainer(engine.profiles()).graph("user:ann")
    assert graph is not None
    assert graph.nodes == ("anon:pad", "email:ann@x.io", "user:ann", "user:anna")
    rows = {(one.low, one.high, one.kind, one.message and one.message.message_id) for one in graph.evidence}
    assert ("anon:pad", "user:bob", "claim", "m03") in rows
    assert ("user:ann", "user:anna", "alias", "m05") in rows


def test_each_trait_says_where_it_comes_from_and_what_it_replaced(engine: Engine) -> None:
    plan = History(engine.profiles()).provenance("anon:pad")["plan"]
    assert (plan.value, plan.message.message_id, plan.identifier) == ("pro", "m04", "user:ann")
    assert plan.replaced is not None
    assert (plan.replaced.value, plan.replaced.message.message_id) == ("free", "m02")


def test_a_trait_whose_message_is_past_the_horizon_still_says_where_it_came_from(engine: Engine) -> None:
    assert engine.store.purge(engine.messages().newest(1)[0].received_at + 1) > 0
    plan = History(engine.profiles()).provenance("user:anna")["plan"]
    assert (plan.value, plan.message.message_id, plan.replaced) == ("pro", "m04", None)
    assert History(engine.profiles()).writes("user:anna", "plan").writes == ()


def test_a_traits_history_is_newest_first_and_knows_both_spellings(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.feed(
        [
            call("identify", 1, userId="u", traits={"first_name": "A"}),
            call("identify", 3, userId="u", traits={"firstName": "C"}),
            call("identify", 2, userId="u", traits={"first_name": None}),
        ]
    )
    engine.settle()
    assert [one.value for one in History(engine.profiles()).writes("user:u", "first_name").writes] == ["C", None, "A"]


def test_a_profile_as_of_an_earlier_time_has_what_was_known_of_events_up_to_then(engine: Engine) -> None:
    then = parse_instant(at(2))
    assert then is not None
    past = History(engine.profiles()).as_of("anon:pad", then)
    assert past is not None
    profile, plan = past.profile, past.provenance["plan"]
    assert (profile.canonical, profile.traits["plan"], profile.events) == ("user:ann", "free", 2)
    first = History(engine.profiles()).as_of("anon:pad", then - 1)
    assert first is not None
    assert (first.profile.canonical, first.profile.events, first.provenance) == ("anon:pad", 1, {})
    assert (plan.value, plan.identifier, plan.message.message_id, plan.replaced) == ("free", "user:ann", "m02", None)
    later = History(engine.profiles()).as_of("user:anna", then + 3000)
    assert later is not None
    assert (replaced := later.provenance["plan"].replaced) is not None
    assert (later.provenance["plan"].value, replaced.value, replaced.message.message_id) == ("pro", "free", "m02")
    assert History(engine.profiles()).as_of("user:bob", then) is None


def test_usage_books_and_advice_count_what_a_source_does(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    events = [call("page", n, anonymousId="d") for n in range(20)]
    same = [
        {
            "type": "identify",
            "messageId": f"i{n}",
            "timestamp": at(n),
            "userId": "u",
            "traits": {"first_name": "A", "age": "9"},
        }
        for n in range(30)
    ]
    engine.feed([*events, *same, same[0], {**same[1], "traits": {"firstName": "B"}}])
    engine.feed([call("identify", 59, userId="u", traits={"firstName": "A"})])
    engine.settle()
    reader = SqliteUsageReader(engine.path)
    assert [(row.month, row.type, row.calls) for row in reader.usage()] == [
        ("2024-05", "identify", 31),
        ("2024-05", "page", 20),
    ]
    assert reader.people("2024-05") == 2
    assert reader.people("2024-06") == 0
    (books,) = reader.books()
    assert (books.stored, books.duplicates, books.conflicting) == (51, 2, 1)
    (sample,) = engine.messages().read(0, books.conflicting_sample or 0, 1)
    assert sample.message_id == "i1"
    (advice,) = reader.advice()
    assert (advice.identifies, advice.unchanged, advice.pages, advice.identifies_each_page) == (31, 30, 20, True)
    assert advice.two_spellings == ("firstName",)
    assert advice.wrong_types == {"age": 30}
