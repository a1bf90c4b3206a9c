"""What every role does around its work: settings, logs, metrics, installation, heartbeat, the wish to stop."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.compose.role_status import BEAT_S, Heartbeat
from tabard.settings import Settings
from tabard.storage.sqlite.installation import Installation
from tabard.telemetry import logging, metrics

SUPERVISED: Final = "SUPERVISED_BY_TABARD"
"""Environment variable of a role whose standard input is a pipe that its supervisor holds open."""

_DRAIN_S: Final = 5.0
"""What draining takes beside requests to destinations."""


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
    if os.environ.pop(SUPERVISED, ""):
        threading.Thread(target=_end_with_supervisor, args=(drain_s(settings),), name="supervisor", daemon=True).start()
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


def drain_s(settings: Settings) -> float:
    """How long a role may take to drain before it is killed: an erasure that is under way, then deliveries."""
    return max(15.0, 2 * settings.delivery_timeout_s + _DRAIN_S)


def _end_with_supervisor(grace_s: float) -> None:
    """Ends this process when its supervisor is gone, however that ended: then nobody holds the pipe any more."""
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os.kill(os.getpid(), signal.SIGKILL)


async def _beat(heartbeat: Heartbeat) -> None:
    while True:
        heartbeat.beat()
        await asyncio.sleep(BEAT_S)
