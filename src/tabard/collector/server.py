"""The collector as a process: listens, sweeps, refreshes its sources, and at SIGTERM answers what it has and ends."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from tabard.collector.app import Door
from tabard.collector.connections import Connections
from tabard.collector.protocol import Connection
from tabard.settings import Settings
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import gauge

BACKLOG: Final = 4096
"""Connections that wait to be accepted: a client that opens 300 at once must not lose one (sdks.md §2)."""

TURN_S: Final = 0.5
"""How often deadlines are looked at and the workspace is asked for changes."""

DRAIN_S: Final = 10.0
"""How long requests that have begun may take to end after SIGTERM."""


async def serve(door: Door, sock: socket.socket, *, stop: asyncio.Event | None = None) -> None:
    """Serves on a bound socket until SIGTERM, SIGINT or `stop`, then answers what was asked and returns.

    Run it with `uvloop.run`. The log, the rejections and the workspace are the caller's to open and to close.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    settings = door.settings
    with _stopping_on_signals(loop, stop):
        door.bound_url = _url(sock, settings)
        shared = Connections(door.receive, door.respond, settings, door.addresses.is_near)
        door.batcher.start()
        server = await loop.create_server(
            lambda: Connection(shared),
            sock=sock,
            ssl=_tls(settings),
            ssl_handshake_timeout=settings.header_timeout_s if settings.tls_cert else None,
            backlog=BACKLOG,
        )
        logger().info("collector.listening", url=door.bound_url)
        turning = asyncio.create_task(_turn(door, shared))
        await stop.wait()
        server.close()
        shared.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shared.all_closed.wait(), DRAIN_S)
        turning.cancel()
        await door.batcher.stop()
        door.counts.flush()


@contextlib.contextmanager
def _stopping_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _turn(door: Door, shared: Connections) -> None:
    """What has to be done now and then."""
    while True:
        await asyncio.sleep(TURN_S)
        door.respond.tick()
        shared.sweep()
        door.counts.flush()
        gauge("tabard_collector_connections", len(shared.open), partition=door.partition)
        try:
            if await asyncio.to_thread(door.sources.refresh):
                logger().info("collector.sources.refreshed")
        except Exception as problem:  # noqa: BLE001 - the door goes on with the sources it knows
            logger().error("collector.sources.unreadable", problem=str(problem))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def _url(sock: socket.socket, settings: Settings) -> str:
    host, port = sock.getsockname()[:2]
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
