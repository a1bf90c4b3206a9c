"""A webhook's other end in a thread of its own, for tests whose installation runs in other processes."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tabard.testing.faulty_destination import FaultyDestination


@contextlib.contextmanager
def receiving(destination: FaultyDestination | None = None) -> Iterator[FaultyDestination]:
    """A `FaultyDestination` that listens until the end; read `taken` once nothing more is sent."""
    served = destination or FaultyDestination()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(served.__aenter__(), loop).result(5)
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(served.__aexit__(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
