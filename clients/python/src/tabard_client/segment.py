"""One spool file: records appended by one process, held under that process's lock, deleted when all is sent.

The file begins with a line that names the format and the position up to which the server has everything;
each record is a line `crc32 message`. Whoever holds the `flock` owns the file: the kernel drops the lock
when the owner dies, however it dies, and the next process takes the file over.
"""

import fcntl
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from zlib import crc32

SUFFIX = ".spool"
_HEADER = b"tabard-spool-1 %020d\n"
HEADER_BYTES = len(_HEADER % 0)
_CHECKSUM_BYTES = 9  # eight hex digits and a space
_CREATE_TRIES = 10


class ShortWriteError(OSError):
    """The disk took only a part of a record; the part is written over by the next record."""


def record(message: bytes) -> bytes:
    """The line that holds `message`, which has no newline in it."""
    return b"%08x %b\n" % (crc32(message), message)


@dataclass(frozen=True, slots=True)
class Cut:
    """Records cut from the front of a chunk: sound messages, corrupt lines, and the bytes both take."""

    messages: list[bytes] = field(default_factory=list)
    corrupt: list[bytes] = field(default_factory=list)
    consumed_bytes: int = 0


def cut(chunk: bytes, *, messages_max: int, bytes_max: int, is_end: bool) -> Cut:
    """As many messages from the front of `chunk` as a batch holds. Pure.

    A tail without newline at the end of a file, or a chunk without any newline, is what a crash or a bad
    disk left: it counts as one corrupt record, so that it never blocks what follows.
    """
    messages: list[bytes] = []
    corrupt: list[bytes] = []
    start = batch_bytes = 0
    while start < len(chunk) and len(messages) < messages_max:
        end = chunk.find(b"\n", start)
        if end < 0:
            if is_end or start == 0:
                corrupt.append(chunk[start:])
                start = len(chunk)
            break
        message = chunk[start + _CHECKSUM_BYTES : end]
        if chunk[start : start + _CHECKSUM_BYTES] != b"%08x " % crc32(message):
            corrupt.append(chunk[start:end])
        elif messages and batch_bytes + len(message) > bytes_max:
            break
        else:
            messages.append(message)
            batch_bytes += len(message) + 1
        start = end + 1
    return Cut(messages, corrupt, start)


class Segment:
    """An open, locked spool file. Not safe from several threads: the spool holds its lock around it."""

    __slots__ = ("fd", "path", "sent_bytes", "size_bytes", "sync_failed", "waiting")

    def __init__(self, path: Path, fd: int, sent_bytes: int, size_bytes: int) -> None:
        self.path = path
        self.fd = fd
        self.sent_bytes = sent_bytes
        self.size_bytes = size_bytes
        self.sync_failed = False  # then the kernel may have thrown pages away: nothing more is appended
        self.waiting = 0

    @classmethod
    def create(cls, directory: Path) -> Self:
        """A new empty file of this process, locked. Raises OSError."""
        for _ in range(_CREATE_TRIES):
            path = directory / f"{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if _lock(fd, path):
                segment = cls(path, fd, HEADER_BYTES, HEADER_BYTES)
                try:
                    os.pwrite(fd, _HEADER % HEADER_BYTES, 0)
                except OSError:
                    segment.close()
                    raise
                return segment
            # Another process looked for orphans just between open and lock, and took this one for its own.
            os.close(fd)
        raise OSError(f"no spool file could be locked in {directory}")

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """The file of a process that is gone, locked; None when its owner lives, or it cannot be opened."""
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError:  # gone, or another user's
            return None
        if not _lock(fd, path):
            os.close(fd)
            return None
        size_bytes = os.fstat(fd).st_size
        segment = cls(path, fd, _sent_bytes(os.pread(fd, HEADER_BYTES, 0), size_bytes), size_bytes)
        segment.waiting = segment.read(size_bytes).count(b"\n")
        return segment

    def append(self, line: bytes, *, durable: bool) -> None:
        """`line` at the end, in one write. Raises OSError, and then the file is as before.

        The room is taken before the write: a signal handler that calls the client in between appends
        behind it, not over it.
        """
        line_bytes = len(line)  # a signal is handled at a call, so none stands between the next two lines
        start = self.size_bytes
        self.size_bytes = start + line_bytes
        try:
            if os.pwrite(self.fd, line, start) != line_bytes:
                raise ShortWriteError(f"short write to {self.path}")
            if durable:
                self._sync()
        except OSError:
            if self.size_bytes == start + line_bytes:
                self.size_bytes = start
            raise
        self.waiting += 1

    def _sync(self) -> None:
        try:
            os.fdatasync(self.fd)
        except OSError:
            self.sync_failed = True
            raise

    def read(self, bytes_max: int) -> bytes:
        """Up to `bytes_max` of what is not sent yet."""
        return os.pread(self.fd, min(bytes_max, self.size_bytes - self.sent_bytes), self.sent_bytes)

    def acknowledge(self, end_bytes: int, records: int) -> None:
        """Everything before `end_bytes` is with the server (or set aside); a later owner starts there."""
        self.sent_bytes = end_bytes
        self.waiting = 0 if self.drained else max(0, self.waiting - records)
        # Not kept, the position costs a later owner a second sending of the same messageIds, and nothing else.
        with suppress(OSError):
            os.pwrite(self.fd, _HEADER % end_bytes, 0)

    @property
    def drained(self) -> bool:
        """Whether nothing is left to send."""
        return self.sent_bytes >= self.size_bytes

    @property
    def deleted(self) -> bool:
        """Whether somebody removed the file under us."""
        return os.fstat(self.fd).st_nlink == 0

    def takes(self, line_bytes: int, bytes_max: int) -> bool:
        """Whether a line is to be appended here: it fits, or is the only one; and the disk has kept all before it."""
        return not self.sync_failed and (self.drained or self.size_bytes + line_bytes <= bytes_max)

    def reset(self) -> bool:
        """Empty a drained file; whether that worked.

        The position goes first: a crash in between sends again, never skips.
        """
        try:
            os.pwrite(self.fd, _HEADER % HEADER_BYTES, 0)
            os.ftruncate(self.fd, HEADER_BYTES)
        except OSError:
            return False
        self.sent_bytes = self.size_bytes = HEADER_BYTES
        return True

    def close(self) -> None:
        """Let go: a drained file is deleted, another is left for the next process."""
        if self.drained:
            with suppress(OSError):
                self.path.unlink()
        os.close(self.fd)

    def forget(self) -> None:
        """Close a forked child's copy. The lock belongs to the open file, so the parent keeps it."""
        with suppress(OSError):  # the fork may have come in the midst of `close`
            os.close(self.fd)


def _lock(fd: int, path: Path) -> bool:
    """Whether `fd` is now ours and still is the file at `path` (an earlier owner may have deleted it)."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _sent_bytes(header: bytes, size_bytes: int) -> int:
    """The position a header names; the start of the records when it is damaged, as a resend is harmless."""
    digits = header[-21:-1]
    if len(header) == HEADER_BYTES and digits.isdigit() and header == _HEADER % int(digits):
        return min(max(int(digits), HEADER_BYTES), max(size_bytes, HEADER_BYTES))
    return min(HEADER_BYTES, size_bytes)
