"""What the connections of a process share: the door, how many there may be, the deadlines, the end."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from tabard.collector.request import Reply, Request
from tabard.collector.respond import Responder
from tabard.settings import Settings
from tabard.telemetry.logging import logger

_FILES_KEPT: Final = 128
_WIRE_SLACK_BYTES: Final = 1024
_WIRE_FACTOR: Final = 8


class OneConnection(Protocol):
    """What is asked of a connection here."""

    peer: str
    deadline: float

    def expire(self) -> None:
        """The deadline is over."""

    def end_soon(self) -> None:
        """The collector stops."""


class Connections:
    """What the connections of a process share: the door, the limits, the counts, the clock of their deadlines."""

    def __init__(
        self,
        receive: Callable[[Request, Reply], None],
        respond: Responder,
        settings: Settings,
        is_exempt: Callable[[str], bool],
    ) -> None:
        """`is_exempt` tells the addresses, such as proxies, whose connections are not counted by address."""
        self.receive = receive
        self.respond = respond
        self.settings = settings
        self.is_exempt = is_exempt
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self.open: set[OneConnection] = set()
        self.per_address: Counter[str] = Counter()
        self.held_bytes = 0
        self.draining = False
        self.all_closed = asyncio.Event()
        self.connections_max = _connections_max(settings)
        self.body_bytes_max = settings.batch_bytes_max + _WIRE_SLACK_BYTES
        self.wire_bytes_max = _WIRE_FACTOR * self.body_bytes_max

    def admit(self, connection: OneConnection) -> bool:
        """Counts a connection in; whether there is room for it."""
        self.open.add(connection)
        self.per_address[connection.peer] += 1
        return len(self.open) <= self.connections_max and (
            self.per_address[connection.peer] <= self.settings.connections_per_address_max
            or self.is_exempt(connection.peer)
        )

    def dismiss(self, connection: OneConnection) -> None:
        """Counts a connection out."""
        self.open.discard(connection)
        self.per_address[connection.peer] -= 1
        if not self.per_address[connection.peer]:
            del self.per_address[connection.peer]
        if self.draining and not self.open:
            self.all_closed.set()

    def sweep(self) -> None:
        """Ends the connections whose deadline is over. Called once a second: cheaper than a timer a request."""
        now = self.now()
        for connection in [one for one in self.open if one.deadline < now]:
            connection.expire()

    def drain(self) -> None:
        """Closes the idle connections now and each other one after its answer; `all_closed` tells when."""
        self.draining = True
        for connection in list(self.open):
            connection.end_soon()
        if not self.open:
            self.all_closed.set()


def _connections_max(settings: Settings) -> int:
    """What the settings ask for, or less where the system gives fewer files: the log must always find one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections_max + _FILES_KEPT
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        logger().warning("collector.connections.limited", connections=soft - _FILES_KEPT, files=soft)
    return min(settings.connections_max, soft - _FILES_KEPT)
