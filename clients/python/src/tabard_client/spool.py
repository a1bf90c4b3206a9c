"""Where accepted messages wait for the server's 200: on disk, or (can lose) in memory. Same four verbs."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Protocol

from tabard_client.limits import (
    ADOPTED_SEGMENTS_MAX,
    MESSAGE_BYTES_MAX,
    SEGMENT_BYTES_MAX,
)
from tabard_client.options import NAME_CHARS
from tabard_client.segment import HEADER_BYTES, SUFFIX, Segment, ShortWriteError, cut, record

log = logging.getLogger("tabard_client")

SET_ASIDE = "set-aside.txt"
LEFT_BEHIND_S = 3600.0
_SEGMENTS_MIN = 8


class SpoolFullError(Exception):
    """The spool is at its bound; the newest message is the one that does not get in."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages to send next, and what to settle once they are decided."""

    messages: list[bytes]
    corrupt: list[bytes] = field(default_factory=list)
    segment: Segment | None = None
    end_bytes: int = 0


class Spool(Protocol):
    """`append` from any thread; `take` and `settle` from one thread at a time."""

    @property
    def waiting(self) -> int:
        """Messages not yet decided."""

    def append(self, message: bytes) -> None:
        """Keep one message. Raises SpoolFullError or OSError."""

    def take(self, messages_max: int, bytes_max: int) -> Batch | None:
        """The next batch, the same until it is settled; None when nothing waits."""

    def settle(self, batch: Batch) -> None:
        """The batch is decided: delivered, refused or set aside."""

    def may_have_orphans(self) -> bool:
        """Whether there is anything `adopt` might take over."""

    def adopt(self) -> None:
        """Take over what dead processes left."""

    def set_aside(self, reason: str, records: Iterable[bytes]) -> int:
        """Keep, within bounds, what will not be sent, for a person to look at; how many records are not kept.

        Raises OSError, and then none is.
        """

    def close(self) -> None:
        """Let go of everything; what waits on disk is the next process's. `append` opens anew."""

    def forget(self) -> None:
        """Drop a forked child's view of its parent's spool: the parent sends it."""


