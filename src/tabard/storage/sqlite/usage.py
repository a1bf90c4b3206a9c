"""The books of the store, for `status` and `usage`."""

from pathlib import Path
from typing import Final

from tabard.storage.interface import Count
from tabard.storage.sqlite.database import connect, statements
from tabard.storage.sqlite.store_books import month_bit

_SQL: Final = statements("usage")


class SqliteUsageReader:
    """Counts of an existing store."""

    def __init__(self, path: Path) -> None:
        """Raises `DatabaseMissing` before the first resolver ran."""
        self._db = connect(path, read_only=True)

    def counts(self) -> list[Count]:
        """Everything that was counted, by name, source and key; names are those of `store_books`."""
        return [Count(name, source, key, n, sample) for name, source, key, n, sample in self._db.execute(_SQL["tally"])]

    def people(self, year: int, month: int) -> int:
        """The distinct profiles with a message received in that month. Looks at every identifier."""
        return int(self._db.execute(_SQL["people"], (month_bit(year, month),)).get)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()
