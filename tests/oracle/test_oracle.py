"""The oracle itself is held by the worked examples and by the properties that need no engine."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.rules import Limits, World
from tests.oracle.strategies import events

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "spec" / "identity" / "examples.json").read_text("utf-8")
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_the_oracle_answers_every_example(example: dict[str, Any]) -> None:
    assert World(example["events"], Limits(**example.get("config", {}))).answer() == example["expect"]


@given(events, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_oracle_does_not_look_at_the_order(some: list[dict[str, Any]], random: Random) -> None:
    shuffled = some + some[:3]
    random.shuffle(shuffled)
    assert World(shuffled).answer() == World(some).answer()
