"""The trigger language: what a message must look like for an action to run."""

from typing import Any

import pytest

from tabard.destinations.kit.subscription import compile_trigger, glob
from tabard.destinations.kit.trigger_syntax import DEPTH_MAX, TEXT_LENGTH_MAX, TriggerInvalid


def matches(trigger: str, message: dict[str, Any]) -> bool:
    return compile_trigger(trigger).matches(message)


def test_a_call_whose_user_id_is_an_email_address_can_be_excluded() -> None:
    trigger = 'type = "identify" and not match(userId, "*@*")'
    assert not matches(trigger, {"type": "identify", "userId": "cool@example.com"})
    assert matches(trigger, {"type": "identify", "userId": "97980cfea0067"})
    assert matches(trigger, {"type": "identify", "anonymousId": "a-1"})


def test_an_exclamation_mark_before_a_function_asks_for_a_text_that_differs() -> None:
    trigger = '!match(userId, "*@*")'
    assert matches(trigger, {"userId": "97980cfea0067"})
    assert not matches(trigger, {"anonymousId": "a-1"})


def test_and_binds_tighter_than_or_and_brackets_nest() -> None:
    track_a, page, track_b = {"type": "track", "event": "A"}, {"type": "page"}, {"type": "track", "event": "B"}
    loose = 'type = "page" or type = "track" and event = "A"'
    assert [matches(loose, message) for message in (track_a, page, track_b)] == [True, True, False]
    tight = '((type = "page" or type = "track") and (event = "A" or (event = "B")))'
    assert [matches(tight, message) for message in (track_a, page, track_b)] == [True, False, True]


def test_a_reserved_trait_is_found_in_either_spelling() -> None:
    assert matches('traits.firstName = "Ada"', {"traits": {"first_name": "Ada"}})
    assert matches('traits.first_name = "Ada"', {"traits": {"firstName": "Ada"}})
    assert matches('traits.address.postal_code = "1"', {"traits": {"address": {"postalCode": "1"}}})
    assert not matches('traits.favoriteColor = "red"', {"traits": {"favorite_color": "red"}})


def test_a_number_test_takes_numbers_only_and_true_is_no_number() -> None:
    assert matches("properties.n = 1", {"properties": {"n": 1.0}})
    assert not matches("properties.n = 1", {"properties": {"n": True}})
    assert not matches("properties.n >= 1", {"properties": {"n": "5"}})


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*@*", "a@b", True),
        ("*@*", "@", True),
        ("*@*", "ab", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("x", "x", True),
        ("x", "xx", False),
        ("", "", True),
        ("*", "", True),
        ("a.c*", "abc", False),
        ("*\n*", "a\nb", True),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, text: str, expected: bool) -> None:
    assert glob(pattern)(text) is expected


@pytest.mark.parametrize(
    ("trigger", "position", "reason"),
    [
        ("", 0, "a trigger is needed"),
        ('type = "track" and', 18, "expected a condition"),
        ('type == "track"', 6, 'one "="'),
        ('type = "track" event = "x"', 15, 'expected "and", "or"'),
        ('tpye = "track"', 0, "unknown field 'tpye'"),
        ('type = "track', 7, "not closed"),
        ('(type = "track"', 15, 'expected ")"'),
        ('properties.a[0] = "x"', 12, "brackets"),
        ('type = "a" && event = "b"', 11, 'write "and"'),
        ('properties.n > "many"', 15, "compares numbers"),
        ("contains(event, x)", 16, "needs a text in quotes"),
        ("properties.n = 1.2.3", 15, "no meaning"),
        ("(" * (DEPTH_MAX + 2) + 'type = "a"' + ")" * (DEPTH_MAX + 2), DEPTH_MAX + 1, "nest at most"),
        ('type = "' + "a" * TEXT_LENGTH_MAX + '"', TEXT_LENGTH_MAX, "at most"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(trigger: str, position: int, reason: str) -> None:
    with pytest.raises(TriggerInvalid, match=r"at character \d+") as refused:
        compile_trigger(trigger)
    assert reason in refused.value.reason
    assert refused.value.position == position


@pytest.mark.parametrize("odd", [None, 5, "text", ["list"], {"properties": "text"}])
def test_a_message_of_any_shape_is_matched_without_failing(odd: Any) -> None:
    assert not matches('properties.a.b = "x"', {"properties": odd})
    assert not matches('contains(event, "x")', {"event": odd if odd != "text" else 5})
