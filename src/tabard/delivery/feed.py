"""Stored messages for all consumers of a process: near the head each is read and decoded once, laggards read apart.

The ring holds messages in the merged order, from where the foremost consumer begins up to the newest. A consumer whose
cursor lies within it takes from it; one that has fallen behind reads for itself until it reaches the ring again.
Reading happens in one thread of its own.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Any

import msgspec

from tabard.clock import Clock
from tabard.delivery.cursor import Vector, read_merged
from tabard.delivery.entry import Item
from tabard.message.types import StoredMessage, offset_of, partition_of
from tabard.storage.deliveries import Term
from tabard.storage.interface import MessageReader

RING_MAX = 4_096
CHUNK = 512
FRESH_MS = 1_000
"""How long it may be since deletions and suppressions were looked up when a message is sent."""
KEPT_MS = 60_000
"""The same of whether its body is still kept."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Seat:
    """A consumer's place: its cursor over what it was given, and where it sits in the ring (None: apart)."""

    def __init__(self, vector: Vector) -> None:
        self.vector = dict(vector)
        self.number: int | None = None


class Feed:
    """The messages of one store."""

    def __init__(self, reader: MessageReader, executor: Executor, clock: Clock) -> None:
        self._reader = reader
        self._executor = executor
        self._clock = clock
        self._ring: deque[Item] = deque()
        self._first = 0
        self._start: Vector = {}
        self._end: Vector | None = None
        self._nearest = 0
        self._stale: list[Item] = []
        self._looking: asyncio.Task[None] | None = None

    async def begin(self, seats: Iterable[Seat]) -> None:
        """Begins the ring where the foremost of these consumers stands, without any at the newest message.

        After a stop all of them stand at about the same place, and what came meanwhile is read once for all.
        """
        vectors = [seat.vector for seat in seats] or [await self._in_thread(self._reader.resolved)]
        partitions = {partition for vector in vectors for partition in vector}
        self._start = {each: max(vector.get(each, 0) for vector in vectors) for each in partitions}
        self._end = dict(self._start)

    async def fill(self) -> int:
        """Reads on, unless every consumer is far behind; how many messages came."""
        if self._end is None:
            return 0
        if self._ring and self._first + len(self._ring) - self._nearest > RING_MAX // 2:
            return 0
        items, nothing_until = await self._in_thread(self._read, self._end, CHUNK)
        self._end = {**self._end, **nothing_until}
        for item in items:
            self._ring.append(item)
            self._end[item.partition] = item.offset + 1
        while len(self._ring) > RING_MAX:
            gone = self._ring.popleft()
            self._start = {**self._start, gone.partition: gone.offset + 1}
            self._first += 1
        return len(items)

    async def take(self, seat: Seat, limit: int) -> Sequence[Item]:
        """At most `limit` messages that follow the seat, which moves on behind them; none before `begin`."""
        if self._end is None:
            return ()
        if seat.number is None or seat.number < self._first:
            seat.number = None
            if not self._covers(seat):
                return await self._take_apart(seat, min(limit, CHUNK))
            seat.number = self._first
        while items := list(islice(self._ring, seat.number - self._first, seat.number - self._first + limit)):
            seat.number += len(items)
            self._nearest = max(self._nearest, seat.number)
            fresh = [each for each in items if each.offset >= seat.vector.get(each.partition, 0)]
            if fresh:
                return self._moved(seat, fresh)
        return ()

    async def _take_apart(self, seat: Seat, limit: int) -> Sequence[Item]:
        items, nothing_until = await self._in_thread(self._read, seat.vector, limit)
        seat.vector.update(nothing_until)
        return self._moved(seat, items)

    async def received_after(self, vector: Vector) -> int:
        """When the first message that follows a cursor was received (ms), 0 where none does."""
        following = await self._in_thread(read_merged, self._reader, vector, 1)
        return following.messages[0].received_at if following.messages else 0

    async def load(self, positions: Iterable[int]) -> dict[int, Item]:
        """The messages at these positions that are still kept."""
        found: dict[int, Item] = await self._in_thread(self._load, list(positions))
        return found

    async def recheck(self, items: Sequence[Item]) -> bool:
        """Looks up again what was deleted or is no longer kept, where the look-up is not fresh; whether any was."""
        now_ms = self._clock.now_ms()
        stale = [item for item in items if now_ms - item.checked_at > FRESH_MS]
        if stale:
            self._stale += stale
            if self._looking is None:
                self._looking = asyncio.create_task(self._look_up())
            await asyncio.shield(self._looking)
        return any(item.dead for item in items)

    async def _look_up(self) -> None:
        """Looks up all that was asked for until it runs: many requests wait for one turn of the reading thread."""
        self._looking, stale, self._stale = None, self._stale, []
        now_ms = self._clock.now_ms()
        ends = await self._in_thread(lambda: [self._end_of(item, now_ms) for item in stale])
        for item, end in zip(stale, ends, strict=True):
            item.checked_at = now_ms
            if end is not None:
                item.dead, item.term = True, end

    def _end_of(self, item: Item, now_ms: int) -> Term | None:
        if self._reader.is_dead(item.stored):
            return Term.ERASED
        if now_ms - item.checked_at <= KEPT_MS:
            return None
        now = self._load([item.stored.position]).get(item.stored.position)
        return Term.EXPIRED if now is None or now.dead else None

    async def call(self, question: Any, *arguments: Any) -> Any:
        """An answer of the reader, asked in its thread: `call(vector_at, moment)` runs `vector_at(reader, moment)`."""
        return await self._in_thread(question, self._reader, *arguments)

    def _covers(self, seat: Seat) -> bool:
        return all(seat.vector.get(partition, 0) >= offset for partition, offset in self._start.items())

    @staticmethod
    def _moved(seat: Seat, items: Sequence[Item]) -> Sequence[Item]:
        for item in items:
            seat.vector[item.partition] = item.offset + 1
        return items

    def _read(self, vector: Vector, limit: int) -> tuple[list[Item], Vector]:
        following = read_merged(self._reader, vector, limit)
        return [self._item(stored) for stored in following.messages], following.nothing_until

    def _load(self, positions: list[int]) -> dict[int, Item]:
        found = {}
        for position in positions:
            stored = self._reader.read(partition_of(position), offset_of(position), 1)
            if stored and stored[0].position == position:
                found[position] = self._item(stored[0])
        return found

    def _item(self, stored: StoredMessage) -> Item:
        dead = self._reader.is_dead(stored)
        body = {} if dead or not stored.body else _decode(stored.body)
        return Item(stored, body, self._clock.now_ms(), dead=dead)

    async def _in_thread(self, question: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, question, *arguments)
