"""The embedded log: a folder a partition, in it SQLite segment files, one writing process, any number of readers."""

import bisect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tabard.clock import Clock, SystemClock
from tabard.log.disk import disk
from tabard.log.drivers.segment import (
    SQL,
    Chunk,
    Description,
    chunk,
    create,
    exists,
    firsts,
    named_refusals,
    open_to_read,
    open_to_write,
    path_of,
    remove,
    require_sqlite,
)
from tabard.log.interface import LogEntry, LogUnavailable, OffsetGone
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
_READ_BYTES: Final = 8 * 1024 * 1024


class SqliteLogWriter:
    """The writer of one partition; see `log.interface.LogWriter`.

    A segment in which a commit failed is never written again: what the disk has of that commit is unknown, and after a
    failed sync the system may claim pages are on disk that are not. The next append begins a new segment at the first
    offset that was not acknowledged, which hides whatever the failed commit left behind.
    """

    def __init__(self, root: Path, partition: int, options: LogOptions = _DEFAULTS, clock: Clock = _CLOCK) -> None:
        """Takes the partition's lock and opens nothing else yet.

        Raises `LogUnavailable("log_locked")` naming the process that has it, and `LogFormatUnknown`. Any other trouble
        shows at the first `check` or `append`, so that a door can stand on a full disk and say so.
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
            self._writable().probe(self._clock.now_ms())

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
        age_ms = self._clock.now_ms() - segment.created_ms
        return segment.end > segment.first_offset and (
            segment.bytes >= self._options.segment_bytes or age_ms >= self._options.segment_age_s * 1000
        )

    def _newest(self) -> "_Tail":
        known = firsts(self._folder)
        return self._open(known[-1]) if known else self._begin(0)

    def _successor(self, segment: "_Tail") -> "_Tail":
        if segment.end == segment.first_offset:
            segment.close()
            remove(path_of(self._folder, segment.first_offset))
            return self._begin(segment.end)
        if not segment.failed:
            segment.close()
            return self._begin(segment.end)
        # The failed one stays open until its successor stands: with all its connections gone, SQLite would recover
        # it and show readers the commit that failed.
        successor = self._begin(segment.end)
        segment.close()
        return successor

    def _begin(self, first_offset: int) -> "_Tail":
        description = Description(self._log_id, self._partition, first_offset, self._clock.now_ms())
        create(self._folder, description, self._options.vfs)
        return self._open(first_offset)

    def _open(self, first_offset: int) -> "_Tail":
        tail = _Tail(path_of(self._folder, first_offset), self._options.vfs)
        if (tail.log_id, tail.first_offset) != (self._log_id, first_offset):
            tail.close()
            raise LogUnavailable("log_corrupt", f"{tail.path} belongs elsewhere: to log {tail.log_id}")
        return tail


class _Tail:
    """The segment that is written. `failed` once a statement in it did not succeed."""

    def __init__(self, path: Path, vfs: str) -> None:
        self.path = path
        self.failed = False
        self._connection = open_to_write(path, vfs)
        try:
            # A writer that was killed may have left commits that were never synced but that readers see by now.
            self._checkpoint()
            self.log_id, _, self.first_offset, self.created_ms = self._connection.execute(SQL["description"]).get
            last = self._connection.execute(SQL["last"]).get
        except BaseException:
            self._connection.close()
            raise
        self.end: int = sum(last) if last else self.first_offset
        self.bytes = path.stat().st_size

    @property
    def wal_bytes(self) -> int:
        return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116

    def append(self, values: Sequence[bytes]) -> int:
        row = chunk(self.end, values)
        self._run(SQL["append"], (row.first_offset, row.count, row.crc, row.body))
        self.end = row.end
        self.bytes += len(row.body)
        return row.first_offset

    def probe(self, now_ms: int) -> None:
        self._run(SQL["probe"], (now_ms,))

    def _run(self, statement: str, bindings: tuple[int | bytes, ...]) -> None:
        try:
            self._connection.execute(statement, bindings)
        except BaseException:
            self.failed = True
            raise

    def _checkpoint(self) -> None:
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        try:
            if not self.failed:
                self._checkpoint()
        except apsw.Error:
            # Every append is durable in the write-ahead log already; whoever opens the file next reads it from there.
            pass
        finally:
            self._connection.close()


class SqliteLogReader:
    """Reads all partitions of a log; see `log.interface.LogReader`. Not for several threads at once.

    Cheap to poll: an idle `read` is one indexed query and two looks at a file name.
    """

    def __init__(self, root: Path) -> None:
        """Opens the log at `root`, creating an empty one when there is none. Raises `LogFormatUnknown`."""
        require_sqlite()
        self._root = root
        self._partitions: dict[int, _PartitionReader] = {}
        with named_refusals(root):
            self._log_id = open_log(root)

    @property
    def log_id(self) -> str:
        return self._log_id

    def partitions(self) -> list[int]:
        """The partitions there are now, ascending."""
        with named_refusals(self._root):
            return sorted(int(entry.name) for entry in self._root.iterdir() if entry.name.isdecimal())

    def start(self, partition: int) -> int:
        """The lowest offset still kept."""
        with named_refusals(self._root):
            return self._reader(partition).start()

    def end(self, partition: int) -> int:
        """The offset the next append will get."""
        with named_refusals(self._root):
            return self._reader(partition).end()

    def read(self, partition: int, offset: int, limit: int) -> list[LogEntry]:
        """At most `limit` entries from `offset` on; see `LogReader.read`. Fewer when they come to about 8 MiB."""
        with named_refusals(self._root):
            return self._reader(partition).read(offset, limit)

    def close(self) -> None:
        """Closes every file."""
        for reader in self._partitions.values():
            reader.close()
        self._partitions.clear()

    def _reader(self, partition: int) -> "_PartitionReader":
        reader = self._partitions.get(partition)
        if reader is None:
            reader = self._partitions[partition] = _PartitionReader(self._root / str(partition), partition)
        return reader


class _PartitionReader:
    """One partition: the segments known so far, at most two of them open (the newest and the one being read)."""

    def __init__(self, folder: Path, partition: int) -> None:
        self._folder = folder
        self._name = str(folder)
        self._partition = partition
        self._firsts: list[int] = []
        self._open: dict[int, tuple[int, apsw.Connection]] = {}
        # Known end of a chunk: a read from there need not look at the chunk before.
        self._boundary = -1
        # What a read left over of its last chunk, at the offset where it stopped.
        self._rest: tuple[int, list[bytes]] = (-1, [])

    def start(self) -> int:
        self._list()
        return self._firsts[0] if self._firsts else 0

    def end(self) -> int:
        while self._firsts or self._list():
            newest = self._firsts[-1]
            connection = self._connection(newest)
            last = connection.execute(SQL["last"]).get if connection else None
            end = sum(last) if last else newest
            if connection and not (last and self._ended(newest, last[0], end)):
                return end
            self._list()
        return 0

    def read(self, offset: int, limit: int) -> list[LogEntry]:
        begin, values = self._rest
        if begin != offset:
            values = []
        room = _READ_BYTES
        while len(values) < limit and room > 0:
            chunks = self._chunks(offset + len(values), limit - len(values), room)
            if not chunks:
                break
            skipped = offset + len(values) - chunks[0].first_offset
            fresh = [value for each in chunks for value in each.values()]
            values += fresh[skipped:] if skipped else fresh
            room -= sum(len(each.body) for each in chunks)
        self._rest = (offset + limit, values[limit:])
        return [LogEntry(self._partition, at, value) for at, value in enumerate(values[:limit], offset)]

    def close(self) -> None:
        for _, connection in self._open.values():
            connection.close()
        self._open.clear()

    def _chunks(self, offset: int, limit: int, room: int) -> list[Chunk]:
        """Whole chunks without gaps, the first one holding `offset`, up to `limit` values or `room` bytes."""
        while self._firsts or self._list():
            if offset < self._firsts[0] and offset < self.start():
                raise OffsetGone(self._partition, offset, self._firsts[0])
            at = bisect.bisect_right(self._firsts, offset) - 1
            closed = at + 1 < len(self._firsts)
            connection = self._connection(self._firsts[at])
            found = self._query(connection, offset, limit, room) if connection else []
            if closed:
                found = [each for each in found if each.first_offset < self._firsts[at + 1]]
            elif found and self._ended(self._firsts[at], found[-1].first_offset, -1):
                found.pop()
            if found:
                self._boundary = found[-1].end
                return found
            if connection and closed:
                raise LogUnavailable("log_corrupt", f"{path_of(self._folder, self._firsts[at])} has no offset {offset}")
            if connection and self._boundary == offset and not exists(self._name, offset):
                return []
            known = self._firsts
            if connection and self._list() == known:
                return []
        return []

    def _query(self, connection: apsw.Connection, offset: int, limit: int, room: int) -> list[Chunk]:
        found: list[Chunk] = []
        expected = offset
        known = offset == self._boundary
        cursor = connection.execute(SQL["next"] if known else SQL["holding"], (offset,))
        for row in cursor:
            each = Chunk(*row)
            if each.end <= offset:
                expected = each.end
                continue
            if each.first_offset > expected:
                raise LogUnavailable("log_corrupt", f"{self._folder} has a hole at offset {expected}")
            found.append(each)
            expected = each.end
            room -= len(each.body)
            if expected - offset >= limit or room <= 0:
                break
        cursor.close()
        if expected == offset:
            self._boundary = offset
        return found

    def _ended(self, segment: int, last: int, end: int) -> bool:
        """Whether a newer segment takes over at the last chunk (whose commit failed, then) or right after it."""
        return (last != segment and exists(self._name, last)) or exists(self._name, end)

    def _list(self) -> list[int]:
        self._firsts = firsts(self._folder) if self._folder.exists() else []
        return self._firsts

    def _connection(self, first: int) -> apsw.Connection | None:
        """A connection to a segment, None when retention or the writer took the file away meanwhile (look again)."""
        path = path_of(self._folder, first)
        newest = self._firsts[-1]
        inode, connection = self._open.get(first, (0, None))
        if connection and (first != newest or _inode(path) == inode):
            return connection
        for old in [each for each in self._open if each != newest or each == first]:
            self._open.pop(old)[1].close()
        try:
            connection = open_to_read(path, closed=first != newest)
        except apsw.CantOpenError:
            if path.exists():
                raise
            self._list()
            return None
        self._open[first] = (_inode(path), connection)
        return connection


def _inode(path: Path) -> int:
    """Which file stands under the name: a writer replaces a segment whose very first commit failed."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1
