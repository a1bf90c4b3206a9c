"""Opening an SQLite file of ours: the version of the library, named statements, numbered migrations.

Statements stand in `queries/<file>.sql`, each below a line `-- name: <word>`; migrations in
`migrations/<database>/<number>_<word>.sql`. `user_version` of a file is the number of its newest migration.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from tabard.log.log_id import sync_folder

SQLITE_VERSION_MIN: Final = (3, 51, 3)
"""Older libraries have a WAL bug with several processes (design.md §2.10)."""

_HERE: Final = Path(__file__).parent
_NAME: Final = "-- name:"


class DatabaseTooNew(Exception):
    """The file was written by a later release; nothing was touched."""


class DatabaseMissing(Exception):
    """There is no such file, and a reader does not make one."""


def connect(path: Path, *, read_only: bool = False, busy_ms: int = 5000) -> apsw.Connection:
    """An open connection with WAL and foreign keys; a writer creates the file (0600), a reader never does.

    Raises `DatabaseMissing` for a reader without a file and RuntimeError for an SQLite library that is too old.
    """
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < SQLITE_VERSION_MIN:
        raise RuntimeError(f"SQLite {apsw.sqlite_lib_version()} is too old; install the locked apsw (make setup)")
    if read_only and not path.exists():
        raise DatabaseMissing(f"{path} does not exist; `tabard serve` makes it, or give --data the right folder")
    is_new = not path.exists()
    if is_new:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    database = apsw.Connection(str(path), flags=flags)
    database.set_busy_timeout(busy_ms)
    if not read_only:
        run_all(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    if is_new:
        # The change to WAL went through a rollback journal: coming back after a power cut, it would undo the database.
        sync_folder(path.parent)
    return database


def run_all(database: apsw.Connection, statements: str) -> None:
    """Runs every one of these statements: `execute` alone stops at the first that answers with a row."""
    database.execute(statements).fetchall()


def is_made(path: Path) -> bool:
    """Whether a writer has made the file, with its tables."""
    if not path.exists():
        return False
    database = connect(path, read_only=True)
    try:
        return _version(database) > 0
    finally:
        database.close()


def statements(name: str) -> dict[str, str]:
    """The named statements of `queries/<name>.sql`."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (_HERE / "queries" / f"{name}.sql").read_text("utf-8").splitlines():
        if line.startswith(_NAME):
            lines = found.setdefault(line.removeprefix(_NAME).strip(), [])
        else:
            lines.append(line)
    return {key: "\n".join(text).strip() for key, text in found.items()}


def migrate(database: apsw.Connection, name: str) -> None:
    """Brings the file to the newest migration of `migrations/<name>`; a file with data is copied first.

    The copy is `<file>.before-<version>`. Raises `DatabaseTooNew` where the file is ahead of this release.
    """
    steps = sorted((int(path.name.split("_")[0]), path) for path in (_HERE / "migrations" / name).glob("*.sql"))
    newest = steps[-1][0]
    version = _version(database)
    if version > newest:
        raise DatabaseTooNew(
            f"{database.filename} has version {version}, this release knows {newest}; install a newer Tabard"
        )
    if 0 < version < newest:
        copy = Path(f"{database.filename}.before-{newest}")
        copy.unlink(missing_ok=True)
        database.execute("VACUUM INTO ?", (str(copy),))
    for number, path in steps:
        if number <= version:
            continue
        with immediate(database):
            # Another process may have migrated while this one waited for the lock.
            if _version(database) < number:
                run_all(database, path.read_text("utf-8"))
                database.execute(f"PRAGMA user_version = {number}")


@contextlib.contextmanager
def immediate(database: apsw.Connection) -> Iterator[None]:
    """One write transaction that takes its lock at once, so that it cannot fail half-way for another writer."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # A full disk, say, has rolled back by itself.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _version(database: apsw.Connection) -> int:
    return int(database.execute("PRAGMA user_version").get)
