"""The kit's help for batches, for defaults and for traits under a vendor's own names."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.destinations.kit.action import Call
from tabard.destinations.kit.batch import Outcomes, RefusedTogether, by_halves
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import Rejected, Retryable
from tabard.destinations.kit.mapping import compile_mapping
from tabard.destinations.kit.paths import MISSING
from tabard.destinations.kit.payload import Payload
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send
from tabard.destinations.kit.traits import is_email, take_name, take_trait


def call(number: int) -> Call:
    return Call(Payload({"number": number}), {}, {}, datetime(2024, 3, 5, tzinfo=UTC))


class Vendor:
    """Takes calls together and singly but for the bad ones, and counts the requests; after `busy_after` it is busy."""

    def __init__(self, bad: set[int], busy_after: int = 10_000) -> None:
        self.bad = bad
        self.busy_after = busy_after
        self.requests: list[list[int]] = []

    async def together(self, _send: Send, calls: Sequence[Call], /) -> Outcomes:
        self._ask([each.payload["number"] for each in calls])
        return [None] * len(calls)

    def _ask(self, numbers: list[int]) -> None:
        self.requests.append(numbers)
        if len(self.requests) > self.busy_after:
            raise Retryable("busy", 7)
        if self.bad & set(numbers):
            raise RefusedTogether("no") if len(numbers) > 1 else Rejected("bad")


async def unused(_request: HttpRequest, /) -> HttpResponse:
    raise AssertionError("nothing is sent here")


@given(bad=st.sets(st.integers(0, 19)), size=st.integers(1, 20))
async def test_exactly_the_bad_items_of_a_refused_batch_are_refused_and_each_good_one_is_taken_once(
    bad: set[int], size: int
) -> None:
    vendor = Vendor(bad)
    outcomes = await by_halves(vendor.together, unused, [call(number) for number in range(size)])
    assert [outcome is not None for outcome in outcomes] == [number in bad for number in range(size)]
    taken = [number for numbers in vendor.requests if not bad & set(numbers) for number in numbers]
    assert sorted(taken) == [number for number in range(size) if number not in bad]


async def test_one_bad_item_in_a_thousand_is_found_in_a_few_requests() -> None:
    vendor = Vendor({700})
    await by_halves(vendor.together, unused, [call(number) for number in range(1_000)])
    assert len(vendor.requests) <= 21


async def test_a_busy_vendor_is_not_asked_again_and_what_it_took_before_stays_taken() -> None:
    vendor = Vendor({5}, busy_after=2)
    outcomes = await by_halves(vendor.together, unused, [call(number) for number in range(8)])
    assert outcomes[:4] == [None] * 4
    assert [type(outcome) for outcome in outcomes[4:]] == [Retryable] * 4
    assert len(vendor.requests) == 3


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
