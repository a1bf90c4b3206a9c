"""Host names as addresses, looked up once for all destinations of a process."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any, Final

KEPT_S: Final = 30.0
"""How long an answer is used; a failed look-up is not kept."""
NAMES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address to connect to. place: what a socket of that family connects to."""

    host: str
    family: int
    place: tuple[Any, ...]


class Names:
    """The look-ups of one event loop."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[float, asyncio.Task[tuple[Address, ...]]]] = {}

    async def addresses(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host, best first, at least one. Raises OSError where there is none."""
        now_s, key = asyncio.get_running_loop().time(), (host, port)
        asked_s, asking = self._found.get(key, (0.0, None))
        if asking is None or now_s - asked_s > KEPT_S or _has_failed(asking):
            if len(self._found) >= NAMES_MAX:
                self._found.clear()
            asking = asyncio.create_task(_looked_up(host, port))
            self._found[key] = (now_s, asking)
        # Whoever gives up waiting must not take the answer from the others.
        return await asyncio.shield(asking)


def _has_failed(asking: "asyncio.Task[Any]") -> bool:
    return asking.done() and (asking.cancelled() or asking.exception() is not None)


async def _looked_up(host: str, port: int) -> tuple[Address, ...]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(Address(str(place[0]), family, place) for family, _, _, _, place in found)
