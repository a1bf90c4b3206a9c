"""Records that were accepted and could not be processed: kept with their bytes and the reason, bounded, listed.

The resolver writes the file (`quarantine.db`) before it commits that it is past the record; others open it read-only.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from tabard.log.interface import LogFormatUnknown
from tabard.log.statements import statements

_SQL: Final = statements(Path(__file__).with_name("quarantine.sql"))
_FORMAT: Final = 1
_BUSY_MS: Final = 5000
_PAGE: Final = 100
_NEWEST: Final = 2**63 - 1


class QuarantinedRecord(msgspec.Struct, frozen=True):
    """One record: where it stands in the log, what failed on it (`component` of release `version`), why and when."""

    log_id: str
    partition: int
    offset: int
    at_ms: int
    component: str
    version: str
    reason: str
    value: bytes


class Quarantine:
    """The writing side, one process. Beyond `records_max` the oldest are dropped, and counted."""

    def __init__(self, path: Path, records_max: int = 10_000) -> None:
        """Opens or creates the file. Raises `LogFormatUnknown` for one of a newer release."""
        self._records_max = records_max
        path.touch(mode=0o600)
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(_BUSY_MS)
        if not self._connection.pragma("user_version"):
            self._connection.execute(_SQL["create"]).fetchall()
        _require_format(self._connection, path)
        self._connection.execute(_SQL["open"]).fetchall()

    def add(self, records: Iterable[QuarantinedRecord]) -> None:
        """Keeps the records, durable on return. A record that is there already (the log was replayed) is renewed."""
        with self._connection:
            self._connection.executemany(_SQL["add"], [msgspec.structs.astuple(each) for each in records])
            self._connection.execute(_SQL["excess"], (self._records_max,))
            dropped = self._connection.changes()
            if dropped:
                self._connection.execute(_SQL["dropped"], (dropped,))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


class QuarantineReader:
    """The reading side, any process; a file that is not there yet is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None

    def books(self) -> tuple[int, int]:
        """How many records are kept, and how many were dropped for being too many."""
        connection = self._opened()
        return connection.execute(_SQL["books"]).get if connection else (0, 0)

    def newest_first(self) -> Iterator[QuarantinedRecord]:
        """The records, the latest first, read a page at a time."""
        connection = self._opened()
        before = _NEWEST
        while connection:
            rows: list[Any] = connection.execute(_SQL["page"], (before, _PAGE)).fetchall()
            if not rows:
                return
            yield from (QuarantinedRecord(*row) for _, *row in rows)
            before = rows[-1][0]

    def find(self, log_id: str, partition: int, offset: int) -> QuarantinedRecord | None:
        """The record at a position, None when it is not in quarantine."""
        connection = self._opened()
        row = connection.execute(_SQL["one"], (log_id, partition, offset)).get if connection else None
        return QuarantinedRecord(*row) if row else None

    def close(self) -> None:
        """Closes the file."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _opened(self) -> apsw.Connection | None:
        if self._connection is None and self._path.exists():
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(_BUSY_MS)
            if not connection.pragma("user_version"):
                connection.close()  # its writer is just creating it
                return None
            _require_format(connection, self._path)
            self._connection = connection
        return self._connection


def _require_format(connection: apsw.Connection, path: Path) -> None:
    version = connection.pragma("user_version")
    if version != _FORMAT:
        connection.close()
        raise LogFormatUnknown(f"{path} has format {version}, this release of Tabard reads format {_FORMAT}")
