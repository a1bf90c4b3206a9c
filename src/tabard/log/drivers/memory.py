"""A log in the memory of one process, for tests and trials: everything a log promises except to outlive the process."""

import threading
import uuid
from collections.abc import Sequence

from tabard.log.interface import LogEntry, LogUnavailable, OffsetGone


class MemoryLog:
    """Holds the partitions; `writer` and `reader` give the two sides."""

    def __init__(self) -> None:
        self.log_id = str(uuid.uuid4())
        self._lock = threading.Lock()
        self._values: dict[int, list[bytes]] = {}
        self._starts: dict[int, int] = {}
        self._written: set[int] = set()

    def writer(self, partition: int) -> "MemoryLogWriter":
        """The writer of a partition. Raises `LogUnavailable("log_locked")` while there is another."""
        with self._lock:
            if partition in self._written:
                raise LogUnavailable("log_locked", f"partition {partition} is written by this process already")
            self._written.add(partition)
            self._values.setdefault(partition, [])
        return MemoryLogWriter(self, partition)

    def reader(self) -> "MemoryLogReader":
        """A reader of all partitions."""
        return MemoryLogReader(self)

    def cut(self, partition: int, start: int) -> None:
        """Forgets what lies below `start`, as retention would."""
        with self._lock:
            kept = self._starts.get(partition, 0)
            del self._values[partition][: max(0, start - kept)]
            self._starts[partition] = max(kept, start)

    def _append(self, partition: int, values: Sequence[bytes]) -> int:
        with self._lock:
            held = self._values[partition]
            first = self._starts.get(partition, 0) + len(held)
            held.extend(values)
            return first

    def _release(self, partition: int) -> None:
        with self._lock:
            self._written.discard(partition)

    def _partitions(self) -> list[int]:
        with self._lock:
            return sorted(self._values)

    def _read(self, partition: int, offset: int, limit: int) -> list[bytes]:
        with self._lock:
            start = self._starts.get(partition, 0)
            if offset < start:
                raise OffsetGone(partition, offset, start)
            return self._values.get(partition, [])[offset - start : offset - start + limit]

    def _range(self, partition: int) -> tuple[int, int]:
        with self._lock:
            start = self._starts.get(partition, 0)
            return start, start + len(self._values.get(partition, []))


class MemoryLogWriter:
    """The writer of one partition; see `log.interface.LogWriter`."""

    def __init__(self, log: MemoryLog, partition: int) -> None:
        self._log = log
        self._partition = partition

    @property
    def log_id(self) -> str:
        return self._log.log_id

    @property
    def partition(self) -> int:
        return self._partition

    def append(self, values: Sequence[bytes]) -> int:
        """The offset of the first value."""
        if not values:
            raise ValueError("an append needs at least one value")
        return self._log._append(self._partition, values)

    def check(self) -> None:
        """Memory can always commit."""

    def close(self) -> None:
        """Lets the next writer in."""
        self._log._release(self._partition)


class MemoryLogReader:
    """Reads all partitions; see `log.interface.LogReader`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    @property
    def log_id(self) -> str:
        return self._log.log_id

    def partitions(self) -> list[int]:
        """The partitions there are now, ascending."""
        return self._log._partitions()

    def start(self, partition: int) -> int:
        """The lowest offset still kept."""
        return self._log._range(partition)[0]

    def end(self, partition: int) -> int:
        """The offset the next append will get."""
        return self._log._range(partition)[1]

    def read(self, partition: int, offset: int, limit: int) -> list[LogEntry]:
        """At most `limit` entries from `offset` on. Raises `OffsetGone` below the start."""
        values = self._log._read(partition, offset, limit)
        return [LogEntry(partition, at, value) for at, value in enumerate(values, offset)]

    def close(self) -> None:
        """Nothing to give back."""
