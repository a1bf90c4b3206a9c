"""A deliverer in a process of its own, to be killed: `python -m … URL FOLDER`.

It ends by itself when everything has come to its end.
"""

import asyncio
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tabard.clock import SystemClock
from tabard.delivery.run import Deps, run
from tabard.destinations.catalog.webhook import destination
from tabard.settings import Settings
from tabard.storage.sqlite.delivery import SqliteDeliveryStore
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook

NUMBER = 3_000
PEOPLE = 200
IN_FLIGHT_MAX = 100


def everything() -> MemoryMessages:
    """The messages, the same in every process."""
    return MemoryMessages().add(stored(offset, userId=f"u{offset % PEOPLE}") for offset in range(NUMBER))


def ended(store: SqliteDeliveryStore) -> int:
    """How many messages have come to their end, as committed."""
    return sum(book.terms.get("taken", 0) - book.terms.get("parked", 0) for book in store.books("d1"))


async def deliver(url: str, folder: Path) -> None:
    """Delivers everything to the URL."""
    store = SqliteDeliveryStore(folder / "delivery.db")
    stop = asyncio.Event()
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as storing:
        deps = Deps(
            settings=Settings(egress_private=True, in_flight_max=IN_FLIGHT_MAX, delivery_timeout_s=1.0),
            clock=SystemClock(),
            messages=everything(),
            workspace=MemoryWorkspace([webhook(url)]),
            registry={"webhook": destination},
            deliveries=store,
            reveal=lambda instance: instance.settings,
            draw=random.random,
            reader_executor=reading,
            store_executor=storing,
            status_file=folder / "deliverer.json",
            orders_folder=folder / "orders",
        )
        running = asyncio.create_task(run(deps, stop))
        while await asyncio.get_running_loop().run_in_executor(storing, ended, store) < NUMBER:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        stop.set()
        await running
    store.close()


if __name__ == "__main__":
    asyncio.run(deliver(sys.argv[1], Path(sys.argv[2])))
