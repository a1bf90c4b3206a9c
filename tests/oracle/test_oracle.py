"""The oracle itself is held by the worked examples and by the properties that need no engine."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.oracle.rules import Limits, World
from tests.oracle.strategies import ODD, Event, events, limits

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


LEAST = {
    "alias edges": 0.10, "max_alias": 0.04, "max_owners": 0.04, "max_claims": 0.01, "delete": 0.04, "suppress": 0.02,
    "cut": 0.01, "copies": 0.30, "ties": 0.40, "odd ids": 0.20, "several in a profile": 0.15, "several profiles": 0.35,
}  # fmt: skip
"""In which share of the small worlds each of these changes the answer, or is there (identity.md §9)."""


def test_the_small_worlds_take_the_interesting_paths() -> None:
    taken: list[set[str]] = []

    @given(events, limits)
    @settings(max_examples=40, deadline=None, database=None)
    def look(some: list[Event], caps: dict[str, int]) -> None:
        taken.append(paths(some, caps))

    for number in range(5):
        seed(number)(look)()
    share = {path: sum(path in one for one in taken) / len(taken) for path in LEAST}
    assert {path: found for path, found in share.items() if found < LEAST[path]} == {}


def paths(some: list[Event], caps: dict[str, int]) -> set[str]:
    """What plays a part in the answer to these events."""
    world = World(some, Limits(**caps))
    answer = world.answer()

    def differs(others: list[Event], **limits: int) -> bool:
        return World(others, Limits(**(caps | limits))).answer() != answer

    apart = [event | {"messageId": f"n{number}"} for number, event in enumerate(some)]
    found = {limit for limit in caps if differs(some, **{limit: 99})}
    found |= {kind for kind in ("delete", "suppress", "cut") if differs([e for e in some if e["type"] != kind])}
    told = {
        "alias edges": bool(world.edges),
        "copies": differs(apart),
        "ties": len({event["timestamp"] for event in world.live}) < len(world.live),
        "odd ids": any(event[key] in ODD for event in world.live for key in ("userId", "anonymousId") if key in event),
        "several in a profile": any(len(profile["ids"]) > 2 for profile in answer["profiles"]),
        "several profiles": len(answer["profiles"]) > 2,
    }
    return found | {path for path, is_taken in told.items() if is_taken}
