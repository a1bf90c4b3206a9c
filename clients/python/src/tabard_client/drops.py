"""What is dropped, why, and how often: the closed set of reasons and the books of one client."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

log = logging.getLogger("tabard_client")

LOG_INTERVAL_S = 60.0


class DropReason(StrEnum):
    """Why a message will not reach the server."""

    INVALID = "invalid"  # the call itself is wrong: no id, no event name, a value JSON cannot hold
    TOO_LARGE = "too_large"  # above 32 KiB
    SPOOL_FULL = "spool_full"  # the spool (or the memory queue) is at its bound: the newest goes
    SPOOL_ERROR = "spool_error"  # the spool file cannot be written: disk full, no permission
    REFUSED = "refused"  # the server answered a final 4xx, or listed this message as bad
    RETRIES_EXHAUSTED = "retries_exhausted"  # memory-only mode gave up after max_retries
    CORRUPT = "corrupt"  # a spool record whose checksum is wrong; set aside


class DropError(Exception):
    """Handed to `on_error`: messages that will not reach the server, with the reason.

    `status` and `code` are the server's answer where there was one.
    """

    def __init__(self, reason: DropReason, detail: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.status = status
        self.code = code


OnError = Callable[[Exception, list[dict[str, object]]], object]


class Receipt(NamedTuple):
    """What a call returns: `success` is False when the message was dropped; `message` is what was built.

    A tuple of two, as the published SDKs return.
    """

    success: bool
    message: dict[str, object]


@dataclass(frozen=True, slots=True)
class Counts:
    """A client's books since it started (or since the fork): every accepted message is in exactly one of
    delivered, waiting and dropped; messages adopted from a dead process add to delivered only. `not_set_aside` of
    the refused and corrupt are kept nowhere: `set-aside.txt` is full, cannot be written, or there is none."""

    accepted: int
    delivered: int
    waiting: int
    retries: int
    dropped: dict[DropReason, int]
    not_set_aside: int


class Books:
    """Counts what happened and tells `on_error`. Safe from any thread.

    An exception of `on_error` is logged. What ends a program (KeyboardInterrupt, SystemExit: a signal may bring them
    at that very moment) passes, when the books are done.
    """

    def __init__(self, on_error: OnError | None) -> None:
        self._on_error = on_error
        self.forget()

    def forget(self) -> None:
        """Start from zero, with a fresh lock in a forked child."""
        # Reentrant: a signal handler may call the client while this very lock is held.
        self._lock = threading.RLock()
        self._accepted = 0
        self._delivered = 0
        self._retries = 0
        self._not_set_aside = 0
        self._dropped: Counter[DropReason] = Counter()
        self._logged_at: dict[DropReason, float] = {}

    def accepted(self) -> None:
        """One message is in the spool."""
        with self._lock:
            self._accepted += 1

    def delivered(self, count: int) -> None:
        """The server has `count` messages."""
        with self._lock:
            self._delivered += count

    def retried(self) -> None:
        """A batch goes out once more."""
        with self._lock:
            self._retries += 1

    def not_set_aside(self, count: int) -> None:
        """`count` of what is given up is kept nowhere."""
        with self._lock:
            self._not_set_aside += count

    def dropped(self, error: DropError, messages: Sequence[dict[str, object]], count: int = 0) -> None:
        """`messages` (or `count` of them, where none can be shown) are given up for `error.reason`."""
        with self._lock:
            self._dropped[error.reason] += count or len(messages)
            total = self._dropped[error.reason]
        self._log(error, total)
        if self._on_error is None:
            return
        try:
            self._on_error(error, list(messages))
        except Exception:
            log.exception("on_error raised")

    def counts(self, waiting: int) -> Counts:
        """The books as they stand, with what the spool holds."""
        with self._lock:
            dropped = dict(self._dropped)
            return Counts(self._accepted, self._delivered, waiting, self._retries, dropped, self._not_set_aside)

    def _log(self, error: DropError, total: int) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._logged_at.get(error.reason, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
                return
            self._logged_at[error.reason] = now
        log.error("dropped (%d so far): %s", total, error)
