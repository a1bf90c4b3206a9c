"""The one table of what is tried again and when. Pure: the moment and the random number are handed in."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from tabard.delivery.outcome import Outcome, Verdict
from tabard.destinations.kit.errors import (
    AuthenticationFailed,
    DestinationError,
    Filtered,
    HttpError,
    PayloadInvalid,
    Rejected,
    Retryable,
    Unreachable,
)

RETRIED_4XX: Final = frozenset({408, 423, 425, 429})
NOT_RETRIED_5XX: Final = frozenset({501, 505})
"""All other 5xx are tried again, all other 4xx and 3xx are not; 401 asks whether the credentials still hold."""

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 900.0
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = range(500, 600)


def is_retried(status: int) -> bool:
    """Whether a delivery answered with that status is tried again."""
    return status in RETRIED_4XX or (status in _SERVER_ERRORS and status not in NOT_RETRIED_5XX)


def judge(error: DestinationError, *, now_ms: int, retry_after_max_s: float) -> Outcome:
    """What follows from an error of the closed set (`destinations.kit.errors`)."""
    if isinstance(error, HttpError):
        return _of_status(error, now_ms, retry_after_max_s)
    if isinstance(error, Filtered):
        return Outcome(Verdict.FILTERED, "filtered_by_destination", error.reason)
    if isinstance(error, PayloadInvalid):
        return Outcome(Verdict.DEAD, "payload_invalid", str(error), blames_item=True)
    if isinstance(error, AuthenticationFailed):
        return Outcome(Verdict.CREDENTIALS, "credentials", error.reason)
    if isinstance(error, Retryable):
        after = None if error.retry_after_s is None else min(max(error.retry_after_s, 0.0), retry_after_max_s)
        return Outcome(Verdict.RETRY, "retryable", error.reason, after, overloaded=after is not None)
    if isinstance(error, Unreachable):
        code = str(getattr(error, "code", "unreachable"))
        return Outcome(Verdict.RETRY, code, error.reason, overloaded=code == "timeout")
    code = f"rejected_{error.status}" if isinstance(error, Rejected) else "rejected"
    return Outcome(Verdict.DEAD, code, error.reason)


def _of_status(error: HttpError, now_ms: int, retry_after_max_s: float) -> Outcome:
    code = f"http_{error.status}"
    if error.status == _UNAUTHORIZED:
        return Outcome(Verdict.CREDENTIALS, code, error.reason)
    if not is_retried(error.status):
        return Outcome(Verdict.DEAD, code, error.reason)
    after = retry_after_s(error.retry_after, now_ms)
    capped = None if after is None else min(after, retry_after_max_s)
    return Outcome(
        Verdict.RETRY, code, error.reason, capped, overloaded=error.status == _TOO_MANY or capped is not None
    )


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Seconds a Retry-After header asks for, in either form (RFC 9110 §10.2.3); None where it cannot be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now_ms / 1000)


def wait_s(attempts: int, fraction: float, retry_after: float | None = None) -> float:
    """Seconds until the next attempt after `attempts` failed ones: exponential with full jitter.

    `fraction` is a random number in [0, 1). What the destination asked for is a lower bound, spread by up to one
    second so that all that wait for it do not come back at once.
    """
    if retry_after is not None:
        return retry_after + fraction
    ceiling: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(attempts - 1, 20))
    return ceiling * fraction
