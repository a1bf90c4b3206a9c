"""The drivers the conformance suite runs over: one line here puts a new driver under all of its tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from tabard.log.drivers.memory import MemoryLog
from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter, SqliteRetention
from tabard.log.interface import LogReader, LogWriter
from tabard.log.retention import RetentionPolicy


class Log(Protocol):
    """A fresh log of some driver."""

    def writer(self, partition: int) -> LogWriter: ...

    def reader(self) -> LogReader: ...

    def cut(self, partition: int) -> None:
        """Lets go of the oldest entries, as retention does once they are consumed; at least one stays."""
        ...


class _Memory:
    def __init__(self, folder: Path) -> None:
        self._log = MemoryLog()
        self.writer = self._log.writer
        self.reader = self._log.reader

    def cut(self, partition: int) -> None:
        self._log.cut(partition, self.reader().end(partition) - 1)


class _AllConsumed:
    def mark(self, consumer: str, partition: int, offset: int) -> None:
        raise NotImplementedError

    def slowest(self, partition: int) -> int:
        return 1 << 48


class _Sqlite:
    """Segments of 64 KiB, so that the suite crosses from one to the next."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "log"

    def writer(self, partition: int) -> LogWriter:
        return SqliteLogWriter(self._root, partition, LogOptions(segment_bytes=64 * 1024, disk_floor_bytes=1))

    def reader(self) -> LogReader:
        return SqliteLogReader(self._root)

    def cut(self, partition: int) -> None:
        SqliteRetention(self._root, _AllConsumed(), RetentionPolicy(log_retention_s=0)).sweep(0)


DRIVERS: dict[str, Callable[[Path], Log]] = {"memory": _Memory, "sqlite": _Sqlite}


@pytest.fixture(params=sorted(DRIVERS))
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    return DRIVERS[request.param](tmp_path)
