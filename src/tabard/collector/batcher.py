"""Group commit: all calls that arrive while a commit runs share the next one, and each gets its own answer.

The event loop gathers, one thread writes, one wake-up a commit brings the answers back. Refused items that are to be
kept go the same way, after the log, so that an answer states only what is on disk.
"""

import asyncio
import queue
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from tabard.collector.rejections import KeptRejection, RejectionStore
from tabard.log.interface import LogUnavailable, LogWriter
from tabard.telemetry.logging import logger

VALUES_MAX: Final = 50_000
BYTES_MAX: Final = 64 * 1024 * 1024
"""What may wait for the commits of one process; above it the door answers 503."""

BUSY_RETRY_S: Final = 1


class Submission(Protocol):
    """A request whose answer waits for a commit."""

    values: list[bytes]
    rejections: Sequence[KeptRejection]

    def settle(self, first_offset: int, problem: LogUnavailable | None, rejections_kept: bool) -> None:
        """Called once, on the event loop: `first_offset` is that of the first value, `problem` why none was kept."""
        ...


class _Group:
    """What one commit writes."""

    __slots__ = ("bytes", "is_question", "problem", "rejections", "rejections_kept", "submissions", "values")

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.values: list[bytes] = []
        self.rejections: list[KeptRejection] = []
        self.bytes = 0
        self.is_question = False
        self.problem: LogUnavailable | None = None
        self.rejections_kept = True


class Batcher:
    """The way from the event loop to the disk and back. `start` on the loop, `stop` when no more calls come in."""

    def __init__(self, log: LogWriter, rejections: RejectionStore) -> None:
        self._log = log
        self._rejections = rejections
        self._next = _Group()
        self._handed_over = False
        self._groups: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._idle = asyncio.Event()
        self._trouble = ""

    def start(self) -> None:
        """Begins to write; call it on the event loop that submits."""
        self._loop = asyncio.get_running_loop()
        self._idle.set()
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Returns once all that was submitted is written and answered; nothing may be submitted any more."""
        await self._idle.wait()
        self._groups.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, submission: Submission) -> None:
        """Has it written with the next commit and settled after it. Raises `LogUnavailable` when too much waits.

        A submission without values asks for a commit all the same: that is what `/ready` wants to know.
        """
        group = self._next
        if len(group.values) >= VALUES_MAX or group.bytes >= BYTES_MAX:
            raise LogUnavailable("busy", "too many calls wait for the disk: come again", BUSY_RETRY_S)
        group.submissions.append(submission)
        for value in submission.values:
            group.values.append(value)
            group.bytes += len(value)
        for rejection in submission.rejections:
            group.rejections.append(rejection)
            group.bytes += len(rejection.raw)
        group.is_question |= not (submission.values or submission.rejections)
        if not self._handed_over:
            # Not at once: the requests that the loop has read already can join this commit.
            self._handed_over = True
            self._idle.clear()
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        group, self._next = self._next, _Group()
        self._groups.put(group)

    def _settle(self, group: _Group, first_offset: int) -> None:
        if self._next.submissions:
            self._hand_over()
        else:
            self._handed_over = False
        offset = first_offset
        for submission in group.submissions:
            try:
                submission.settle(offset, group.problem, group.rejections_kept)
            except Exception:  # noqa: BLE001 - one broken connection must not cost the others their answer
                logger().exception("collector.answer.failed")
            offset += len(submission.values)
        if not self._handed_over:
            self._idle.set()

    def _write(self) -> None:
        while (group := self._groups.get()) is not None:
            first_offset = self._commit(group)
            self._loop.call_soon_threadsafe(self._settle, group, first_offset)

    def _say(self, problem: LogUnavailable | None) -> None:
        """Logs the first of several refusals of one kind, and that they are over."""
        code = problem.code if problem else ""
        if problem and code != self._trouble:
            logger().warning("collector.log.unavailable", code=code, problem=str(problem))
        elif self._trouble and not problem:
            logger().info("collector.log.available")
        self._trouble = code

    def _commit(self, group: _Group) -> int:
        first_offset = -1
        try:
            if group.values:
                first_offset = self._log.append(group.values)
            elif group.is_question:
                self._log.check()
        except LogUnavailable as problem:
            group.problem = problem
        except Exception as problem:  # noqa: BLE001 - whatever it was, nothing of it may be called kept
            logger().exception("collector.append.failed")
            group.problem = LogUnavailable("log_failed", f"the log failed: {problem}")
        if group.values or group.is_question:
            self._say(group.problem)
        if group.rejections:
            group.rejections_kept = self._rejections.keep(group.rejections)
        return first_offset
