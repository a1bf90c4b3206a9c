"""The rate limit of a source, in messages a second and collector process; off where the source sets none."""

import math

from tabard.clock import Clock
from tabard.message.parse import Refused
from tabard.message.rejection import Reason
from tabard.workspace.types import Source


class TooManyRequests(Refused):
    """The source is over its rate. `retry_after_s` whole seconds later there is room again."""

    def __init__(self, source: Source, retry_after_s: int) -> None:
        super().__init__(
            Reason.TOO_MANY_REQUESTS,
            f"source {source.name!r} takes {source.rate_per_s} messages a second: "
            f"send this again in {retry_after_s} s, or in larger batches less often",
        )
        self.retry_after_s = retry_after_s


class Rates:
    """One bucket a source: a second's worth may come at once, and a batch may overdraw it, at the cost of a wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._empty_until: dict[str, float] = {}

    def take(self, source: Source, messages: int) -> None:
        """Lets messages through. Raises `TooManyRequests` while the source is over its rate."""
        if not source.rate_per_s:
            return
        now = self._clock.monotonic_s()
        empty_until = max(self._empty_until.get(source.id, 0.0), now - 1)
        if empty_until >= now:
            raise TooManyRequests(source, max(1, math.ceil(empty_until - now)))
        self._empty_until[source.id] = empty_until + messages / source.rate_per_s
