"""When a role is started again, when it counts as hung, when as crash-looping: decisions only."""

from typing import Final

WINDOW_S: Final = 60.0
"""Deaths older than this are forgotten."""

CRASH_LOOP_DEATHS: Final = 5
"""So many deaths within the window are a crash loop and are named."""

_DELAY_FIRST_S: Final = 0.1
_DELAY_MAX_S: Final = 30.0


def recent(deaths_s: list[float], now_s: float) -> list[float]:
    """The deaths that still count."""
    return [each for each in deaths_s if now_s - each < WINDOW_S]


def restart_delay_s(deaths: int) -> float:
    """How long to wait after the given number of recent deaths: 0.1 s, doubling, at most 30 s."""
    return min(_DELAY_MAX_S, _DELAY_FIRST_S * 2.0 ** (max(deaths, 1) - 1))


def is_crash_loop(deaths: int) -> bool:
    """Whether the role dies again and again."""
    return deaths >= CRASH_LOOP_DEATHS


def is_hung(*, beat_age_s: float | None, up_s: float, limit_s: float) -> bool:
    """Whether a live process does nothing any more: it has not beaten, or not begun to beat, for `limit_s`."""
    return (up_s if beat_age_s is None else min(beat_age_s, up_s)) > limit_s
