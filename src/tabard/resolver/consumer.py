"""The resolver's loop: polls the partitions of the log, commits what they hold, keeps the projection up."""

import gc
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from tabard.clock import Clock
from tabard.identity.rules import Rules
from tabard.log.interface import LogEntry, LogReader, OffsetGone, Progress
from tabard.log.quarantine import QuarantinedRecord
from tabard.message.types import partition_of, position
from tabard.resolver.stages import UNFORESEEN, Unresolved, resolve
from tabard.storage.interface import Consumed, Count, Resolved, StoreUnavailable, StoreWriter
from tabard.telemetry import logging, metrics

CONSUMER: Final = "resolver"
POLL_S: Final = 0.02
PARTITIONS_S: Final = 1.0
UNAVAILABLE_S: Final = 1.0
PROJECT_S: Final = 0.25
KEEP_UP_S: Final = 0.2
MARKS: Final = 1500
ERASURES: Final = 20
WIPE_S: Final = 1.0
SYNC_S: Final = 2.0
END_S: Final = 2.0
ENTRIES_MAX: Final = 4096
"""Most entries of one commit; fewer where they are large, since a read of the log is bounded in bytes."""


PAST_MS: Final = 250
"""So long after the last message the watermark has passed it for certain, and idle turns stop writing it."""


class QuarantineWriter(Protocol):
    """Where records go that can be no message (`log.quarantine.Quarantine`)."""

    def add(self, records: Iterable[QuarantinedRecord]) -> None: ...


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the resolver says of itself each second. `lag`: partition → entries not yet resolved."""

    at: int
    lag: dict[int, int]
    positions: dict[int, int]
    rate_per_s: float
    stored: int
    duplicates: int
    conflicting: int
    quarantined: int
    marks: int


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the loop works with. `beat` is called on every turn, `publish` about once a second."""

    log: LogReader
    store: StoreWriter
    quarantine: QuarantineWriter
    progress: Progress
    clock: Clock
    rules: Rules
    version: str
    skew_correction: bool = True
    beat: Callable[[], None] = lambda: None
    publish: Callable[[Status], None] = lambda _: None


def run(parts: Parts, stop: threading.Event) -> None:
    """Resolves until `stop` is set, then finishes the commit at hand. Raises `storage.interface.Fenced`."""
    calm_collector()
    loop = Consumer(parts)
    is_away = False
    while not stop.is_set():
        parts.beat()
        try:
            has_more = loop.turn()
            if is_away:
                logging.logger().info("resolver.store.available")
                is_away = False
            if not has_more:
                stop.wait(POLL_S)
        except StoreUnavailable as problem:
            logging.logger().error("resolver.store.unavailable", code=problem.code, problem=str(problem))
            is_away = True
            stop.wait(UNAVAILABLE_S)
    loop.end()


def calm_collector() -> None:
    """Lets Python look for cycles rarely: a batch makes 100,000 containers that die by themselves (a fifth faster)."""
    gc.set_threshold(50_000, 20, 100)


@dataclass
class Books:
    """What this process did since it began."""

    stored: int = 0
    duplicates: int = 0
    conflicting: int = 0
    quarantined: int = 0


@dataclass
class Taken:
    """What one turn took from the log."""

    entries: list[LogEntry] = field(default_factory=list)
    consumed: list[Consumed] = field(default_factory=list)


