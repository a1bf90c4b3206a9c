"""What the consumers of one destination instance share: its configuration, its pace, and how it rests."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tabard.delivery.breaker import Breaker
from tabard.delivery.compiled import Compiled
from tabard.delivery.needless import Needless
from tabard.delivery.pace import Pace
from tabard.storage.deliveries import Rest


@dataclass(frozen=True, slots=True)
class Limits:
    """What a consumer may hold and how long it waits (`Settings`). waiting_max: behind one message of a lane.

    rows_max: unfinished rows, beyond which the cursor stands still. held_max_ms: the longest Retry-After obeyed.
    """

    in_flight_max: int = 1_000
    order_patience_ms: int = 900_000
    patience_ms: int = 4 * 86_400_000
    waiting_max: int = 1_000
    rows_max: int = 100_000
    held_max_ms: int = 86_400_000


@dataclass(slots=True)
class Shared:
    """What the consumers of one destination instance share, and what is handed in."""

    compiled: Compiled
    breaker: Breaker
    pace: Pace
    limits: Limits
    draw: Callable[[], float]
    needless: Needless | None = None

    def rest(self) -> Rest:
        """How the destination rests now."""
        return msgspec.structs.replace(
            self.breaker.kept(),
            held_until=int(self.pace.held_until_s * 1000),
            paused_at=self.compiled.instance.paused_at,
            version=self.compiled.version,
        )


def shared_as_kept(compiled: Compiled, limits: Limits, draw: Callable[[], float], rest: Rest, now_ms: int) -> Shared:
    """What is shared at a start: it rests as it did. With another configuration it is tried at once."""
    shared = Shared(compiled, Breaker.as_kept(rest, now_ms), Pace(), limits, draw)
    shared.pace.set_rates(compiled.rates())
    if rest.version == compiled.version:
        shared.pace.hold(min(rest.held_until, now_ms + limits.held_max_ms) / 1000)
    else:
        shared.breaker.probe_now(now_ms)
    return shared
