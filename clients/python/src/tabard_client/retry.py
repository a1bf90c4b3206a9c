"""What an answer means and when to try again. Pure: clock and chance are handed in."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 60.0
# A guard against an absurd header; a longer wait is cut to this.
RETRY_AFTER_CAP_S = 3_600.0
RETRY_AFTER_SPREAD = 0.1

_OK = 200
_CLIENT_ERRORS = range(400, 500)
_TRANSIENT_CLIENT_ERRORS = frozenset({408, 429})


class Verdict(Enum):
    """What becomes of a batch after one attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"


def verdict(status: int) -> Verdict:
    """200 delivers; 4xx but 408 and 429 is final; all else is tried again (0 stands for no answer).

    Another 2xx or a redirect does not come from a collector but from something in between, so it is
    no proof that the messages are kept.
    """
    if status == _OK:
        return Verdict.DELIVERED
    if status in _CLIENT_ERRORS and status not in _TRANSIENT_CLIENT_ERRORS:
        return Verdict.REFUSED
    return Verdict.RETRY


def wait_s(failures: int, retry_after: str | None, now: datetime, chance: Callable[[], float]) -> float:
    """Seconds until the next attempt after `failures` (≥ 1) in a row.

    Retry-After wins, plus up to a tenth so that many processes do not come back in one instant; otherwise
    exponential backoff with full jitter: anything from 0 to 0.5 s x 2^n, at most 60 s. `chance` gives [0, 1).
    """
    asked_s = retry_after_s(retry_after, now)
    if asked_s is not None:
        return asked_s * (1 + RETRY_AFTER_SPREAD * chance())
    ceiling_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(failures, 16))
    return ceiling_s * chance()


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds a Retry-After header asks for (whole seconds or an HTTP date), or None if it asks nothing."""
    if not value:
        return None
    try:
        seconds = float(int(value))
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_CAP_S)
