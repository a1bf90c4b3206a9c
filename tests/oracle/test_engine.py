"""The real engine on SQLite beside the oracle: any set of messages, in any order, doubled, in batches of any size."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tabard.identity.rules import Rules
from tabard.resolver.dry_run import LOG_ID, resolved_lines
from tabard.storage.interface import Consumed
from tabard.storage.sqlite.store import SqliteStore
from tests.oracle.rules import Limits, World
from tests.oracle.strategies import events, limits

Event = dict[str, Any]
SECRET = b"oracle" * 6


def rules_of(caps: dict[str, int]) -> Rules:
    return Rules(max_alias=caps["max_alias"], max_owners=caps["max_owners"], max_claims=caps["max_claims"])


class Engine:
    """A store in a folder of its own, fed in batches, closed and opened again between them on request."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self.folder, self.rules = folder, rules
        self.offset = 0
        self.open()

    def open(self) -> None:
        self.store = SqliteStore(self.folder / "store.db", SECRET, self.rules)
        self.store.begin(LOG_ID)

    def feed(self, batch: list[Event]) -> None:
        resolved = list(resolved_lines(batch, self.rules, self.offset))
        end = self.offset + len(batch)
        self.store.apply(resolved, [Consumed(0, self.offset, end, 0)] if batch else [])
        self.offset = end

    def settle(self, *, erase: bool) -> None:
        """Runs the projector dry, and erasure too if asked: once a body is gone, a differing copy of that message can
        only be judged by its time (docs/identity.md), so erasure runs here when every copy is in."""
        while self.store.project(100) or (erase and self.store.erase(100)):
            pass

    def restart(self) -> None:
        self.store.close()
        self.open()


def batches(draw: st.DataObject, some: list[Event]) -> Iterator[list[Event]]:
    """A shuffled, partly doubled copy of the events, in batches of drawn sizes."""
    doubled = some + draw.draw(st.lists(st.sampled_from(some), max_size=4)) if some else []
    order = draw.draw(st.permutations(doubled))
    while order:
        size = draw.draw(st.integers(1, len(order)))
        yield order[:size]
        order = order[size:]


@given(events, limits, st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_engine_answers_as_the_oracle_for_any_order_duplication_batching_and_restart(
    some: list[Event], caps: dict[str, int], data: st.DataObject
) -> None:
    for event in some:
        note(msgspec.json.encode(event).decode())
    expected = World(some, Limits(**caps)).answer()
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder), rules_of(caps))
        for batch in batches(data, some):
            engine.feed(batch)
            if data.draw(st.booleans()):
                engine.restart()
            if data.draw(st.booleans()):
                engine.settle(erase=False)
        engine.settle(erase=True)
        assert engine.store.dump() == expected
        engine.store.close()


@given(events, limits, st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_orders_of_arrival_leave_the_same_digest(
    some: list[Event], caps: dict[str, int], data: st.DataObject
) -> None:
    digests = set()
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            engine = Engine(Path(folder), rules_of(caps))
            for batch in batches(data, some):
                engine.feed(batch)
            engine.settle(erase=True)
            digests.add(engine.store.digest())
            engine.store.close()
    assert len(digests) == 1