class FileSpool:
    """Segment files in one directory, appended by this process and, once it is dead, sent by another.

    The directory belongs to one server and write key; processes share it. It is the first of `directories` that is
    this user's own or can be made so: asked now, and anew when the process has become another user. Raises OSError
    when there is none.
    """

    def __init__(self, *directories: Callable[[], Path], bytes_max: int, durable: bool) -> None:
        self._directories = directories
        self._bytes_max = bytes_max
        # Room comes back by whole files: a small spool is cut into small ones.
        self._segment_bytes_max = min(SEGMENT_BYTES_MAX, bytes_max // _SEGMENTS_MIN)
        self._durable = durable
        self._directory = self._find_directory()
        self._reset()

    def _find_directory(self) -> Path:
        failure: Exception = FileNotFoundError("no folder for the spool")
        for directory in self._directories:
            try:
                return _owned(directory())
            except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
                log.warning("cannot spool there: %s", error)
                failure = error
        raise failure if isinstance(failure, OSError) else OSError(str(failure))

    def left_behind(self) -> list[Path]:
        """The folders of other hosts and keys beside this one in which messages have waited for an hour."""
        before = time.time() - LEFT_BEHIND_S
        found = set()
        for path in self._directory.parent.glob(f"{'[0-9a-f]' * NAME_CHARS}/*{SUFFIX}"):
            with suppress(OSError):
                state = path.stat()
                if path.parent != self._directory and state.st_size > HEADER_BYTES and state.st_mtime < before:
                    found.add(path.parent)
        return sorted(found)

    def _reset(self) -> None:
        # Reentrant: a signal handler or a finaliser may call the client while this very lock is held.
        self._lock = threading.RLock()
        self._adopted: deque[Segment] = deque()
        self._own: deque[Segment] = deque()  # the last one is appended to
        self._other_bytes = 0  # of all segments but that last one

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(segment.waiting for segment in self._segments())

    def append(self, message: bytes) -> None:
        line = record(message)
        with self._lock:
            self._writable(len(line)).append(line, durable=self._durable)

    def _writable(self, line_bytes: int) -> Segment:
        if not self._own or not self._own[-1].takes(line_bytes, self._segment_bytes_max):
            self._begin_segment()
        active = self._own[-1]
        if self._other_bytes + active.size_bytes + line_bytes > self._bytes_max:
            raise SpoolFullError(f"{self._bytes_max} bytes are spooled")
        return active

    def _begin_segment(self) -> None:
        if self._own and self._own[-1].drained:
            self._own.pop().close()
        self._own.append(self._create())
        self._recount()

    def _create(self) -> Segment:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            segment = Segment.create(self._directory)
        except PermissionError:  # since the client was made, the process has given up its rights (setuid)
            self._directory = self._find_directory()
            segment = Segment.create(self._directory)
        if self._durable:
            _sync_directory(self._directory)
        return segment

    def _segments(self) -> list[Segment]:
        return [*self._adopted, *self._own]

    def _recount(self) -> None:
        self._other_bytes = sum(segment.size_bytes for segment in self._segments()[:-1])

    def take(self, messages_max: int, bytes_max: int) -> Batch | None:
        with self._lock:
            segment = next((one for one in self._segments() if not one.drained), None)
            if segment is None:
                return None
            chunk = segment.read(bytes_max + 2 * MESSAGE_BYTES_MAX)
            is_end = segment.sent_bytes + len(chunk) >= segment.size_bytes
        found = cut(chunk, messages_max=messages_max, bytes_max=bytes_max, is_end=is_end)
        return Batch(found.messages, found.corrupt, segment, segment.sent_bytes + found.consumed_bytes)

    def settle(self, batch: Batch) -> None:
        segment = batch.segment
        if segment is None:
            return
        with self._lock:
            segment.acknowledge(batch.end_bytes, len(batch.messages) + len(batch.corrupt))
            if not segment.drained:
                return
            # At once, so that what the server has takes no room, neither of the bound nor of a full disk.
            if self._own and segment is self._own[-1] and segment.reset():
                return
            (self._adopted if segment in self._adopted else self._own).remove(segment)
            segment.close()
            self._recount()

    def may_have_orphans(self) -> bool:
        return any(self._directory.glob(f"*{SUFFIX}"))

    def adopt(self) -> None:
        with self._lock:
            if self._own and self._own[-1].deleted:
                # Somebody tidied up the folder. What is in the file can still be sent, but would not survive us.
                self._begin_segment()
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if len(self._adopted) >= ADOPTED_SEGMENTS_MAX:
                return
            # Our own files are locked too, by another descriptor, and so are not taken twice.
            segment = Segment.adopt(path)
            if segment is None:
                continue
            if segment.drained:
                segment.close()
                continue
            with self._lock:
                self._adopted.append(segment)
                self._recount()

    def set_aside(self, reason: str, records: Iterable[bytes]) -> int:
        lines = [b"%b %b\n" % (reason.encode(), line) for line in records]
        fd = os.open(self._directory / SET_ASIDE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # As large as the spool, so that a refusal of everything in it (a key that was revoked) is kept.
            room_bytes = self._bytes_max - os.fstat(fd).st_size
            ends = accumulate(len(line) for line in lines)
            kept = sum(end <= room_bytes for end in ends)
            text = b"".join(lines[:kept])
            if os.write(fd, text) != len(text):
                raise ShortWriteError(f"short write to {SET_ASIDE}")
        finally:
            os.close(fd)
        return len(lines) - kept

    def close(self) -> None:
        with self._lock:
            for segment in self._segments():
                segment.close()
            self._adopted.clear()
            self._own.clear()
            self._other_bytes = 0

    def forget(self) -> None:
        for segment in self._segments():
            segment.forget()
        self._reset()


class MemorySpool:
    """A bounded queue in memory. It can lose: whatever waits is gone when the process is."""

    def __init__(self, messages_max: int) -> None:
        self._messages_max = messages_max
        self.forget()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def append(self, message: bytes) -> None:
        with self._lock:
            if len(self._queue) >= self._messages_max:
                raise SpoolFullError(f"{self._messages_max} messages are queued")
            self._queue.append(message)

    def take(self, messages_max: int, bytes_max: int) -> Batch | None:
        messages: list[bytes] = []
        batch_bytes = 0
        with self._lock:
            for message in islice(self._queue, messages_max):
                batch_bytes += len(message) + 1
                if messages and batch_bytes > bytes_max:
                    break
                messages.append(message)
        return Batch(messages) if messages else None

    def settle(self, batch: Batch) -> None:
        with self._lock:
            for _ in batch.messages:
                self._queue.popleft()

    def may_have_orphans(self) -> bool:
        return False

    def adopt(self) -> None:
        """Nothing outlives a process here."""

    def set_aside(self, reason: str, records: Iterable[bytes]) -> int:  # noqa: ARG002 - as the protocol has it
        """Nothing is kept here; `on_error` is told."""
        return len(list(records))

    def close(self) -> None:
        """Keep the queue: a later `append` or `flush` goes on with it."""

    def forget(self) -> None:
        self._lock = threading.RLock()
        self._queue: deque[bytes] = deque()


def _owned(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.geteuid():
        raise PermissionError(f"{directory} belongs to another user")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(f"{directory} is not writable")
    return directory


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
