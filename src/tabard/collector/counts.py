"""What the door counts, gathered in dictionaries and written to the metrics once a second.

A metric shared by processes costs more to touch than a message costs to accept.
"""

from collections import Counter
from typing import Final

from tabard.telemetry.metrics import count

_UNKNOWN: Final = ""


class Counts:
    """Counters of one process. `received = accepted + rejected` holds for what was answered with either."""

    def __init__(self) -> None:
        self._accepted: Counter[tuple[str, str]] = Counter()
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._unavailable: Counter[str] = Counter()

    def accepted(self, source: str, types: list[str]) -> None:
        """Counts messages that are on disk."""
        for call_type in types:
            self._accepted[source, call_type] += 1

    def rejected(self, source: str | None, reason: str) -> None:
        """Counts one refused item or request."""
        self._rejected[source or _UNKNOWN, reason] += 1

    def unavailable(self, code: str) -> None:
        """Counts one request that was answered with 503."""
        self._unavailable[code] += 1

    def flush(self) -> None:
        """Adds what was gathered to the metrics."""
        received: Counter[str] = Counter()
        for (source, call_type), amount in self._accepted.items():
            count("tabard_messages_accepted", amount, source=source, type=call_type)
            received[source] += amount
        for (source, reason), amount in self._rejected.items():
            count("tabard_messages_rejected", amount, source=source, reason=reason)
            received[source] += amount
        for source, amount in received.items():
            count("tabard_messages_received", amount, source=source)
        for code, amount in self._unavailable.items():
            count("tabard_requests_unavailable", amount, code=code)
        self._accepted.clear()
        self._rejected.clear()
        self._unavailable.clear()
