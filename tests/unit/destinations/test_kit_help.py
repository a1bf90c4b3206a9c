"""The kit's help for batches, for defaults and for traits under a vendor's own names."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tabard.destinations.kit.action import Call
from tabard.destinations.kit.batch import one_by_one
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import Rejected
from tabard.destinations.kit.mapping import compile_mapping
from tabard.destinations.kit.paths import MISSING
from tabard.destinations.kit.payload import Payload
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send
from tabard.destinations.kit.traits import is_email, take_name, take_trait


async def unused(_request: HttpRequest, /) -> HttpResponse:
    raise AssertionError("nothing is sent here")


async def refuse_odd(_send: Send, call: Call) -> None:
    if call.payload["number"] % 2:
        raise Rejected("odd")
    if call.payload["number"] > 3:
        raise RuntimeError("a defect")


def call(number: int) -> Call:
    return Call(Payload({"number": number}), {}, {}, datetime(2024, 3, 5, tzinfo=UTC))


async def test_each_call_gets_its_own_outcome_and_a_defect_is_not_hidden() -> None:
    outcomes = await one_by_one(refuse_odd, unused, [call(0), call(1), call(2)])
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "Rejected", "NoneType"]
    with pytest.raises(RuntimeError):
        await one_by_one(refuse_odd, unused, [call(4)])


@pytest.mark.parametrize(
    ("traits", "taken", "left"),
    [
        ({"firstName": "a", "x": 1}, "a", {"x": 1}),
        ({"first_name": "a"}, "a", {}),
        ({"firstName": "a", "first_name": "b"}, "a", {}),
        ({"firstName": None, "first_name": "b"}, "b", {}),
        ({"x": 1}, None, {"x": 1}),
    ],
)
def test_a_trait_is_taken_in_both_spellings(traits: dict[str, Any], taken: Any, left: dict[str, Any]) -> None:
    assert take_trait(traits, "firstName") == taken
    assert traits == left


def test_a_name_is_taken_or_made_of_its_parts_which_stay() -> None:
    traits = {"first_name": "Cool", "last_name": "Person"}
    assert take_name(traits) == "Cool Person"
    assert traits == {"first_name": "Cool", "last_name": "Person"}
    assert take_name({"name": "Given", "firstName": "Cool", "lastName": "Person"}) == "Given"
    assert take_name({"firstName": "Cool"}) is None


def test_only_a_text_can_be_an_email_address() -> None:
    assert is_email("a@b.co")
    assert not is_email("a@b")
    assert not is_email(None)
    assert not is_email(7)


@pytest.mark.parametrize(
    ("message", "found"),
    [({"userId": "u", "anonymousId": "a"}, "u"), ({"anonymousId": "a"}, "a"), ({"userId": None}, MISSING)],
)
def test_the_first_value_that_is_there_is_taken(message: dict[str, Any], found: Any) -> None:
    assert compile_mapping(first_of("$.userId", "$.anonymousId"))(message) == found
