"""The worked examples of the rules through the real engine: any order, with repeats, restarts and a second resolver."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tabard.resolver.dry_run import resolved_lines
from tabard.storage.interface import Consumed, Fenced
from tests.oracle.engine import Engine, Event, engine
from tests.oracle.rules import Limits

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "spec" / "identity" / "examples.json").read_text("utf-8")
)
ORDERS = 200
"""So many orders of each example; all there are where there are no more."""
SETTLED_BETWEEN = 0.3
"""How often everything is projected and erased between two commits."""


def orders(events: list[Event], random: Random) -> Iterator[list[Event]]:
    """Every order where there are few, else different shuffles."""
    if math.factorial(len(events)) <= ORDERS:
        yield from (list(order) for order in itertools.permutations(events))
        return
    places = range(len(events))
    shuffles: set[tuple[int, ...]] = set()
    while len(shuffles) < ORDERS:
        shuffles.add(tuple(random.sample(places, len(events))))
    yield from ([events[at] for at in shuffle] for shuffle in sorted(shuffles))


def batches(events: list[Event], random: Random) -> Iterator[list[Event]]:
    """The events in their order, in commits of one to four."""
    while events:
        size = random.randint(1, 4)
        yield events[:size]
        events = events[size:]


def with_repeats(events: list[Event], random: Random) -> list[Event]:
    """The same order with half of the events again, somewhere."""
    repeated = list(events)
    for again in random.choices(events, k=math.ceil(len(events) / 2)):
        repeated.insert(random.randint(0, len(repeated)), again)
    return repeated


@pytest.fixture(params=EXAMPLES, ids=lambda example: example["name"])
def example(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def limits(example: dict[str, Any]) -> dict[str, int]:
    return vars(Limits(**example.get("config", {})))


def state(one: Engine) -> tuple[dict[str, Any], str]:
    one.settle()
    return one.store.dump(), one.store.digest()


def test_an_example_has_one_answer_in_every_order(example: dict[str, Any]) -> None:
    random, digests = Random(example["name"]), set()
    for order in orders(example["events"], random):
        with engine(limits(example)) as one:
            for batch in batches(order, random):
                one.feed(batch)
            answer, digest = state(one)
        assert answer == example["expect"], order
        digests.add(digest)
    assert len(digests) == 1


def test_an_example_has_one_answer_in_every_order_with_repeats_restarts_erasures_and_two_resolvers(
    example: dict[str, Any],
) -> None:
    random, digests = Random(example["name"]), set()
    for order in orders(example["events"], random):
        with engine(limits(example)) as one:
            some = list(batches(with_repeats(order, random), random))
            restart, taken_over = random.randrange(len(some)), random.randrange(len(some))
            for number, batch in enumerate(some):
                if number == restart:
                    one.restart()
                if number == taken_over:
                    take_over(one, batch)
                one.feed(batch)
                if random.random() < SETTLED_BETWEEN:
                    one.settle()
            answer, digest = state(one)
        assert answer == example["expect"], order
        digests.add(digest)
    assert len(digests) == 1


def take_over(one: Engine, batch: list[Event]) -> None:
    """A second resolver begins while the first has read a batch: what that then commits is refused as a whole."""
    first = one.fenced_by_another()
    at = len(one.log)
    with pytest.raises(Fenced):
        first.apply(list(resolved_lines(batch, one.rules, at)), [Consumed(0, at, at + len(batch), 0)])
    first.close()
