"""Takes batches from the spool to the server, one at a time, in the background or on the caller's turn."""

import json
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tabard_client.drops import Books, DropError, DropReason
from tabard_client.limits import BATCH_BYTES_MAX
from tabard_client.retry import Verdict, verdict, wait_s
from tabard_client.spool import SET_ASIDE, Batch, Spool
from tabard_client.transport import Answer, Transport

log = logging.getLogger("tabard_client")

ADOPT_INTERVAL_S = 30.0
_SHOWN_BYTES = 300
_TOO_LARGE = 413
_REENTERED_S = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How batches are gathered, and when to give up (None: never, they are kept).

    Fewer than `gather_messages` wait for company, `gather_s`; a batch takes up to `batch_messages_max` of a backlog.
    """

    batch_messages_max: int
    gather_messages: int
    gather_s: float
    retries_max: int | None
    exit_timeout_s: float


class Flag:
    """A `threading.Event` that may be set while it is being set: a signal handler, or a finaliser, may call the client
    in the midst of any call, and the lock within an Event is not reentrant."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._condition:
            self._is_set = True
            self._condition.notify_all()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout_s: float) -> None:
        """Until it is set, at most so long."""
        with self._condition:
            self._condition.wait_for(self.is_set, timeout_s)


class Sender:
    """Owns the spool's sending side. One thread a process, started by the first call that needs it."""

    def __init__(self, spool: Spool, transport: Transport, books: Books, pace: Pace) -> None:
        self._spool = spool
        self._transport = transport
        self._books = books
        self._pace = pace
        self._reset()
        _senders.add(self)

    def _reset(self) -> None:
        self._turn = threading.RLock()  # one batch on its way at a time, whoever drives
        self._progress = threading.Condition()  # a batch is settled, or has failed
        self._called = Flag()
        self._hurry = Flag()
        self._stopping = Flag()
        self._thread: threading.Thread | None = None
        self._idle = False
        self._sending = False
        self._failures = 0
        self._batch_bytes_max = BATCH_BYTES_MAX
        self._not_before = 0.0
        self._adopt_at = 0.0  # 0: never looked yet

    # --- called by the client ---------------------------------------------------------------------

    def wake(self) -> None:
        """A message was spooled: make sure somebody will send it. Cheap; never raises."""
        if self._idle:
            self._called.set()
        elif self._thread is None:
            with self._progress:
                if self._thread is None:
                    self._start()

    def drain(self, timeout_s: float) -> None:
        """Send what waits on this very thread, until it is sent, an attempt fails, or the time is over."""
        self._adopt_first()
        deadline = time.monotonic() + timeout_s
        try:
            while self._spool.waiting and time.monotonic() < deadline:
                if self.step() > 0:
                    return
        except Exception:
            log.exception("sending failed; what waits is kept")

    def flush(self, timeout_s: float | None) -> int:
        """Wait until everything is with the server; how many messages are not, when the time is over."""
        self._adopt_first()
        if self._spool.waiting and threading.current_thread() is not self._thread:
            self.wake()
            self._hurry.set()
            self._called.set()
            with self._progress:
                self._progress.wait_for(lambda: not self._spool.waiting or not self._alive(), timeout_s)
            self._hurry.clear()
        return self._spool.waiting

    def stop(self, timeout_s: float | None) -> None:
        """End the thread after the batch on its way, then let go of spool and connection.

        A later call starts anew. An unanswered batch keeps the thread until its timeout; then the files
        stay ours, so that nobody else sends what may just be arriving.
        """
        thread = self._thread
        self._stopping.set()
        self._called.set()
        self._hurry.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
            if thread.is_alive():
                return
        with self._turn:
            if self._sending:  # called by on_error: the batch at hand still needs its file
                return
            self._transport.close()
            self._spool.close()
            self._reset()

    def at_exit(self) -> None:
        """Before the interpreter ends: give the server a moment; what is on disk may wait for the next process."""
        deadline = time.monotonic() + self._pace.exit_timeout_s
        can_lose = self._pace.retries_max is not None
        self._hurry.set()
        self._called.set()
        with self._progress:
            while self._alive() and self._spool.waiting and time.monotonic() < deadline:
                if self._failures and not can_lose:
                    break
                self._progress.wait(max(0.0, deadline - time.monotonic()))
        self.stop(max(0.0, deadline - time.monotonic()))

    def after_fork(self) -> None:
        """In a forked child: the parent keeps and sends what it accepted; begin with nothing."""
        self._spool.forget()
        self._transport.forget()
        self._books.forget()
        self._reset()

    # --- the road of a batch ----------------------------------------------------------------------

    def step(self) -> float:
        """Send at most one batch. Returns 0, or the seconds to wait after a failure."""
        with self._turn:
            remaining_s = self._not_before - time.monotonic()
            if remaining_s > 0:
                return remaining_s
            if self._sending:  # called back by on_error: the batch at hand is not settled yet
                return _REENTERED_S
            self._sending = True
            try:
                return self._send_next()
            finally:
                self._sending = False

    def _send_next(self) -> float:
        self._adopt_when_due()
        batch = self._spool.take(self._pace.batch_messages_max, self._batch_bytes_max)
        if batch is None:
            return 0.0
        if not batch.messages:
            with self._settling(batch):
                return 0.0
        answer = self._transport.post(batch.messages, attempt=self._failures)
        return self._decide(batch, answer)

    def _decide(self, batch: Batch, answer: Answer) -> float:
        match verdict(answer.status):
            case Verdict.DELIVERED:
                self._batch_bytes_max = min(BATCH_BYTES_MAX, self._batch_bytes_max * 9 // 8 + 1)
                refused, positions = _refused_items(answer.body, len(batch.messages))
                self._books.delivered(len(batch.messages) - refused)
                with self._settling(batch):
                    self._refuse([batch.messages[index] for index in positions], refused, answer)
            case Verdict.REFUSED if answer.status == _TOO_LARGE and len(batch.messages) > 1:
                # Something in between takes less than a collector: the next try is half, and later ones grow again.
                self._batch_bytes_max = sum(map(len, batch.messages)) // 2
            case Verdict.REFUSED:
                with self._settling(batch):
                    self._refuse(batch.messages, len(batch.messages), answer)
            case Verdict.RETRY:
                return self._retry(batch, answer)
        return 0.0

    def _retry(self, batch: Batch, answer: Answer) -> float:
        self._failures += 1
        self._books.retried()
        if self._failures == 1:
            log.warning("the server cannot take messages (%s); they are kept", _shown(answer))
        retries_max = self._pace.retries_max
        if retries_max is not None and self._failures > retries_max:
            error = DropError(DropReason.RETRIES_EXHAUSTED, _shown(answer), status=answer.status or None)
            with self._settling(batch):
                self._books.dropped(error, [_object(message) for message in batch.messages])
            return 0.0
        delay_s = wait_s(self._failures, answer.retry_after, datetime.now(UTC), random.random)
        self._not_before = time.monotonic() + delay_s
        with self._progress:
            self._progress.notify_all()
        return delay_s

    def _refuse(self, messages: list[bytes], count: int, answer: Answer) -> None:
        if not count:
            return
        error = DropError(DropReason.REFUSED, _shown(answer), status=answer.status, code=_code(answer))
        self._set_aside(DropReason.REFUSED, messages)
        self._books.dropped(error, [_object(message) for message in messages], count)

    @contextmanager
    def _settling(self, batch: Batch) -> Iterator[None]:
        """What is told of a decided batch is told within: whatever `on_error` raises, the batch goes out no more."""
        try:
            if batch.corrupt:
                self._set_aside(DropReason.CORRUPT, batch.corrupt)
                error = DropError(DropReason.CORRUPT, f"{len(batch.corrupt)} spool records fail their checksum")
                self._books.dropped(error, [], count=len(batch.corrupt))
            yield
        finally:
            self._spool.settle(batch)
            if self._failures:
                log.info("the server takes messages again")
            self._failures = 0
            with self._progress:
                self._progress.notify_all()

    def _set_aside(self, reason: DropReason, records: list[bytes]) -> None:
        try:
            left_out = self._spool.set_aside(reason, records)
        except OSError as error:
            log.warning("could not set aside %d records: %s", len(records), error)
            left_out = len(records)
        if left_out:
            self._books.not_set_aside(left_out)
            log.error("%d %s records are kept nowhere: no room in %s", left_out, reason, SET_ASIDE)

    def _adopt_first(self) -> None:
        """Without a look at what dead processes left, nobody can say how much waits."""
        if not self._adopt_at:
            with self._turn:
                self._adopt_when_due()

    def _adopt_when_due(self) -> None:
        if time.monotonic() < self._adopt_at:
            return
        try:
            self._spool.adopt()
        except OSError as error:
            log.warning("could not look for spools of dead processes: %s", error)
        self._adopt_at = time.monotonic() + ADOPT_INTERVAL_S

    # --- the thread -------------------------------------------------------------------------------

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="tabard-sender", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError as error:
            # The system is out of threads, or the interpreter is ending: the spool keeps the message.
            self._thread = None
            log.warning("no sender thread: %s", error)

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        stopping = self._stopping
        while not stopping.is_set():
            try:
                delay_s = self._turn_of_thread()
            except BaseException:
                # Also what ends programs: raised here, by on_error, it would end this thread alone, and unseen.
                log.exception("sending failed; trying again")
                delay_s = 1.0
            if delay_s > 0:
                stopping.wait(delay_s)
        if self._thread is threading.current_thread():
            # stop() no longer waits for this thread: let the next call start another.
            self._thread = None
            self._stopping = Flag()
            self._hurry.clear()

    def _turn_of_thread(self) -> float:
        if not self._spool.waiting:
            self._idle = True
            # Checked again: a call between the check and the flag has woken nobody.
            if not self._spool.waiting:
                self._called.wait(max(0.0, self._adopt_at - time.monotonic()))
            self._called.clear()
            self._idle = False
        if 0 < self._spool.waiting < self._pace.gather_messages:
            self._hurry.wait(self._pace.gather_s)
        return self.step()


def _object(body: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _refused_items(body: bytes, count: int) -> tuple[int, list[int]]:
    """How many of `count` messages a 200 refuses, and the positions of those it names: the collector keeps the
    sound ones of a batch and describes up to a hundred others (`rejected`, `errors` each with `index`)."""
    answer = _object(body)
    rejected, errors = answer.get("rejected"), answer.get("errors")
    if not isinstance(rejected, int) or not isinstance(errors, list):
        return 0, []
    named = {error.get("index") for error in errors if isinstance(error, dict)}
    positions = sorted(index for index in named if isinstance(index, int) and 0 <= index < count)
    return min(max(rejected, len(positions)), count), positions


def _code(answer: Answer) -> str:
    body = _object(answer.body)
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    return str(body.get("code") or (first.get("code") if isinstance(first, dict) else None) or "")


def _shown(answer: Answer) -> str:
    text = answer.body[:_SHOWN_BYTES].decode("utf-8", "replace")
    return f"HTTP {answer.status}: {text}" if answer.status else text


_senders: "weakref.WeakSet[Sender]" = weakref.WeakSet()


def _after_fork() -> None:
    for sender in list(_senders):
        sender.after_fork()


def exit_all() -> None:
    """What runs at interpreter exit, for every client."""
    for sender in list(_senders):
        sender.at_exit()


os.register_at_fork(after_in_child=_after_fork)
