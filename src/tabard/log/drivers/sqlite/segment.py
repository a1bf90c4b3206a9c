"""One segment file of a partition: its name, how it is made, and how an append lies in it.

A segment is an SQLite file named by its first offset. Each row is one append (a *chunk*): the values as one MessagePack
array with a checksum, so that a group commit of many messages costs one row. Chunks of a segment leave no gaps, and a
segment ends where the next one begins.
"""

import contextlib
import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tabard.log.disk import disk, is_read_only
from tabard.log.interface import LogFormatUnknown, LogUnavailable
from tabard.log.log_id import sync_folder
from tabard.log.statements import statements

FORMAT: Final = 1
"""Written as `user_version` into every segment."""

SQL: Final = statements(Path(__file__).with_name("segment.sql"))

_SQLITE_LEAST: Final = (3, 51, 3)
_BUSY_MS: Final = 1000
_SUFFIX: Final = ".segment"
_DRAFT: Final = "draft"
_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class Description(msgspec.Struct, frozen=True):
    """What a segment says of itself; a file put under another name or partition is found by it."""

    log_id: str
    partition: int
    first_offset: int
    created_ms: int


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """One append as read back, its checksum found right."""

    first_offset: int
    values: list[bytes]
    bytes: int

    @property
    def end(self) -> int:
        return self.first_offset + len(self.values)


def row_of(first_offset: int, values: Sequence[bytes]) -> tuple[int, int, int, bytes]:
    """The values as one row of the table `chunk`: first offset, count, checksum, body."""
    body = _pack(values)
    return first_offset, len(values), zlib.crc32(body), body


def chunk_of(first_offset: int, count: int, crc: int, body: bytes) -> Chunk:
    """The chunk a row holds. Raises `LogUnavailable("log_corrupt")` when the bytes are not what was written."""
    if zlib.crc32(body) == crc:
        values = _unpack(body)
        if len(values) == count:
            return Chunk(first_offset, values, len(body))
    raise LogUnavailable("log_corrupt", f"the append at offset {first_offset} fails its checksum")


def path_of(folder: Path, first_offset: int) -> Path:
    """Where the segment that begins at an offset lies."""
    return folder / f"{first_offset:020d}{_SUFFIX}"


def exists(folder: str, first_offset: int) -> bool:
    """Whether a segment begins at this offset; cheap, because the reader asks at every idle poll."""
    return os.access(f"{folder}/{first_offset:020d}{_SUFFIX}", os.F_OK)


def firsts(folder: Path) -> list[int]:
    """The first offsets of the segments of a partition, ascending."""
    return sorted(int(name[: -len(_SUFFIX)]) for name in os.listdir(folder) if name.endswith(_SUFFIX))  # noqa: PTH208


def remove(path: Path) -> None:
    """Removes a segment, its write-ahead log first so that none is ever left for a later file of that name."""
    for companion in reversed(_COMPANIONS):
        path.with_name(path.name + companion).unlink(missing_ok=True)


def partitions(root: Path) -> list[int]:
    """The partitions of the log at `root`, ascending."""
    return sorted(int(entry.name) for entry in root.iterdir() if entry.name.isdecimal())


def described(connection: apsw.Connection, path: Path) -> Description:
    """What an open segment says of itself. Raises `LogUnavailable("log_corrupt")` when it says nothing."""
    row = connection.execute(SQL["description"]).get
    if row is None:
        raise LogUnavailable("log_corrupt", f"{path} does not say what it is")
    return Description(*row)


def size(path: Path) -> int:
    """The bytes a segment takes on disk with its companions; 0 when it is gone."""
    return sum(_size(path.with_name(path.name + companion)) for companion in _COMPANIONS)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def create(folder: Path, description: Description, vfs: str = "") -> None:
    """Makes an empty segment that appears whole under its name, or not at all."""
    draft = folder / _DRAFT
    target = path_of(folder, description.first_offset)
    remove(draft)
    connection = apsw.Connection(str(draft), vfs=vfs or None)
    try:
        connection.execute(SQL["create"]).fetchall()
        connection.execute(SQL["describe"], msgspec.structs.astuple(description))
        connection.execute(f"PRAGMA user_version = {FORMAT}; COMMIT").fetchall()
    finally:
        connection.close()
    remove(target)  # one that stands here never held an append that succeeded
    draft.rename(target)
    sync_folder(folder)


def open_to_write(path: Path, vfs: str = "") -> apsw.Connection:
    """A connection that makes each statement durable before it returns."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs or None)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute(SQL["open_writer"]).fetchall()
        _require_format(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path, *, closed: bool) -> apsw.Connection:
    """A read-only connection. `closed` says that no writer will touch the file again.

    Then, with nothing left in its write-ahead log, it is read without locks and leaves no files behind.
    """
    immutable = "?immutable=1" if closed and not _size(path.with_name(path.name + "-wal")) else ""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(path.absolute().as_uri() + immutable, flags=flags)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        _require_format(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_format(connection: apsw.Connection, path: Path) -> None:
    version = connection.pragma("user_version")
    if version != FORMAT:
        raise LogFormatUnknown(f"{path} has format {version}, this release of Tabard reads format {FORMAT}")


def require_sqlite() -> None:
    """Raises RuntimeError when SQLite is too old to share a write-ahead log between processes (design.md §2.10)."""
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < _SQLITE_LEAST:
        wanted = ".".join(map(str, _SQLITE_LEAST))
        raise RuntimeError(f"SQLite {apsw.sqlite_lib_version()} is too old: {wanted} or newer is needed, update apsw")


@contextlib.contextmanager
def named_refusals(folder: Path) -> Iterator[None]:
    """Turns what SQLite and the system raise into `LogUnavailable` with the name of the cause."""
    try:
        yield
    except (apsw.Error, OSError) as problem:
        code = _code(problem, folder)
        raise LogUnavailable(code, f"{_SAYS[code]} ({folder}): {problem}") from problem


_SAYS: Final = {
    "disk_full": "the disk of the log is full, free some space",
    "disk_read_only": "the disk of the log is read-only, remount it writable",
    "log_locked": "another process holds the log file, end what has it open",
    "log_corrupt": "the log file is damaged, run `tabard doctor`",
    "log_failed": "the log could not be read or written",
}
_CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (apsw.FullError, "disk_full"),
    (apsw.ReadOnlyError, "disk_read_only"),
    (apsw.BusyError, "log_locked"),
    (apsw.LockedError, "log_locked"),
    (apsw.CorruptError, "log_corrupt"),
    (apsw.NotADBError, "log_corrupt"),
)
_ERRNOS: Final = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "disk_read_only",
    errno.EACCES: "disk_read_only",
    errno.EPERM: "disk_read_only",
}


def _code(problem: apsw.Error | OSError, folder: Path) -> str:
    for kind, code in _CODES:
        if isinstance(problem, kind):
            return code
    if isinstance(problem, OSError) and problem.errno in _ERRNOS:
        return _ERRNOS[problem.errno]
    # SQLite reports many causes as one I/O error; the file system knows which it was.
    with contextlib.suppress(OSError):
        if is_read_only(folder):
            return "disk_read_only"
        if not disk(folder).free_bytes:
            return "disk_full"
    return "log_failed"