class Consumer:
    """One resolver. `turn` does what is due and says whether there was any work."""

    def __init__(self, parts: Parts) -> None:
        """Takes the store. Raises `Fenced` where it belongs to another log."""
        self._parts = parts
        parts.store.begin(parts.log.log_id, parts.beat)
        self._positions = parts.store.positions()
        self._partitions: list[int] = []
        self._books = Books()
        self._marked = True
        # A process before this one may have died between erasing and wiping.
        self._erased = True
        # Nor may it have lived to say that after its last message there was nothing.
        self._newest_received = parts.clock.now_ms()
        self._watermark_due = True
        self._due: dict[str, float] = {}
        self._rate_from = (parts.clock.monotonic_s(), 0)

    def turn(self) -> bool:
        """One commit of what the partitions hold, and whatever else is due."""
        if self._is_due("partitions", PARTITIONS_S):
            self._partitions = self._parts.log.partitions()
        taken = self._take()
        worked = bool(taken.entries)
        if worked:
            self._commit(taken)
        elif self._watermark_due and taken.consumed:
            self._parts.store.apply((), taken.consumed)
            self._watermark_due = min(one.polled_at for one in taken.consumed) <= self._newest_received + PAST_MS
        if self._marked and (not worked or self._is_due("project", PROJECT_S)):
            self._keep_up()
        if self._erased and self._is_due("wipe", WIPE_S):
            self._erased = not self._parts.store.wipe()
        if self._is_due("sync", SYNC_S):
            self._release()
        if self._is_due("status", 1.0):
            self._publish()
        return worked

    def end(self) -> None:
        """Leaves everything as an orderly stop should: durable, marked, said, and projected if that is soon done."""
        until_s = self._parts.clock.monotonic_s() + END_S
        while self._marked and self._parts.clock.monotonic_s() < until_s:
            self._keep_up()
        if self._erased:
            self._erased = not self._parts.store.wipe()
        self._release()
        self._publish()

    def _take(self) -> Taken:
        """Entries of all partitions; where one is found empty, up to when that is certain."""
        taken = Taken()
        share = max(1, ENTRIES_MAX // max(1, len(self._partitions)))
        for partition in self._partitions:
            polled_at = self._parts.clock.now_ms()
            offset = self._positions.get(partition, 0)
            try:
                entries = self._parts.log.read(partition, offset, share)
            except OffsetGone as gone:
                self._jump(partition, offset, gone.start)
                continue
            end = entries[-1].offset + 1 if entries else offset
            taken.entries += entries
            taken.consumed.append(Consumed(partition, offset, end, 0, 0 if entries else polled_at))
        return taken

    def _commit(self, taken: Taken) -> None:
        parts = self._parts
        resolved, unresolved = resolve(taken.entries, parts.rules, skew_correction=parts.skew_correction)
        if len(self._partitions) > 1:
            resolved.sort(key=lambda one: one.message.received_at)
        if unresolved:
            self._quarantine(unresolved)
        counts = [Count("quarantined", "", one.reason) for one in unresolved]
        consumed = _with_times(taken.consumed, resolved)
        try:
            committed = parts.store.apply(resolved, consumed, counts)
        except UNFORESEEN:
            logging.logger().exception("resolver.batch.failed", messages=len(resolved))
            counts += self._one_by_one(taken, resolved)
            committed = parts.store.apply((), consumed, counts)
        for one in taken.consumed:
            self._positions[one.partition] = one.next_offset
        self._books.stored += committed.stored
        self._books.duplicates += committed.duplicates
        self._books.conflicting += committed.conflicting
        self._marked = self._watermark_due = True
        latest = max((one.message.received_at for one in resolved), default=0)
        self._newest_received = max(self._newest_received, min(latest, parts.clock.now_ms()))
        for source, (stored, duplicates) in committed.sources.items():
            metrics.count("tabard_messages_stored", stored, source=source)
            metrics.count("tabard_messages_duplicate", duplicates, source=source)

    def _one_by_one(self, taken: Taken, resolved: list[Resolved]) -> list[Count]:
        """Commits the messages singly, without their positions; those that fail again are quarantined and counted."""
        failed = []
        for one in resolved:
            try:
                self._parts.store.apply([one], ())
            except UNFORESEEN as problem:
                entry = next(each for each in taken.entries if position(each.partition, each.offset) == one.position)
                failed.append(Unresolved(entry, "unforeseen", repr(problem)))
        if failed:
            self._quarantine(failed)
        return [Count("quarantined", "", one.reason) for one in failed]

    def _quarantine(self, unresolved: list[Unresolved]) -> None:
        """Kept before the commit that goes past them."""
        now, log_id = self._parts.clock.now_ms(), self._parts.log.log_id
        self._parts.quarantine.add(
            QuarantinedRecord(
                log_id=log_id,
                partition=one.entry.partition,
                offset=one.entry.offset,
                at_ms=now,
                component=CONSUMER,
                version=self._parts.version,
                reason=f"{one.reason}: {one.problem}",
                value=one.entry.value,
            )
            for one in unresolved
        )
        self._books.quarantined += len(unresolved)
        logging.logger().warning("resolver.quarantined", records=len(unresolved), reason=unresolved[0].reason)

    def _jump(self, partition: int, offset: int, start: int) -> None:
        """The log was cut ahead of us: what is lost is counted and said, the rest goes on."""
        self._parts.store.apply((), [Consumed(partition, offset, start, 0)], [Count("log_gap", "", "", start - offset)])
        self._positions[partition] = start
        logging.logger().error("resolver.log_gap", partition=partition, lost=start - offset)

    def _keep_up(self) -> None:
        """Projects what is marked, for a while, then erases what is due; all in short transactions."""
        store, clock = self._parts.store, self._parts.clock
        until_s = clock.monotonic_s() + KEEP_UP_S
        while store.project(MARKS) == MARKS:
            if clock.monotonic_s() > until_s:
                return
        erased = store.erase(ERASURES)
        self._erased = self._erased or erased > 0
        self._marked = erased == ERASURES

    def _release(self) -> None:
        """Lets the log go of what is durable in the store."""
        self._parts.store.sync()
        for partition, offset in self._positions.items():
            self._parts.progress.mark(CONSUMER, partition, offset)

    def _publish(self) -> None:
        now_s = self._parts.clock.monotonic_s()
        since_s, before = self._rate_from
        self._rate_from = (now_s, self._books.stored)
        log, books = self._parts.log, self._books
        lag = {one: max(0, log.end(one) - self._positions.get(one, 0)) for one in self._partitions}
        marks = self._parts.store.marks()
        for partition, entries in lag.items():
            metrics.gauge("tabard_resolver_lag", entries, partition=str(partition))
        metrics.gauge("tabard_projector_marks", marks)
        self._parts.publish(
            Status(
                at=self._parts.clock.now_ms(),
                lag=lag,
                positions=dict(self._positions),
                rate_per_s=round((books.stored - before) / max(now_s - since_s, 0.001), 1),
                stored=books.stored,
                duplicates=books.duplicates,
                conflicting=books.conflicting,
                quarantined=books.quarantined,
                marks=marks,
            )
        )

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._parts.clock.monotonic_s()
        if now_s < self._due.get(what, 0.0):
            return False
        self._due[what] = now_s + every_s
        return True


def _with_times(consumed: list[Consumed], resolved: list[Resolved]) -> list[Consumed]:
    latest: dict[int, int] = {}
    for one in resolved:
        partition = partition_of(one.position)
        latest[partition] = max(latest.get(partition, 0), one.message.received_at)
    return [msgspec.structs.replace(one, received_at=latest.get(one.partition, 0)) for one in consumed]
