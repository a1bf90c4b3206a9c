"""The client for asyncio: the same calls, awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

from tabard_client.client import Client
from tabard_client.drops import Counts
from tabard_client.options import ClientOptions

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
        self.calls_wait = bool(options.get("sync_mode") or options.get("durable"))

    identify = _call(Client.identify)
    track = _call(Client.track)
    page = _call(Client.page)
    screen = _call(Client.screen)
    group = _call(Client.group)
    alias = _call(Client.alias)
    flush = _wait(Client.flush)
    join = _wait(Client.join)
    shutdown = _wait(Client.shutdown)

    def counts(self) -> Counts:
        """The books; see `Client.counts`."""
        return self.client.counts()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()
