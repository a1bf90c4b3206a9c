"""Reading the embedded log: any number of readers in any process, each a few microseconds while idle."""

import bisect
from pathlib import Path
from typing import Final

import apsw

from tabard.log.drivers.sqlite.segment import (
    SQL,
    Chunk,
    chunk_of,
    exists,
    firsts,
    named_refusals,
    open_to_read,
    partitions,
    path_of,
    require_sqlite,
)
from tabard.log.interface import LogEntry, LogUnavailable, OffsetGone
from tabard.log.log_id import open_log

_READ_BYTES: Final = 8 * 1024 * 1024


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
            return partitions(self._root)

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
        begin, rest = self._rest
        values = rest if begin == offset else []
        room = _READ_BYTES
        while len(values) < limit and room > 0:
            try:
                chunks = self._chunks(offset + len(values), limit - len(values), room)
            except (apsw.Error, LogUnavailable):
                if not values:
                    raise
                break
            if not chunks:
                break
            skipped = offset + len(values) - chunks[0].first_offset
            values = values + [value for chunk in chunks for value in chunk.values][skipped:]
            room -= sum(chunk.bytes for chunk in chunks)
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
            first = self._firsts[at]
            closed = at + 1 < len(self._firsts)
            connection = self._connection(first)
            found = self._query(connection, first, offset, limit, room) if connection else []
            if closed:
                found = [chunk for chunk in found if chunk.first_offset < self._firsts[at + 1]]
            elif found and self._ended(first, found[-1].first_offset, -1):
                found.pop()
            if found and found[0].first_offset <= offset:
                self._boundary = found[-1].end
                return found
            if found or (connection and closed):
                raise LogUnavailable("log_corrupt", f"{path_of(self._folder, first)} has no offset {offset}")
            if connection and self._boundary == offset and not exists(self._name, offset):
                return []
            known = self._firsts
            if connection and self._list() == known:
                return []
        return []

    def _query(self, connection: apsw.Connection, first: int, offset: int, limit: int, room: int) -> list[Chunk]:
        """The chunks of one segment, up to a damage or hole; a damage that stands first is raised."""
        found: list[Chunk] = []
        end = first
        cursor = connection.execute(SQL["next" if offset == self._boundary else "holding"], (offset,))
        try:
            for begin, count, crc, body in cursor:
                if found and begin != end:
                    break
                end = begin + count
                if end <= offset:
                    continue
                found.append(chunk_of(begin, count, crc, body))
                room -= len(body)
                if end - offset >= limit or room <= 0:
                    break
        except (apsw.Error, LogUnavailable):
            if not found:
                raise
        finally:
            cursor.close()
        if end == offset:
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
        inode = _inode(path)
        try:
            connection = open_to_read(path, closed=first != newest)
        except apsw.CantOpenError:
            if path.exists():
                raise
            self._list()
            return None
        self._open[first] = (inode, connection)
        return connection


def _inode(path: Path) -> int:
    """Which file stands under the name: a writer replaces a segment whose very first commit failed."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1
