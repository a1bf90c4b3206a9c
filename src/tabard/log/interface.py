"""What every log driver promises. One conformance suite (tests/conformance/log) holds it; drivers live in `drivers/`.

A partition has one writer. A position is (log id, partition, offset); offsets of a partition start at 0 and have no
gaps.
A log that is recreated or re-partitioned gets a new log id.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One record as read back: where it stands and its bytes (see `log.codec`)."""

    partition: int
    offset: int
    value: bytes


class LogUnavailable(Exception):
    """The log cannot commit now; nothing of the append was acknowledged. `code` names the cause, `retry_after_s`
    when to try.

    Codes: `disk_full`, `disk_read_only`, `disk_floor`, `log_locked`, `log_corrupt`, `log_failed`.
    """

    def __init__(self, code: str, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


class LogFormatUnknown(Exception):
    """The log was written by a newer release; waiting does not help, starting that release does."""


class LogWriter(Protocol):
    """The one writer of a partition. Calls come from one thread at a time; they block until the disk (or broker)
    has it.
    """

    @property
    def log_id(self) -> str: ...

    @property
    def partition(self) -> int: ...

    def append(self, values: Sequence[bytes]) -> int:
        """The offset of the first value, returned only when all of them are durable; all or none are kept.

        Raises `LogUnavailable`. After a failed sync the driver closes, recovers and reopens before it appends again.
        """
        ...

    def check(self) -> None:
        """Makes a commit now, or raises `LogUnavailable`: the question `/ready` asks."""
        ...

    def close(self) -> None: ...


class LogReader(Protocol):
    """Any number of readers, in any process. Calls are short and blocking; no transaction outlives a call."""

    @property
    def log_id(self) -> str: ...

    def partitions(self) -> list[int]:
        """The partitions there are now, ascending."""
        ...

    def start(self, partition: int) -> int:
        """The lowest offset still kept (greater than 0 once retention has cut the head)."""
        ...

    def end(self, partition: int) -> int:
        """The offset the next append will get."""
        ...

    def read(self, partition: int, offset: int, limit: int) -> list[LogEntry]:
        """At most `limit` entries from `offset` on, in order; empty at the end only.

        Raises `OffsetGone` below `start`, and `LogUnavailable` where the very next entry cannot be read.
        """
        ...

    def close(self) -> None: ...


class OffsetGone(Exception):
    """The offset asked for lies below the kept range; `start` is the lowest that is left."""

    def __init__(self, partition: int, offset: int, start: int) -> None:
        super().__init__(f"offset {offset} of partition {partition} is gone, the log starts at {start}")
        self.start = start


class Progress(Protocol):
    """How far each consumer of a partition is, for retention: the log keeps what the slowest has not consumed."""

    def mark(self, consumer: str, partition: int, offset: int) -> None:
        """States that `consumer` needs nothing below `offset` any more. Advisory: written at most every few seconds."""
        ...

    def slowest(self, partition: int) -> int | None:
        """The lowest mark of a partition, None while no consumer ever marked one."""
        ...
