"""The real engine on SQLite beside the oracle: any set of messages, in any order, doubled, in batches of any size."""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.oracle.engine import engine
from tests.oracle.rules import Limits, World
from tests.oracle.strategies import events, limits, unordered

Event = dict[str, Any]


def batches(draw: st.DataObject, some: list[Event]) -> Iterator[list[Event]]:
    """A shuffled, partly doubled copy of the events, in batches of drawn sizes."""
    doubled = some + draw.draw(st.lists(st.sampled_from(some), max_size=4)) if some else []
    order = draw.draw(st.permutations(doubled))
    while order:
        size = draw.draw(st.integers(1, len(order)))
        yield order[:size]
        order = order[size:]


@given(events, limits, st.data())
@settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_engine_answers_as_the_oracle_for_any_order_duplication_batching_restart_and_erasure(
    some: list[Event], caps: dict[str, int], data: st.DataObject
) -> None:
    for event in some:
        note(msgspec.json.encode(event).decode())
    with engine(caps) as one:
        for batch in batches(data, some):
            one.feed(batch)
            if data.draw(st.booleans()):
                one.restart()
            if data.draw(st.booleans()):
                one.settle(erase=not unordered(some))
        one.settle()
        assert one.store.dump() == World(some, Limits(**caps)).answer()


@given(events, limits, st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_orders_of_arrival_leave_the_same_digest(
    some: list[Event], caps: dict[str, int], data: st.DataObject
) -> None:
    digests = set()
    for _ in range(2):
        with engine(caps) as one:
            for batch in batches(data, some):
                one.feed(batch)
            one.settle()
            digests.add(one.store.digest())
    assert len(digests) == 1
