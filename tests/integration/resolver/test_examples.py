"""The worked examples of the rules through the real engine: any order, with repeats, with a restart in between."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tabard.identity.rules import Rules
from tests.integration.resolver.engine import Engine, Event

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "spec" / "identity" / "examples.json").read_text("utf-8")
)
ORDERS_MAX = 24
SHUFFLES = 24


def orders(events: list[Event], name: str) -> Iterator[list[Event]]:
    """Every order where there are few, else shuffles; the last ones with repeats."""
    if math.factorial(len(events)) <= ORDERS_MAX:
        yield from (list(order) for order in itertools.permutations(events))
    random = Random(name)
    for _ in range(SHUFFLES):
        shuffled = events + random.choices(events, k=len(events) // 2)
        random.shuffle(shuffled)
        yield shuffled


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_an_example_has_one_answer_in_any_order_with_repeats_and_a_restart(
    example: dict[str, Any], tmp_path: Path
) -> None:
    random = Random(example["name"])
    digests = set()
    for number, events in enumerate(orders(example["events"], example["name"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = Engine(folder, Rules(**example.get("config", {})))
        cut = random.randrange(len(events) + 1)
        engine.feed(events[:cut], batch=random.randint(1, 4))
        if number % 2:
            engine.settle()
        engine.restart()
        engine.feed(events[cut:], batch=random.randint(1, 4))
        assert engine.state() == example["expect"]
        digests.add(engine.digest())
        engine.close()
    assert len(digests) == 1
