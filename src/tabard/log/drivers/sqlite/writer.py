"""Writing the embedded log: one process a partition, every append on disk before it returns."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tabard.clock import Clock, SystemClock
from tabard.log.disk import disk
from tabard.log.drivers.sqlite.segment import (
    SQL,
    Description,
    create,
    described,
    firsts,
    named_refusals,
    open_to_write,
    path_of,
    require_sqlite,
    row_of,
)
from tabard.log.interface import LogUnavailable
from tabard.log.lock import PartitionLock
from tabard.log.log_id import open_log, sync_folder
from tabard.telemetry.metrics import gauge, observe


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a writer lays out its partition; the meanings are those of the settings of the same names."""

    segment_bytes: int = 64 * 1024 * 1024
    segment_age_s: int = 3600
    disk_floor_bytes: int = 0
    lock_wait_s: float = 0
    vfs: str = ""


_DEFAULTS: Final = LogOptions()
_CLOCK: Final = SystemClock()


class SqliteLogWriter:
    """The writer of one partition; see `log.interface.LogWriter`.

    A segment in which a commit failed is never written again: what the disk has of that commit is unknown, and after a
    failed sync the system may claim pages are on disk that are not. The next append begins a new segment at the first
    offset that was not acknowledged, which hides whatever the failed commit left behind.
    """

    def __init__(self, root: Path, partition: int, options: LogOptions = _DEFAULTS, clock: Clock = _CLOCK) -> None:
        """Takes the partition's lock and opens nothing else yet.

        Raises `LogUnavailable("log_locked")` naming the process that has it, and `LogFormatUnknown`. Where the
        partition's folder is there, other trouble shows at the first `check` or `append` only, so that a door can
        stand on a full disk and say so.
        """
        require_sqlite()
        self._folder = root / str(partition)
        self._partition = partition
        self._label = str(partition)
        self._options = options
        self._clock = clock
        self._segment: _Tail | None = None
        with named_refusals(root):
            self._log_id = open_log(root)
            if not self._folder.exists():
                self._folder.mkdir()
                sync_folder(root)
            self._lock = PartitionLock(self._folder, options.lock_wait_s)

    @property
    def log_id(self) -> str:
        return self._log_id

    @property
    def partition(self) -> int:
        return self._partition

    def append(self, values: Sequence[bytes]) -> int:
        """The offset of the first value once all are on disk; see `LogWriter.append`."""
        if not values:
            raise ValueError("an append needs at least one value")
        started_s = self._clock.monotonic_s()
        with named_refusals(self._folder):
            self._require_free_disk()
            segment = self._writable()
            first = segment.append(values)
            observe("tabard_log_commit_seconds", self._clock.monotonic_s() - started_s, partition=self._label)
            gauge("tabard_log_wal_bytes", segment.wal_bytes, partition=self._label)
            return first

    def check(self) -> None:
        """Commits now, without a message; see `LogWriter.check`."""
        with named_refusals(self._folder):
            self._require_free_disk()
            self._writable().probe()

    def close(self) -> None:
        """Moves the open segment's write-ahead log into its file and lets the next writer in."""
        if self._segment:
            self._segment.close()
            self._segment = None
        self._lock.release()

    def _require_free_disk(self) -> None:
        state = disk(self._folder, self._options.disk_floor_bytes)
        if state.below_floor:
            raise LogUnavailable(
                "disk_floor",
                f"{state.free_bytes} bytes are free at {self._folder}, the floor is {state.floor_bytes}: "
                "free some space, or lower disk_floor_bytes",
            )

    def _writable(self) -> "_Tail":
        if self._segment is None:
            self._segment = self._newest()
        elif self._segment.failed or self._is_full(self._segment):
            self._segment = self._successor(self._segment)
        return self._segment

    def _is_full(self, segment: "_Tail") -> bool:
        age_ms = self._clock.now_ms() - segment.description.created_ms
        return segment.end > segment.first_offset and (
            segment.bytes >= self._options.segment_bytes or age_ms >= self._options.segment_age_s * 1000
        )

    def _newest(self) -> "_Tail":
        known = firsts(self._folder)
        return self._opened(known[-1]) if known else self._begin(0)

    def _successor(self, segment: "_Tail") -> "_Tail":
        if segment.failed and segment.end > segment.first_offset:
            # The failed one stays open until its successor stands: with all its connections gone, SQLite would recover
            # it and show readers the commit that failed.
            successor = self._begin(segment.end)
            segment.close()
            return successor
        segment.close()
        return self._begin(segment.end)

    def _begin(self, first_offset: int) -> "_Tail":
        description = Description(self._log_id, self._partition, first_offset, self._clock.now_ms())
        create(self._folder, description, self._options.vfs)
        return self._opened(first_offset)

    def _opened(self, first_offset: int) -> "_Tail":
        tail = _Tail(path_of(self._folder, first_offset), self._options.vfs)
        found = tail.description
        if (found.log_id, found.partition, found.first_offset) != (self._log_id, self._partition, first_offset):
            tail.close()
            raise LogUnavailable("log_corrupt", f"{tail.path} belongs elsewhere: {found}")
        return tail


class _Tail:
    """The segment that is written. `failed` once a statement in it did not succeed."""

    def __init__(self, path: Path, vfs: str) -> None:
        self.path = path
        self.failed = False
        self._connection = open_to_write(path, vfs)
        try:
            # A writer that was killed may have left commits that were never synced but that readers see by now.
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self.description = described(self._connection, path)
            last = self._connection.execute(SQL["last"]).get
        except BaseException:
            self._connection.close()
            raise
        self.first_offset = self.description.first_offset
        self.end: int = sum(last) if last else self.first_offset
        self.bytes = path.stat().st_size

    @property
    def wal_bytes(self) -> int:
        return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116

    def append(self, values: Sequence[bytes]) -> int:
        first, count, _, body = row = row_of(self.end, values)
        self._run(SQL["append"], row)
        self.end += count
        self.bytes += len(body)
        return first

    def probe(self) -> None:
        self._run(SQL["probe"])

    def _run(self, statement: str, bindings: tuple[int | bytes, ...] = ()) -> None:
        try:
            self._connection.execute(statement, bindings)
        except BaseException:
            self.failed = True
            raise

    def close(self) -> None:
        # Whatever fails here is harmless: each append is durable in the write-ahead log, from which the next one to
        # open the file reads it.
        if not self.failed:
            with contextlib.suppress(apsw.Error):
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with contextlib.suppress(apsw.Error):
            self._connection.close()
