"""A consumer driven through simulated time against a destination that fails as a die says, with crashes.

Only the network and the clock are simulated: consumer, ledger and delivery.db are the real ones.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tabard.delivery.breaker import Why
from tabard.delivery.compiled import compile_instance
from tabard.delivery.consumer import Consumer
from tabard.delivery.cursor import read_merged
from tabard.delivery.entry import Entry, Item, Unit
from tabard.delivery.ledger import Ledger
from tabard.delivery.outcome import DELIVERED, Outcome, Verdict
from tabard.delivery.shared import Limits, shared_as_kept
from tabard.destinations.catalog.webhook import destination
from tabard.message.types import StoredMessage, offset_of, partition_of
from tabard.storage.deliveries import ConsumerKind, ConsumerState, RowState
from tabard.storage.sqlite.delivery import SqliteDeliveryStore
from tests.integration.delivery.stored import MemoryMessages, webhook

RETRY = Outcome(Verdict.RETRY, "http_500", "answered 500")
TIMEOUT = Outcome(Verdict.RETRY, "timeout", "no answer", overloaded=True)
BUSY = Outcome(Verdict.RETRY, "http_429", "answered 429", 2.0, overloaded=True)
REFUSED = Outcome(Verdict.DEAD, "http_400", "answered 400")
WITHOUT_END = Limits(in_flight_max=20, order_patience_ms=1 << 50, waiting_max=1 << 30)
"""A small window, and order held however long it takes."""


@dataclass
class World:
    """The simulation. `odds`: outcome → probability. down: [from, until) ms in which nothing is taken.

    tick_ms: the longest time between two turns. stubborn: positions that never succeed.
    unsure: attempts that arrived though they timed out. test_passes: what the destination's own test says; None: it
    has none. sent: requests.
    """

    messages: MemoryMessages
    store: SqliteDeliveryStore
    die: random.Random
    odds: dict[Outcome, float] = field(default_factory=dict)
    down: tuple[int, int] = (0, 0)
    limits: Limits = WITHOUT_END
    options: dict[str, Any] = field(default_factory=dict)
    tick_ms: int = 50
    now_ms: int = 1_000_000
    arrived: list[int] = field(default_factory=list)
    unsure: int = 0
    crashes: int = 0
    under_way: list[tuple[int, int, Unit, list[Outcome]]] = field(default_factory=list)
    rows_max: int = 0
    test_passes: bool | None = None
    sent: int = 0
    stubborn: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store.add_consumer(
            ConsumerState(id="d1", destination="d1", kind=ConsumerKind.LIVE, log_id="log-1", offsets={}, start={})
        )
        self.start()

    def start(self) -> None:
        """A deliverer begins with what delivery.db says."""
        state = self.store.consumer("d1")
        assert state
        rows = self.store.rows("d1", (RowState.PARKED, RowState.WAITING), 1_000_000)
        compiled = compile_instance(webhook("http://x", **self.options), destination, {"url": "http://x"})
        shared = shared_as_kept(compiled, self.limits, self.die.random, state.rest, self.now_ms)
        self.seat = dict(state.offsets)
        ledger = Ledger("d1", "log-1", state.offsets, state.rest)
        self.consumer = Consumer(ledger, shared, [row for _, row in rows], self.now_ms)
        self.under_way = []

    def crash(self) -> None:
        """The process is gone; what was sent was sent."""
        self.crashes += 1
        self.start()

    def turn(self) -> None:
        """One round: take, load, send, then time passes until the next thing happens."""
        room = self.consumer.room()
        if room:
            following = read_merged(self.messages, self.seat, room)
            for stored in following.messages[:room]:
                self.seat[partition_of(stored.position)] = offset_of(stored.position) + 1
                self.consumer.take([self._item(stored)], self.now_ms)
        while True:
            while unit := self.consumer.next_unit(self.now_ms):
                self._send(unit)
            positions = self.consumer.to_load()
            if not positions:
                break
            self.consumer.loaded(self._load(positions), positions, self.now_ms)
        # With nothing between cursor and reader only retries are to come, and they say when.
        tick_ms = self.tick_ms if self.consumer.holds()[0] else 60_000
        moments = [self.now_ms + tick_ms, *(at for at, _, _, _ in self.under_way)]
        wake = self.consumer.wake_at(self.now_ms)
        if wake is not None:
            moments.append(max(int(wake) + 1, self.now_ms + 1))
        self.now_ms = min(moments)
        for answer in [each for each in self.under_way if each[0] <= self.now_ms]:
            self.under_way.remove(answer)
            _, began, unit, outcomes = answer
            self.consumer.answered(unit, outcomes, self.now_ms, (self.now_ms - began) / 1000)
            self._suspect()

    def _suspect(self) -> None:
        """What an outlet does: asks the test of a destination at fault, or refusing while it rests."""
        breaker = self.consumer.shared.breaker
        if self.test_passes is None or not breaker.suspects(self.now_ms):
            return
        if breaker.is_open:
            breaker.tested(self.now_ms, passed=self.test_passes)
            if breaker.is_well:
                self.consumer.acquitted(self.now_ms)
        elif not self.test_passes:
            breaker.open(Why.TEST, "the test failed", self.now_ms)

    def commit(self) -> None:
        """What the consumer did goes to disk."""
        commit = self.consumer.commit(self.now_ms)
        if commit:
            self.store.commit([commit], self.now_ms)
        self.consumer.committed()
        self.rows_max = max(self.rows_max, self.consumer.holds()[1])

    def is_over(self) -> bool:
        """Whether everything stored has come to its end and is on disk."""
        caught_up = not read_merged(self.messages, self.seat, 1).messages
        return caught_up and self.consumer.holds() == (0, 0)

    def run(self, *, crash_odds: float = 0.0, turns_max: int = 30_000) -> None:
        """Turns until it is over; a crash may follow any turn, before or after a commit.

        After a thousand turns the test passes: a destination that refuses all that is left would be right to rest.
        """
        for turn in range(turns_max):
            self.turn()
            self.test_passes = True if turn == 1_000 else self.test_passes
            if self.die.random() < crash_odds and turn < 500:
                self.crash()
            if turn % 3 == 0:
                self.commit()
                if self.is_over():
                    return
        raise AssertionError(f"not over after {turns_max} turns: {self.consumer.holds()}")

    def _send(self, unit: Unit) -> None:
        lanes = [key for _, _, other, _ in self.under_way for entry in other.entries for key in _lanes(entry)]
        mine = [key for entry in unit.entries for key in _lanes(entry)]
        assert len({*lanes, *mine}) == len(lanes) + len(mine), "two of one identifier are under way at once"
        self.sent += 1
        outcomes = [self.outcome(entry.position) for entry in unit.entries]
        for entry, outcome in zip(unit.entries, outcomes, strict=True):
            if outcome.verdict is Verdict.DELIVERED or (outcome is TIMEOUT and self.die.random() < 0.5):
                self.arrived.append(entry.position)
                self.unsure += outcome is TIMEOUT
        self.under_way.append((self.now_ms + self.die.randint(1, 40), self.now_ms, unit, outcomes))

    def outcome(self, position: int) -> Outcome:
        """How the destination ends an attempt; what it refuses it refuses each time."""
        if position in self.stubborn or self.down[0] <= self.now_ms < self.down[1]:
            return RETRY
        if random.Random(position).random() < self.odds.get(REFUSED, 0.0):
            return REFUSED
        die = self.die.random()
        for outcome in (RETRY, TIMEOUT, BUSY):
            die -= self.odds.get(outcome, 0.0)
            if die < 0:
                return outcome
        return DELIVERED

    def _load(self, positions: list[int]) -> dict[int, Item]:
        found = {}
        for position in positions:
            stored = self.messages.read(partition_of(position), offset_of(position), 1)
            if stored and stored[0].position == position:
                found[position] = self._item(stored[0])
        return found

    def _item(self, stored: StoredMessage) -> Item:
        dead = self.messages.is_dead(stored)
        return Item(stored, {} if dead else msgspec.json.decode(stored.body), self.now_ms, dead=dead)


def _lanes(entry: Entry) -> tuple[int, ...]:
    return () if entry.late else entry.keys


def fast_store(path: Path) -> SqliteDeliveryStore:
    """A store that does not wait for the disk: these tests crash consumers, not machines."""
    store = SqliteDeliveryStore(path)
    store._db.execute("PRAGMA synchronous = OFF")
    return store
