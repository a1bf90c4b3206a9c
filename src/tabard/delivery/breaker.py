"""When a whole destination is given a rest. A state machine without a clock: moments (ms) are handed in."""

from dataclasses import dataclass, field
from enum import StrEnum

from tabard.storage.deliveries import Rest

SUBJECTS_MAX = 20
REQUESTS_MIN = 3
"""One batch that fails is not yet a destination that fails."""
SUSPECT_REQUESTS = 5
SUSPECT_MS = 60_000
PROBE_FIRST_MS = 5_000
PROBE_MAX_MS = 300_000


class Why(StrEnum):
    """Why a destination rests."""

    FAILURES = "failing"
    TEST = "test_failing"
    CREDENTIALS = "credentials_refused"


@dataclass
class Breaker:
    """Opens after 20 different subjects failed in a row, in three requests at least, or when `open` is called.

    Before that, five failed requests in a row are reason to ask the destination's own test, once a minute.

    While it is open the cursor stands still and nothing is parked. One message at a time is tried as a probe, after
    5 s at first, then at doubled distances up to 5 minutes. Its success closes the breaker.

    A destination that answers, but refuses what it is sent, may be well and the messages bad. So each time one is
    refused while it is open, the destination's test is asked (`suspects`, `tested`): if it passes, the refused
    messages die (`is_well`). Unless it fails, a probe is up to 20 messages that were never tried, one after another.

    fails_test: its test failed, or its credentials were refused, since it opened. code: of the last failure.
    good_at: when the destination last took something. `kept` and `as_kept` carry it over a restart, but for failures
    counted while it is closed, and without the text of the last one, which may name people.
    """

    why: Why | None = None
    reason: str = ""
    code: str = ""
    opened_at: int = 0
    probe_at: int = 0
    probing: bool = False
    is_well: bool = False
    fails_test: bool = False
    good_at: int = 0
    _suspected_at: int = 0
    _probe_wait: int = PROBE_FIRST_MS
    _refused: bool = False
    _more: int = 0
    _subjects: set[object] = field(default_factory=set)
    _requests: set[object] = field(default_factory=set)

    @classmethod
    def as_kept(cls, rest: Rest, now_ms: int) -> "Breaker":
        """A breaker that goes on as it was kept; its next probe is due when it was, in five minutes at the latest."""
        if not rest.why:
            return cls(good_at=rest.good_at)
        return cls(
            why=Why(rest.why),
            reason=rest.code,
            code=rest.code,
            opened_at=rest.opened_at,
            probe_at=min(rest.probe_at, now_ms + PROBE_MAX_MS),
            is_well=rest.is_well,
            good_at=rest.good_at,
            _probe_wait=rest.probe_wait,
            _refused=rest.refused,
            fails_test=rest.fails_test,
            _more=rest.more,
        )

    def kept(self) -> Rest:
        """What is to be kept of it."""
        if self.why is None:
            return Rest(good_at=self.good_at)
        return Rest(
            why=self.why,
            code=self.code,
            opened_at=self.opened_at,
            probe_at=self.probe_at,
            probe_wait=self._probe_wait,
            more=self._more,
            is_well=self.is_well,
            fails_test=self.fails_test,
            refused=self._refused,
            good_at=self.good_at,
        )

    @property
    def is_open(self) -> bool:
        """Whether only probes go out."""
        return self.why is not None

    def may_send(self, now_ms: int) -> bool:
        """Whether a request may go out: always while closed, else one probe when it is due."""
        return self.why is None or (not self.probing and now_ms >= self.probe_at)

    def sending(self) -> None:
        """A request goes out; while open it is the probe."""
        self.probing = self.why is not None

    def succeeded(self, now_ms: int) -> bool:
        """An item was taken; whether this closed the breaker."""
        self._subjects.clear()
        self._requests.clear()
        closed = self.why is not None
        self.why, self.reason, self.code, self.probing, self._probe_wait = None, "", "", False, PROBE_FIRST_MS
        self._refused = self.fails_test = self.is_well = False
        self.good_at = now_ms
        return closed

    def failed(
        self, subject: object, request: object, reason: str, now_ms: int, *, refused: bool = False, is_new: bool = True
    ) -> bool:
        """An item got no good answer; whether this opened the breaker.

        refused: the destination answered that it will never take it. is_new: it did not fail before the destination
        last took something; what did proves nothing against the destination by failing again.
        """
        if self.why is not None:
            self._probe_failed(reason, now_ms, refused=refused, is_new=is_new)
            return False
        self._requests.add(request)
        if is_new:
            self._subjects.add(subject)
        if len(self._subjects) < SUBJECTS_MAX or len(self._requests) < REQUESTS_MIN:
            return False
        self.open(Why.FAILURES, reason, now_ms)
        self._refused = refused
        return True

    def suspects(self, now_ms: int) -> bool:
        """Whether the destination's test should be asked now: it may be at fault (closed), or well (open)."""
        if self.is_open:
            refused, self._refused = self._refused, False
            return refused
        due = len(self._requests) >= SUSPECT_REQUESTS and now_ms - self._suspected_at >= SUSPECT_MS
        if due:
            self._suspected_at = now_ms
        return due

    def tested(self, now_ms: int, *, passed: bool) -> None:
        """What the test said of an open breaker's destination that refuses messages."""
        if not self.is_open:
            return
        if passed and not self.is_well:
            self.probe_at, self._more = now_ms, SUBJECTS_MAX - 1
        self.is_well, self.fails_test = passed, not passed

    def open(self, why: Why, reason: str, now_ms: int) -> None:
        """Opens at once: the credentials were refused, or the test fails."""
        if self.why is None:
            self.opened_at, self._probe_wait = now_ms, PROBE_FIRST_MS
            self.probe_at, self.probing = now_ms + self._probe_wait, False
            self._more = SUBJECTS_MAX - 1
        self.why, self.reason = why, reason
        self.fails_test = self.fails_test or why is not Why.FAILURES

    def probe_now(self, now_ms: int) -> None:
        """Lets the next probe go at once: the settings have changed."""
        self.probe_at = min(self.probe_at, now_ms)

    def _probe_failed(self, reason: str, now_ms: int, *, refused: bool, is_new: bool) -> None:
        if not self.probing:
            return
        self.probing, self.reason = False, reason
        if refused and is_new and self._more and not self.fails_test:
            self._more -= 1
            return
        self._refused, self._more = refused, SUBJECTS_MAX - 1
        self._probe_wait = min(self._probe_wait * 2, PROBE_MAX_MS)
        self.probe_at = now_ms + self._probe_wait
