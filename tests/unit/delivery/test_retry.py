"""The one table of what is tried again, and when."""

import pytest

from tabard.delivery.egress import NoAnswer
from tabard.delivery.outcome import Verdict
from tabard.delivery.retry import BACKOFF_MAX_S, is_retried, judge, retry_after_s, wait_s
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

NOW_MS = 1_445_412_480_000  # Wed, 21 Oct 2015 07:28:00 GMT
RETRIED = {408, 423, 425, 429, *range(500, 600)} - {501, 505}


@pytest.mark.parametrize("status", range(300, 600))
def test_exactly_these_statuses_are_tried_again(status: int) -> None:
    assert is_retried(status) is (status in RETRIED)
    outcome = judge(HttpError(status, None, "x"), now_ms=NOW_MS, retry_after_max_s=60)
    expected = Verdict.RETRY if status in RETRIED else Verdict.CREDENTIALS if status == 401 else Verdict.DEAD
    assert (outcome.verdict, outcome.code) == (expected, f"http_{status}")


@pytest.mark.parametrize(
    ("error", "verdict", "code", "blames_item"),
    [
        (Unreachable("refused"), Verdict.RETRY, "unreachable", False),
        (NoAnswer("timeout", "too slow"), Verdict.RETRY, "timeout", False),
        (Retryable("busy"), Verdict.RETRY, "retryable", False),
        (AuthenticationFailed("no"), Verdict.CREDENTIALS, "credentials", False),
        (Rejected("bad", 422), Verdict.DEAD, "rejected_422", False),
        (PayloadInvalid("email", "is no address"), Verdict.DEAD, "payload_invalid", True),
        (Filtered("anonymous"), Verdict.FILTERED, "filtered_by_destination", False),
    ],
)
def test_every_error_of_the_closed_set_has_one_verdict(
    error: DestinationError, verdict: Verdict, code: str, blames_item: bool
) -> None:
    outcome = judge(error, now_ms=NOW_MS, retry_after_max_s=60)
    assert (outcome.verdict, outcome.code, outcome.blames_item) == (verdict, code, blames_item)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Wed, 21 Oct 2015 07:30:00 GMT", 120.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW_MS) == seconds


def test_retry_after_is_capped_by_the_setting() -> None:
    assert judge(HttpError(503, "7200", ""), now_ms=NOW_MS, retry_after_max_s=3600).retry_after_s == 3600
    assert judge(Retryable("later", 7200), now_ms=NOW_MS, retry_after_max_s=3600).retry_after_s == 3600


def test_the_wait_doubles_with_full_jitter_up_to_its_ceiling() -> None:
    assert [wait_s(attempts, 0.5) for attempts in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert wait_s(1, 0.0) == 0
    assert wait_s(1_000_000, 0.999) == pytest.approx(BACKOFF_MAX_S * 0.999)


def test_what_the_destination_asked_for_is_waited_in_full() -> None:
    assert wait_s(9, 0.25, 30) == 30.25
