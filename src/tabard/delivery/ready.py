"""The entries that may go now: single ones in their order, and batches that fill up."""

from collections import deque
from dataclasses import dataclass, field

import msgspec

from tabard.delivery.compiled import Compiled
from tabard.delivery.entry import Entry, Phase, Unit
from tabard.destinations.kit.plan import Planned

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Batch:
    """Entries of one subscription and one set of batch keys, each with its bytes; `under_way`: requests."""

    key: tuple[str, bytes]
    size_max: int
    bytes_max: int
    entries: deque[tuple[Entry, int]] = field(default_factory=deque)
    bytes: int = 0
    under_way: int = 0

    def is_due(self, now_ms: int, wait_ms: float) -> bool:
        """Whether it goes now: it is full, it has waited long enough, or (without a wait) none is under way."""
        if not self.entries:
            return False
        if len(self.entries) >= self.size_max or self.bytes >= self.bytes_max:
            return True
        return now_ms - self.entries[0][0].queued_at >= wait_ms if wait_ms else not self.under_way


class Ready:
    """What one consumer could send."""

    def __init__(self) -> None:
        self._singles: deque[Entry] = deque()
        self._batches: dict[tuple[str, bytes], _Batch] = {}

    def add(self, entry: Entry, compiled: Compiled, now_ms: int) -> None:
        """Queues an entry for its current step."""
        subscription_id, planned = entry.current()
        entry.phase, entry.queued_at = Phase.READY, now_ms
        size_max = compiled.batch_size(planned.subscription)
        if size_max <= 1:
            self._singles.append(entry)
            return
        action = planned.subscription.action
        shared = [planned.payload.get(name) for name in action.batch_keys]
        key = (subscription_id, _encode(shared) if shared else b"")
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = _Batch(key, size_max, action.batch_bytes)
        weight = planned.payload.json_bytes()
        batch.entries.append((entry, weight))
        batch.bytes += weight

    def next(self, now_ms: int, wait_ms: float, *, probe: bool = False) -> Unit | None:
        """What goes out next, None where nothing is due. A probe is one entry alone and does not wait."""
        due = [each for each in self._batches.values() if self._goes(each, now_ms, wait_ms, probe=probe)]
        batch = due[0] if due else None
        if batch is not None and not (self._singles and self._singles[0].queued_at < batch.entries[0][0].queued_at):
            return self._cut(batch, 1 if probe else batch.size_max, now_ms)
        if self._singles:
            entry = self._singles.popleft()
            return _unit(entry.steps[entry.step][0], [entry], now_ms)
        return None

    def came_back(self, unit: Unit) -> None:
        """A unit was answered: another batch of its key may go without being full."""
        if unit.batch_key is None:
            return
        batch = self._batches[unit.batch_key]
        batch.under_way -= 1
        if not batch.entries and not batch.under_way:
            del self._batches[unit.batch_key]

    def due_at(self, wait_ms: float) -> float | None:
        """When the next incomplete batch has waited long enough (ms), None where none waits for that."""
        oldest = [each.entries[0][0].queued_at + wait_ms for each in self._batches.values() if each.entries]
        return min(oldest) if oldest and wait_ms else None

    def drain(self) -> list[Entry]:
        """Takes everything out of the queue, first come first."""
        queued = [*self._singles, *(entry for batch in self._batches.values() for entry, _ in batch.entries)]
        self._singles.clear()
        for batch in self._batches.values():
            batch.entries.clear()
            batch.bytes = 0
        return sorted(queued, key=lambda entry: entry.queued_at)

    def is_empty(self) -> bool:
        """Whether nothing is queued."""
        return not self._singles and not any(batch.entries for batch in self._batches.values())

    @staticmethod
    def _goes(batch: _Batch, now_ms: int, wait_ms: float, *, probe: bool) -> bool:
        return bool(batch.entries) if probe else batch.is_due(now_ms, wait_ms)

    @staticmethod
    def _cut(batch: _Batch, size_max: int, now_ms: int) -> Unit:
        entries: list[Entry] = []
        weight = 0
        while batch.entries and len(entries) < size_max:
            entry, bytes_ = batch.entries[0]
            if entries and weight + bytes_ > batch.bytes_max:
                break
            batch.entries.popleft()
            entries.append(entry)
            weight += bytes_
        batch.bytes -= weight
        batch.under_way += 1
        return _unit(batch.key[0], entries, now_ms, batch.key)


def _unit(subscription_id: str, entries: list[Entry], now_ms: int, key: tuple[str, bytes] | None = None) -> Unit:
    planned: list[Planned] = []
    for entry in entries:
        planned.append(entry.current()[1])
        entry.phase = Phase.SENDING
        entry.sent_at = entry.sent_at or now_ms
        if not entry.since:
            entry.stuck_at = now_ms
    return Unit(subscription_id, entries, planned, now_ms, key)
