"""Controls: who may state them, and when something is dead or severed (identity.md §3.2, wire.md §4.6)."""

from typing import Any

import pytest

from tabard.identity.controls import (
    EVERYTHING,
    SEMANTIC,
    Control,
    ControlUnreadable,
    Switch,
    controls_of,
    dead,
    severed,
)
from tabard.identity.rules import Ignored, Rules, read
from tabard.message.types import CONTROL, Trust
from tests.unit.identity.calls import message

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize("event", [event for event in SEMANTIC if "Object" not in event])
def test_a_server_may_delete_and_suppress_by_events_and_a_page_may_not(event: str) -> None:
    call = {"event": event, "userId": "u1"}
    reading = read(message("track", call), Rules())
    assert reading.fact is None
    assert {control.ids for control in reading.controls} == {("user:u1",)}
    untrusted = read(message("track", call, Trust.CLIENT), Rules())
    assert untrusted.controls == ()
    assert untrusted.ignored is Ignored.CONTROL
    assert untrusted.fact is not None
    assert untrusted.fact.subject == "user:u1"


def test_suppressing_by_event_removes_and_blocks() -> None:
    kinds = [
        control.kind for control in controls_of(message("track", {"event": "User Suppressed", "userId": "u1"}), NONE)
    ]
    assert kinds == ["delete", "suppress"]


def test_deleting_an_object_deletes_its_group_by_type_and_id() -> None:
    call = {"event": "Object Deleted", "anonymousId": "x", "properties": {"objectId": "acme", "objectTypeId": 2}}
    assert controls_of(message("track", call), NONE) == (Control("delete", ("group:2/acme",)),)
    plain = {"event": "Object Deleted", "anonymousId": "x", "properties": {"objectId": "acme", "objectTypeId": 1}}
    assert controls_of(message("track", plain), NONE) == (Control("delete", ("group:acme",)),)


def test_deleting_a_relationship_is_leaving_the_group() -> None:
    call = {"event": "Relationship Deleted", "userId": "u1", "properties": {"objectId": "acme"}}
    fact = read(message("track", call), Rules()).fact
    assert fact is not None
    assert (fact.type, fact.subject, fact.group, fact.inside) == ("ungroup", "user:u1", "group:acme", False)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "delete"},
        {"type": "delete", "ids": ["u1"]},
        {"type": "cut", "a": "user:u1"},
        {"type": "cut", "a": "user:u1", "b": "user:u2", "until": "soon"},
        {"type": "vanish"},
        {"type": "delete", "ids": 5},
    ],
)
def test_a_control_that_does_not_say_what_it_is_about_is_refused_by_name(body: dict[str, Any]) -> None:
    with pytest.raises(ControlUnreadable):
        controls_of(message(CONTROL, body), NONE)


def test_a_delete_covers_its_own_moment_and_all_before() -> None:
    switches = [Switch(5, "d", "delete")]
    assert [dead(switches, t) for t in (4, 5, 6)] == [True, True, False]


def test_of_suppress_and_unsuppress_the_latest_up_to_a_moment_decides() -> None:
    switches = [Switch(3, "a", "suppress"), Switch(6, "b", "unsuppress"), Switch(6, "c", "suppress")]
    assert [dead(switches, t) for t in (2, 3, 5, 6)] == [False, True, True, True]
    assert not dead(switches[:2], 6)


def test_the_latest_cut_or_uncut_of_a_pair_or_of_either_with_everything_decides() -> None:
    x = [Switch(1, "a", "cut", "y")]
    assert severed(x, [], ("x", "y"), 9)
    assert not severed(x, [], ("x", "z"), 9)
    assert not severed([*x, Switch(2, "b", "uncut", "y")], [], ("x", "y"), 9)
    assert severed(x, [Switch(3, "c", "cut", EVERYTHING)], ("x", "y"), 9)
    assert not severed(x, [Switch(3, "c", "uncut", EVERYTHING)], ("x", "y"), 9)


def test_a_cut_with_an_end_lets_later_evidence_through() -> None:
    x = [Switch(9, "a", "cut", "y", 5)]
    assert [severed(x, [], ("x", "y"), t) for t in (5, 6)] == [True, False]
