"""The client for asyncio: the same calls, awaited."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

from tabard_client.client import Client
from tabard_client.drops import Counts
from tabard_client.options import ClientOptions

# asyncio.run waits at its end for every thread that still waits: none may do so for long.
_SLICE_S = 0.25

P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate[Client, P], R]
AsyncMethod = Callable[Concatenate["AsyncClient", P], Awaitable[R]]


def _call(method: Method[P, R]) -> AsyncMethod[P, R]:
    """A call: one write(), made here; in a thread only where it waits for the disk or the network."""

    @wraps(method)
    async def run(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.calls_wait:
            return await asyncio.to_thread(method, self.client, *args, **kwargs)
        return method(self.client, *args, **kwargs)

    return run


def _wait(method: Method[P, R]) -> AsyncMethod[P, R]:
    """What waits for the network: always in a thread."""

    @wraps(method)
    async def run(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(method, self.client, *args, **kwargs)

    return run


class AsyncClient:
    """`async with AsyncClient(write_key, host) as client: await client.track(…)`. Arguments as `Client`'s.

    The event loop never waits for the network or an fsync. Raises ValueError as `Client` does.
    """

    def __init__(self, write_key: str | None = None, host: str | None = None, **options: Unpack[ClientOptions]) -> None:
        self.client = Client(write_key, host, **options)
        self.calls_wait = self.client.delivers_within_calls or bool(options.get("durable"))

    identify = _call(Client.identify)
    track = _call(Client.track)
    page = _call(Client.page)
    screen = _call(Client.screen)
    group = _call(Client.group)
    alias = _call(Client.alias)
    join = _wait(Client.join)

    async def flush(self, timeout: float | None = 10.0) -> int:  # noqa: ASYNC109 - as `Client.flush`
        """See `Client.flush`. When it is cancelled, no thread goes on waiting for the server."""
        if self.client.delivers_within_calls:
            return await asyncio.to_thread(self.client.flush, timeout)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            began = time.monotonic()
            slice_s = min(_SLICE_S, max(0.0, deadline - began))
            left = await asyncio.to_thread(self.client.flush, slice_s)
            now = time.monotonic()
            # Back before its time with messages left: nobody sends them, and waiting longer would not help.
            if not left or now >= deadline or now - began < slice_s:
                return left

    async def shutdown(self, timeout: float | None = 10.0) -> int:  # noqa: ASYNC109
        """See `Client.shutdown`."""
        left = await self.flush(timeout)
        await self.join(timeout)
        return left

    def counts(self) -> Counts:
        """The books; see `Client.counts`."""
        return self.client.counts()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()
