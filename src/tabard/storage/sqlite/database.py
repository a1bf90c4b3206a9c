"""Opening an SQLite file of ours: the version of the library, named statements, numbered migrations.

Statements stand in `queries/<file>.sql`, each below a line `-- name: <word>`; migrations in
`migrations/<database>/<number>_<word>.sql`. `user_version` of a file is the number of its newest migration; its table
`migration` holds the hash of each, so that one that was edited afterwards is noticed before it does harm.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from tabard.log.log_id import sync_folder

SQLITE_VERSION_MIN: Final = (3, 51, 3)
"""Older libraries have a WAL bug with several processes (design.md §2.10)."""

BUSY_MS: Final = 5000
_MOMENT_MS: Final = 50
_HERE: Final = Path(__file__).parent
_NAME: Final = "-- name:"


class DatabaseTooNew(Exception):
    """The file was written by a later release; nothing was touched."""


class MigrationChanged(Exception):
    """The file was made by another text of a migration than this release has; nothing was touched."""


class DatabaseCorrupt(apsw.CorruptError):
    """The file is no database, or a damaged one; the text names it and the fix."""


class DatabaseMissing(Exception):
    """There is no such file, and a reader does not make one."""


def connect(path: Path, *, read_only: bool = False, busy_ms: int = BUSY_MS) -> apsw.Connection:
    """An open connection with WAL and foreign keys; a writer creates the file (0600), a reader never does.

    What a writer deletes is overwritten with zeros, in the file once `empty_wal` has succeeded.

    Raises `DatabaseMissing` for a reader without a file, `DatabaseCorrupt` where the file cannot be read as a database,
    and RuntimeError for an SQLite library that is too old.
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
    try:
        # Reads the schema: what is no database shows here, where its name is known.
        run_all(database, "PRAGMA schema_version; SELECT 1 FROM sqlite_schema LIMIT 1")
        if not read_only:
            run_all(
                database,
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                "PRAGMA secure_delete = ON",
            )
    except (apsw.NotADBError, apsw.CorruptError) as problem:
        database.close()
        raise DatabaseCorrupt(f"{path} is damaged ({problem}); restore a backup (`tabard restore`)") from problem
    if is_new:
        # The change to WAL went through a rollback journal: coming back after a power cut, it would undo the database.
        sync_folder(path.parent)
    return database


def run_all(database: apsw.Connection, statements: str) -> None:
    """Runs every one of these statements: `execute` alone stops at the first that answers with a row."""
    database.execute(statements).fetchall()


def empty_wal(database: apsw.Connection) -> bool:
    """Moves all of the WAL into the file and cuts it to no bytes: what was deleted before is in neither any more.

    False where a reader is in the way just now, or another writer: it is not waited for.
    """
    # The length of a wait is the connection's; no more than a moment, since the caller has other work.
    database.set_busy_timeout(_MOMENT_MS)
    try:
        (is_busy, _, _), *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return not is_busy
    finally:
        database.set_busy_timeout(BUSY_MS)


def connect_reader(path: Path, name: str) -> apsw.Connection:
    """A reader's connection to a file of the database `name`.

    Raises `DatabaseMissing` also for a file whose tables are still those of an earlier release.
    """
    database = connect(path, read_only=True)
    if 0 < _version(database) < _newest(name):
        database.close()
        raise DatabaseMissing(f"{path} is of an earlier release; `tabard serve` brings it up to date")
    return database


def is_made(path: Path) -> bool:
    """Whether a writer has made the file, with its tables."""
    return _version_of(path) > 0


def is_current(path: Path, name: str) -> bool:
    """Whether a writer of this release has made the file of the database `name`, or brought it up to date."""
    return _version_of(path) >= _newest(name)


def _version_of(path: Path) -> int:
    if not path.exists():
        return 0
    database = connect(path, read_only=True)
    try:
        return _version(database)
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


class _Step(NamedTuple):
    number: int
    file: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


_SQL: Final = statements("migration")


def migrate(database: apsw.Connection, name: str) -> None:
    """Brings the file to the newest migration of `migrations/<name>`; a file with data is copied first.

    The copy is `<file>.before-<version>`. Raises, having written nothing, what `check_migrations` raises.
    """
    check_migrations(database, name)
    steps = _steps(name)
    version = _version(database)
    if 0 < version < steps[-1].number:
        _copy(database, Path(f"{database.filename}.before-{steps[-1].number}"))
    for step in steps[version:]:
        with immediate(database):
            # Another process may have migrated while this one waited for the lock.
            if _version(database) < step.number:
                run_all(database, step.text)
                database.execute(_SQL["table"])
                database.execute(_SQL["record"], (step.number, step.file, step.sha256))
                database.execute(f"PRAGMA user_version = {step.number}")


def check_migrations(database: apsw.Connection, name: str) -> None:
    """Reads whether this release can work on the file.

    Raises `DatabaseTooNew` where it is ahead of this release and `MigrationChanged` where a migration that it was made
    with is not the one of this release.
    """
    steps = _steps(name)
    version = _version(database)
    if version > steps[-1].number:
        raise DatabaseTooNew(
            f"{database.filename} has version {version}, this release knows {steps[-1].number}; install a newer Tabard"
        )
    has_records = database.execute(_SQL["is_recorded"]).get
    recorded = dict(database.execute(_SQL["recorded"])) if has_records else {}
    for step in steps[:version]:
        if recorded.get(step.number) != step.sha256:
            raise MigrationChanged(
                f"{database.filename} was made with another text of migrations/{name}/{step.file} than this Tabard "
                "has; run the version that made it, or start on a new data folder"
            )


def _newest(name: str) -> int:
    return _steps(name)[-1].number


def _steps(name: str) -> list[_Step]:
    """The migrations of a database, numbered from 1 without a gap."""
    files = sorted((_HERE / "migrations" / name).glob("*.sql"))
    return [_Step(int(file.name.partition("_")[0]), file.name, file.read_text("utf-8")) for file in files]


def _copy(database: apsw.Connection, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        database.execute("VACUUM INTO ?", (str(copy),))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(copy.parent)


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
