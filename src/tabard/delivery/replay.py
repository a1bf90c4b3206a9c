"""Replays: a range of the past sent again to one destination, beside live traffic and behind it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import Any

from tabard.delivery.cursor import Vector, vector_at
from tabard.delivery.entry import Entry, Item
from tabard.delivery.route import Filter
from tabard.delivery.trace import NOT_CHOSEN, Tracing, decided
from tabard.destinations.kit.subscription import compile_trigger
from tabard.message.traits import parse_instant
from tabard.message.types import StoredMessage, offset_of, partition_of
from tabard.storage.deliveries import ConsumerKind, ConsumerState, Replay, Row, RowState
from tabard.storage.interface import MessageReader

BEGINNING = "beginning"
ONLY = ("all", "failed", "undelivered")


class ReplayRefused(ValueError):
    """A replay that cannot be; the text says what to change."""


class ReplayUnknown(LookupError):
    """There is no such replay; the text names the fix."""


def asked(*, since: str, until: str = "", only: str = "all", trigger: str = "", rate_per_s: float = 0.0) -> Replay:
    """The replay that is asked for in texts: `since` is a time or `beginning`, `until` a time or '' for now.

    Raises `ReplayRefused` for what is no time.
    """
    begin = 0 if since == BEGINNING else _instant(since)
    return Replay(since=begin, until=_instant(until) if until else 0, only=only, trigger=trigger, rate_per_s=rate_per_s)


def _instant(text: str) -> int:
    instant = parse_instant(text)
    if instant is None:
        raise ReplayRefused(f"{text!r} is no time; write it as in 2026-11-24T18:00Z")
    return instant


def checked(replay: Replay, now_ms: int) -> Replay:
    """The replay itself, as asked for now. Raises `ReplayRefused` (or `TriggerInvalid`, which is a ValueError too)."""
    if replay.only not in ONLY:
        raise ReplayRefused(f"only is {replay.only!r}; use one of {', '.join(ONLY)}")
    if not 0 <= replay.rate_per_s < inf:
        raise ReplayRefused("the rate is no number from 0 on; use 0 for no limit of its own")
    if replay.since > now_ms:
        raise ReplayRefused("the range begins in the future: nothing is stored there yet")
    if replay.until and replay.until <= replay.since:
        raise ReplayRefused("the range is empty: it ends before it begins")
    if replay.trigger:
        compile_trigger(replay.trigger)
    return replay


def replay_state(order_id: str, destination: str, replay: Replay, reader: MessageReader, now_ms: int) -> ConsumerState:
    """The consumer a replay begins as: a cursor at the first message received in its range, an end at the last."""
    start: Vector = vector_at(reader, replay.since)
    end: Vector = vector_at(reader, replay.until) if replay.until else reader.resolved()
    return ConsumerState(
        id=order_id,
        destination=destination,
        kind=ConsumerKind.REPLAY,
        log_id=reader.log_id() or "",
        offsets=start,
        start=start,
        end=end,
        replay=replay,
        created_at=now_ms,
        updated_at=now_ms,
    )


class Selection:
    """Which messages belong to a replay: `learn` about them, then `refusal` says of each why it does not, or ''."""

    def __init__(self, replay: Replay, past: "Past", in_store: Callable[..., Awaitable[Any]]) -> None:
        """`in_store`: calls a function in the thread of the delivery store."""
        self._trigger = compile_trigger(replay.trigger) if replay.trigger else None
        self._only = replay.only
        self._past = past
        self._in_store = in_store
        self._dead: set[int] = set()
        self._chosen: set[int] = set()

    async def learn(self, items: Sequence[Item]) -> None:
        """Looks up what became of these messages before."""
        dead = self._chosen = await self._in_store(self._past.failed, items)
        self._dead |= dead
        if self._only == "undelivered":
            self._chosen = await self._in_store(self._past.undelivered, items)

    async def dead_row(self, entry: Entry) -> Row | None:
        """The row of a message that live traffic has given up, as it stands now; None where it has not."""
        if entry.position not in self._dead and not entry.has_row:
            return None
        self._dead.discard(entry.position)
        row: Row | None = await self._in_store(self._past.dead_row, entry.position)
        return row

    def refusal(self, item: Item) -> str:
        """'' where the message belongs to the replay, else the reason."""
        chosen = self._only == "all" or item.stored.position in self._chosen
        return "" if chosen and (self._trigger is None or self._trigger.matches(item.body)) else NOT_CHOSEN


class Past:
    """What became of messages at one destination before a replay comes to them."""

    def __init__(self, replay: ConsumerState, tracing: Tracing) -> None:
        self._id = replay.id
        self._destination = replay.destination
        self._tracing = tracing

    def failed(self, items: Iterable[Item]) -> set[int]:
        """The positions of those that live traffic has given up."""
        return {item.stored.position for item in items if self.dead_row(item.stored.position)}

    def dead_row(self, position: int) -> Row | None:
        """The row of a message that live traffic has given up; None where it has not."""
        row = self._tracing.deliveries.row(self._destination, position)
        return row if row is not None and row.state is RowState.DEAD else None

    def undelivered(self, items: Iterable[Item]) -> set[int]:
        """The positions of those that neither live traffic nor another replay has delivered, or is still to deliver.

        What the kept ranges do not tell any more counts as delivered.
        """
        states = self._tracing.deliveries.consumers()
        others = [each for each in states if each.destination == self._destination and each.id != self._id]
        return {
            item.stored.position
            for item in items
            if not any(self._has_delivered(state, item.stored) for state in others)
        }

    def _has_delivered(self, state: ConsumerState, stored: StoredMessage) -> bool:
        partition, offset = partition_of(stored.position), offset_of(stored.position)
        end = state.end.get(partition, 0) if state.kind is ConsumerKind.REPLAY else None
        if offset < state.start.get(partition, 0) or (end is not None and offset >= end):
            return False
        if self._tracing.deliveries.row(state.id, stored.position) is not None:
            return False
        if offset >= state.offsets.get(partition, 0):
            return state.state == "running"
        if state.replay is not None and state.replay.only == "failed" and not self.dead_row(stored.position):
            return False
        found = self._tracing.deliveries.range_of(state.id, stored.position)
        told = decided(state, stored, found, self._tracing) if found else {"outcome": "unknown"}
        # What is unchanged there has been delivered by another message.
        return told["outcome"] in ("delivered", "unknown") or told.get("code") == Filter.UNCHANGED


def progress(state: ConsumerState) -> float:
    """How much of a replay's offsets its cursor has passed, from 0 to 1."""
    total = sum(end - state.start.get(partition, 0) for partition, end in state.end.items())
    passed = sum(
        min(state.offsets.get(partition, 0), end) - state.start.get(partition, 0)
        for partition, end in state.end.items()
    )
    return 1.0 if state.state == "done" or total <= 0 else passed / total
