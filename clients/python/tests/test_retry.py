"""When an attempt is final, and how long to wait for the next."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard_client.retry import BACKOFF_CAP_S, RETRY_AFTER_CAP_S, Verdict, retry_after_s, verdict, wait_s

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([200], Verdict.DELIVERED),
        ([400, 401, 403, 404, 410, 413, 422, 499], Verdict.REFUSED),
        ([0, 408, 429, 500, 501, 502, 503, 504, 599], Verdict.RETRY),
        ([201, 202, 204, 301, 302, 307], Verdict.RETRY),
    ],
)
def test_a_status_means(statuses: list[int], expected: Verdict) -> None:
    assert [verdict(status) for status in statuses] == [expected] * len(statuses)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_full_jitter_below_a_doubling_ceiling(failures: int, chance: float) -> None:
    ceiling_s = min(BACKOFF_CAP_S, 0.5 * 2 ** min(failures, 16))
    assert wait_s(failures, None, NOW, lambda: chance) == pytest.approx(ceiling_s * chance)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("7", 7.0),
        ("-3", 0.0),
        ("999999999", RETRY_AFTER_CAP_S),
        (format_datetime(NOW.replace(second=35), usegmt=True), 30.0),
        ("Fri, 02 Jan 2026 03:04:35 -0000", 30.0),
        (format_datetime(NOW.replace(second=0), usegmt=True), 0.0),
    ],
)
def test_retry_after_asks_for(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header, NOW) == expected


def test_retry_after_wins_over_the_backoff_and_is_spread_by_a_tenth_at_most() -> None:
    assert wait_s(1, "20", NOW, lambda: 0.0) == 20.0
    assert wait_s(1, "20", NOW, lambda: 0.999) == pytest.approx(22.0, abs=0.01)
