"""Retention never takes what is still needed, and takes the rest oldest first."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.log.retention import ClosedSegment, RetentionPolicy, expendable

NOW_MS = 1_000_000_000

SEGMENTS = st.lists(
    st.builds(
        ClosedSegment,
        partition=st.integers(0, 2),
        first_offset=st.integers(0, 1000),
        bytes=st.integers(1, 1000),
        consumed_ms=st.none() | st.integers(0, NOW_MS),
    ),
    max_size=20,
    unique_by=lambda each: (each.partition, each.first_offset),
)
POLICIES = st.builds(RetentionPolicy, log_retention_s=st.integers(0, 2_000_000), log_bytes_max=st.integers(0, 5000))


@settings(max_examples=300, deadline=None)
@given(SEGMENTS, POLICIES, st.integers(0, 2000))
def test_what_is_not_consumed_stays_and_every_removal_has_its_reason(
    segments: list[ClosedSegment], policy: RetentionPolicy, open_bytes: int
) -> None:
    log_bytes = open_bytes + sum(each.bytes for each in segments)
    removed = expendable(segments, log_bytes=log_bytes, policy=policy, now_ms=NOW_MS)
    left = log_bytes
    for segment in removed:
        assert segment.consumed_ms is not None
        old = NOW_MS - segment.consumed_ms >= policy.log_retention_s * 1000
        assert old or 0 < policy.log_bytes_max < left
        left -= segment.bytes
    kept = [each for each in segments if each not in removed and each.consumed_ms is not None]
    for segment in kept:
        assert segment.consumed_ms is not None
        assert NOW_MS - segment.consumed_ms < policy.log_retention_s * 1000
        assert all(each.consumed_ms <= segment.consumed_ms for each in removed if each.consumed_ms is not None)
    if kept and policy.log_bytes_max:
        assert left <= policy.log_bytes_max
