"""The deliverer role: `run` serves until it is told to stop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tabard.delivery.deliverer import Deliverer, Deps
from tabard.delivery.duties import Bookkeeping, Forgetting, apply_orders, prune, write_status
from tabard.delivery.erasures import Erasures
from tabard.telemetry.logging import logger

__all__ = ["Deps", "run"]

CONFIG_S: Final = 0.5
STATUS_S: Final = 1.0
PRUNE_S: Final = 60.0
CHECK_S: Final = 300.0
FORGET_S: Final = 2.0
TELL_S: Final = 2.0
COUNT_S: Final = 5.0


async def run(deps: Deps, stop: asyncio.Event) -> None:
    """Delivers until `stop` is set; then lets what is under way finish, and commits."""
    deliverer = Deliverer(deps, stop)
    erasures = Erasures(deliverer, stop)
    bookkeeping = Bookkeeping(deliverer)
    forgetting = Forgetting(deliverer)
    await deliverer.start()

    async def take_up() -> None:
        await deliverer.reconfigure()
        await apply_orders(deliverer)
        await deliverer.end_replays()

    async def tell() -> None:
        write_status(deliverer, bookkeeping)

    duties = [
        asyncio.create_task(_every(CONFIG_S, take_up, stop)),
        asyncio.create_task(_every(STATUS_S, tell, stop)),
        asyncio.create_task(_every(PRUNE_S, lambda: prune(deliverer), stop)),
        asyncio.create_task(_every(FORGET_S, forgetting.turn, stop)),
        asyncio.create_task(_every(TELL_S, erasures.tell, stop)),
        asyncio.create_task(_every(COUNT_S, bookkeeping.count_before_start, stop)),
        asyncio.create_task(_every(CHECK_S, bookkeeping.check, stop)),
    ]
    await asyncio.gather(*duties)
    await deliverer.close()
    await tell()


async def _every(period_s: float, duty: Callable[[], Awaitable[Any]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await duty()
        except Exception as problem:  # noqa: BLE001 - a duty that fails is told and tried again; delivery goes on
            logger().error("delivery.duty.failed", problem=f"{type(problem).__name__}: {problem}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), period_s)
