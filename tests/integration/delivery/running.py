"""A deliverer in the test's own process: real SQLite, real HTTP, messages in memory."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from tabard.clock import Clock, SystemClock
from tabard.delivery.deliverer import Deliverer, Deps
from tabard.delivery.duties import Bookkeeping, apply_orders
from tabard.delivery.erasures import Erasures
from tabard.destinations.catalog.webhook import destination
from tabard.destinations.kit.destination import Destination
from tabard.settings import Settings
from tabard.storage.interface import MessageReader
from tabard.storage.sqlite.delivery import SqliteDeliveryReader, SqliteDeliveryStore
from tests.integration.delivery.stored import MemoryWorkspace

LOOPBACK = Settings(egress_private=True, delivery_timeout_s=0.5)


class Running:
    """A deliverer that was started, with what surrounds it. `store` is asked in its thread only, `reader` by tests."""

    def __init__(self, deliverer: Deliverer, store: SqliteDeliveryStore, reader: SqliteDeliveryReader) -> None:
        self.deliverer = deliverer
        self.store = store
        self.reader = reader
        self.bookkeeping = Bookkeeping(deliverer)
        self.erasures = Erasures(deliverer, asyncio.Event())

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Waits until the condition holds; fails with a timeout otherwise."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self.turn()
                await asyncio.sleep(0.01)

    async def turn(self) -> None:
        """What `run` does twice a second."""
        await self.deliverer.reconfigure()
        await apply_orders(self.deliverer)
        await self.deliverer.end_replays()
        await self.erasures.tell()

    async def terms(self, consumer: str = "d1") -> dict[str, int]:
        """The books as committed now, summed over the sources, without what is 0."""
        await self.deliverer.commit()
        total: dict[str, int] = {}
        for book in await self.deliverer.in_store(self.store.books, consumer):
            for term, number in book.terms.items():
                total[term] = total.get(term, 0) + number
        return {term: number for term, number in total.items() if number}

    async def until_ended(self, number: int, consumer: str = "d1", timeout_s: float = 10.0) -> dict[str, int]:
        """Waits until that many messages have come to an end, and gives the books."""
        async with asyncio.timeout(timeout_s):
            while True:
                terms = await self.terms(consumer)
                if terms.get("taken", 0) - terms.get("parked", 0) >= number:
                    return terms
                await self.turn()
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def delivering(
    folder: Path,
    messages: MessageReader,
    workspace: MemoryWorkspace,
    *,
    settings: Settings = LOOPBACK,
    clock: Clock | None = None,
    seed: int = 0,
    registry: Mapping[str, Destination] = MappingProxyType({"webhook": destination}),
) -> AsyncIterator[Running]:
    """A deliverer over these messages and instances, its state in `folder`."""
    store = SqliteDeliveryStore(folder / "delivery.db")
    reader = SqliteDeliveryReader(folder / "delivery.db")
    with ThreadPoolExecutor(1) as reader_thread, ThreadPoolExecutor(1) as store_thread:
        deliverer = Deliverer(
            Deps(
                settings=settings,
                clock=clock or SystemClock(),
                messages=messages,
                workspace=workspace,
                registry=registry,
                deliveries=store,
                reveal=lambda instance: instance.settings,
                draw=random.Random(seed).random,
                reader_executor=reader_thread,
                store_executor=store_thread,
                status_file=folder / "deliverer.json",
                orders_folder=folder / "orders",
            )
        )
        await deliverer.start()
        try:
            yield Running(deliverer, store, reader)
        finally:
            await deliverer.close()
            reader.close()
            store.close()
