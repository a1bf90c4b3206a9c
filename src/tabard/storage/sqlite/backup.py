"""Copies of SQLite files that are being written, each as of one moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from tabard.storage.sqlite.database import connect

_PAGES: Final = 4096
_BUSY_MS: Final = 30_000


class BackupDamaged(Exception):
    """A file of a backup is not what its manifest says, or no sound database; the text names it."""


def copy_database(source: Path, target: Path, progress: Callable[[int], None]) -> None:
    """Copies a database as it is at the first page; `progress` gets the bytes copied since its last call.

    One read transaction holds that moment for the whole copy: the source's write-ahead log grows meanwhile.
    """
    reading = connect(source, read_only=True, busy_ms=_BUSY_MS)
    writing = apsw.Connection(str(target))
    try:
        reading.execute("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")
        page_bytes = int(reading.execute("PRAGMA page_size").get)
        with writing.backup("main", reading, "main") as copy:
            left = None
            while not copy.done:
                copy.step(_PAGES)
                done = copy.page_count - copy.remaining if left is None else left - copy.remaining
                left = copy.remaining
                progress(done * page_bytes)
        reading.execute("ROLLBACK")
    finally:
        writing.close()
        reading.close()


def check_database(path: Path) -> None:
    """Reads a whole copy for structural damage. Raises `BackupDamaged`."""
    # Immutable: a look at a copy leaves no files beside it.
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    database = apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=flags)
    try:
        found = [str(row[0]) for row in database.execute("PRAGMA quick_check(3)")]
    except apsw.Error as problem:
        raise BackupDamaged(f"{path}: {problem}") from problem
    finally:
        database.close()
    if found != ["ok"]:
        raise BackupDamaged(f"{path}: {'; '.join(found)}")
