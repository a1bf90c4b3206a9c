"""Time and new identifiers, handed to whoever needs them, so that decisions stay pure and tests hold the clock."""

import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """What the rest of the house asks for instead of the wall clock and the random source."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    def new_id(self) -> str:
        """A new unique identifier as text (UUID version 4)."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def new_id(self) -> str:
        return str(uuid.uuid4())
