"""`log/<partition>/rejections.db`: what the door refused, with its reason and its bytes up to a cap, bounded by count
and age.

The collector of the partition is its one writer; `tabard rejected` and the web role read it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import apsw
import msgspec

from tabard.clock import Clock
from tabard.log.statements import statements
from tabard.settings import Settings
from tabard.telemetry.logging import logger

FILE_NAME: Final = "rejections.db"
_SQL: Final = statements(Path(__file__).with_suffix(".sql"))
_BUSY_MS: Final = 5000
_PRUNE_EVERY: Final = 256


class KeptRejection(msgspec.Struct, frozen=True, gc=False):
    """One refused request or item. `at` in milliseconds, `item` its index in the batch (None = the request).

    `raw` is as much of it as is kept, `raw_bytes` how much there was; `id` is set once it is stored, ascending.
    """

    at: int
    source: str
    reason: str
    message: str
    field: str
    item: int | None
    path: str
    raw: bytes
    raw_bytes: int
    id: int = 0


class RejectionStore(Protocol):
    """Where the door keeps what it refused. Called by the writer thread only."""

    def keep(self, rejections: Sequence[KeptRejection]) -> bool:
        """Whether they are on disk. Never raises: a refusal that cannot be kept is still a refusal."""
        ...

    def close(self) -> None: ...


class SqliteRejections:
    """The rejections of one partition in an SQLite file of their own."""

    def __init__(self, folder: Path, settings: Settings, clock: Clock) -> None:
        """Opens nothing yet: trouble with the disk shows when something is to be kept."""
        self._path = folder / FILE_NAME
        self._settings = settings
        self._clock = clock
        self._database: apsw.Connection | None = None
        self._until_prune = 0

    def keep(self, rejections: Sequence[KeptRejection]) -> bool:
        """See `RejectionStore.keep`. After a failure the file is opened anew before it is used again."""
        try:
            database = self._open()
            with database:
                database.executemany(_SQL["keep"], map(self._row, rejections))
                self._prune(database, len(rejections))
        except (apsw.Error, OSError) as problem:
            logger().error("collector.rejections.failed", problem=str(problem), lost=len(rejections))
            self.close()
            return False
        return True

    def close(self) -> None:
        """Closes the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> apsw.Connection:
        if self._database is None:
            database = apsw.Connection(str(self._path))
            database.set_busy_timeout(_BUSY_MS)
            database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
            database.execute(_SQL["schema"])
            self._database = database
        return self._database

    def _prune(self, database: apsw.Connection, added: int) -> None:
        self._until_prune -= added
        if self._until_prune <= 0:
            oldest = self._clock.now_ms() - self._settings.rejections_age_s * 1000
            database.execute(_SQL["prune"], (self._settings.rejections_max, oldest))
            self._until_prune = _PRUNE_EVERY

    def _row(self, kept: KeptRejection) -> tuple[int | str | bytes | None, ...]:
        raw = kept.raw[: self._settings.rejection_bytes_max]
        return (kept.at, kept.source, kept.reason, kept.field, kept.message, kept.item, kept.path, raw, kept.raw_bytes)


def newest_rejections(
    folder: Path, limit: int, *, source: str | None = None, before: int | None = None
) -> list[KeptRejection]:
    """The newest rejections of a partition's folder, newest first, below the id `before`; empty where none was kept."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        database.set_busy_timeout(_BUSY_MS)
        return [KeptRejection(*row) for row in database.execute(_SQL["newest"], (source, before, limit))]
    finally:
        database.close()
