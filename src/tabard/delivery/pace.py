"""How fast one destination is sent to: requests at once (adapted), requests a second (given), and waits it asked for.

Shared by all consumers of the destination. Moments are seconds of a wall clock, handed in; when it is put back, waits
do not grow.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tabard.destinations.kit.action import Rate

LIMIT_FIRST = 8.0
LIMIT_MAX = 128.0
_SLOWER_THAN_BEST = 4.0
_SLOWER_BY_S = 0.1
_BEST_FORGOTTEN = 1.001


class Bucket:
    """A token bucket: `rate.requests` in `rate.per_s` seconds, as many at once at most."""

    def __init__(self, rate: Rate) -> None:
        self._per_s = rate.requests / rate.per_s
        self._size = max(1.0, float(rate.requests))
        self._tokens = self._size
        self._at: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Seconds until one token is there, 0 if one is."""
        if self._at is not None:
            self._tokens = min(self._size, self._tokens + max(0.0, now_s - self._at) * self._per_s)
        self._at = now_s
        # A rest of rounding must not become a wait too short to advance a clock.
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / self._per_s

    def take(self, requests: int = 1) -> None:
        """Takes the tokens of requests; those that are not there yet are owed."""
        self._tokens -= requests


@dataclass
class Pace:
    """The pace of one destination instance.

    The number of requests at once grows by one a round trip while answers come quickly (additive increase) and is
    halved, once a round trip, by 429, timeouts and latency far above the best seen (multiplicative decrease).
    """

    buckets: list[Bucket] = field(default_factory=list)
    limit: float = LIMIT_FIRST
    active: int = 0
    held_until_s: float = 0.0
    _best_s: float = float("inf")
    _cut_at_s: float = -1.0
    _seen_s: float = 0.0

    def set_rates(self, rates: Iterable[Rate]) -> None:
        """The limits by rate from now on, all of them holding."""
        self.buckets = [Bucket(rate) for rate in rates]

    def has_room(self) -> bool:
        """Whether one more request may be under way."""
        return self.active < int(self.limit)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the rates and the destination's own wish allow the next request."""
        back_s = self._seen_s - now_s
        if back_s > 0 and self.held_until_s:
            self.held_until_s = max(0.0, self.held_until_s - back_s)
        self._seen_s = now_s
        held = self.held_until_s - now_s
        if not self.buckets:
            return held if held > 0 else 0.0
        return max(0.0, held, *(bucket.wait_s(now_s) for bucket in self.buckets))

    def began(self) -> None:
        """A request goes out."""
        self.active += 1
        self.count(1)

    def count(self, requests: int) -> None:
        """Counts requests against the rates; what was made beyond them is waited for afterwards."""
        for bucket in self.buckets:
            bucket.take(requests)

    def ended(self, now_s: float, took_s: float, *, overloaded: bool, good: bool) -> None:
        """A request came back: adapts how many may be under way."""
        self.active -= 1
        self._best_s = min(self._best_s * _BEST_FORGOTTEN, took_s)
        slow = took_s > self._best_s * _SLOWER_THAN_BEST + _SLOWER_BY_S
        if overloaded or slow:
            if now_s - took_s >= self._cut_at_s:
                self.limit = max(1.0, self.limit / 2)
                self._cut_at_s = now_s
        elif good and self.active + 1 >= int(self.limit):
            self.limit = min(LIMIT_MAX, self.limit + 1 / self.limit)

    def hold(self, until_s: float) -> None:
        """Nothing goes out before that moment."""
        self.held_until_s = max(self.held_until_s, until_s)
