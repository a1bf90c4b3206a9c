"""Which closed segments of the log may go: a decision on numbers, without disk or clock."""

from collections.abc import Iterable

import msgspec


class ClosedSegment(msgspec.Struct, frozen=True):
    """A segment that is no longer written. `consumed_ms`: when every consumer was first seen past its end, or None."""

    partition: int
    first_offset: int
    bytes: int
    consumed_ms: int | None


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings `log_retention_s` and `log_bytes_max` (0 = no limit)."""

    log_retention_s: int
    log_bytes_max: int = 0


def expendable(
    segments: Iterable[ClosedSegment], *, log_bytes: int, policy: RetentionPolicy, now_ms: int
) -> list[ClosedSegment]:
    """The segments to remove, longest consumed first: those consumed long enough ago, and more of the consumed ones
    while the whole log (`log_bytes`) is above its limit.

    What a consumer still needs is never among them: when that alone fills the disk, the door refuses (`disk_floor`)
    and nothing acknowledged is lost.
    """
    consumed = [(each.consumed_ms, each) for each in segments if each.consumed_ms is not None]
    consumed.sort(key=lambda pair: (pair[0], pair[1].partition, pair[1].first_offset))
    chosen = []
    for consumed_ms, segment in consumed:
        old = now_ms - consumed_ms >= policy.log_retention_s * 1000
        too_large = 0 < policy.log_bytes_max < log_bytes
        if not (old or too_large):
            break
        chosen.append(segment)
        log_bytes -= segment.bytes
    return chosen
