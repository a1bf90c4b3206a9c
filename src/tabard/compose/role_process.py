"""What every role does around its work: settings, logs, metrics, installation, heartbeat, the wish to stop."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.compose.role_status import BEAT_S, Heartbeat
from tabard.settings import Settings
from tabard.storage.sqlite.installation import Installation
from tabard.telemetry import logging, metrics


@dataclass(frozen=True, slots=True)
class RoleProcess:
    """This process as one role of an installation."""

    name: str
    settings: Settings
    installation: Installation
    clock: SystemClock

    @contextlib.contextmanager
    def announced(self, address: str = "") -> Iterator[Heartbeat]:
        """The role's heartbeat, from the moment it does its work; taken back at the end."""
        heartbeat = Heartbeat(self.installation.run, self.name, address)
        logging.logger().info("role.started", address=address)
        try:
            yield heartbeat
        finally:
            heartbeat.end()
            logging.logger().info("role.stopped")

    @contextlib.asynccontextmanager
    async def beating(self, address: str = "") -> AsyncIterator[None]:
        """As `announced`, beating while the event loop turns."""
        with self.announced(address) as heartbeat:
            task = asyncio.create_task(_beat(heartbeat))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def begin_role(settings: Settings, name: str) -> RoleProcess:
    """Sets this process up as a role; makes the installation where there is none."""
    logging.configure(as_json=settings.log_json, level=settings.log_level, role=name)
    clock = SystemClock()
    installation = open_or_make(Path(settings.data), os.environ, clock).installation
    metrics.share(installation.run / "metrics", name)
    return RoleProcess(name, settings, installation, clock)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set, for roles whose work is a loop of their own."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


async def _beat(heartbeat: Heartbeat) -> None:
    while True:
        heartbeat.beat()
        await asyncio.sleep(BEAT_S)
