"""A destination that fails as real ones do: a small HTTP server on loopback whose faults have set probabilities.

It is a double for the network only. What it took is in `taken`, in order, with the time; a fault that happens after
the server did its work (a late 200, half an answer) takes the message too, so duplicates can be told from losses.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec


class Fault(StrEnum):
    """How an answer goes wrong."""

    TOO_MANY = "429"
    SERVER_ERROR = "500"
    HANG = "hang"
    RESET = "reset"
    HALF = "half an answer"
    GARBAGE = "garbage"
    DRIP = "slow drip"
    LATE = "200 after a timeout"


TAKEN_ANYWAY: Final = frozenset({Fault.HALF, Fault.DRIP, Fault.LATE})
"""Faults after which the destination has the message, though the sender cannot know."""

_OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Taken:
    """A message the server took: its id, the time it was taken (s, monotonic), the fault that followed, if any."""

    message_id: str
    at_s: float
    fault: Fault | None
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class FaultyDestination:
    """The server; use it with `async with`. A fault's probability holds for each request.

    status: answered to every request where it is set (a server that is plainly down, or refuses). bad: an item test,
    whose matches always get `bad_status`. slow_s: how long hangs, drips and late answers last.
    """

    faults: dict[Fault, float] = field(default_factory=dict)
    seed: int = 0
    retry_after: str = "1"
    slow_s: float = 1.0
    status: int | None = None
    bad: Callable[[dict[str, Any]], bool] = lambda _message: False
    bad_status: int = 400
    taken: list[Taken] = field(default_factory=list)
    requests: int = 0
    url: str = ""

    async def __aenter__(self) -> "FaultyDestination":
        self._random = random.Random(self.seed)
        self._open: set[asyncio.Task[Any]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def message_ids(self) -> list[str]:
        """The ids of all messages taken, in order, each as often as it came. Credential tests carry none."""
        return [each.message_id for each in self.taken if each.message_id != "None"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._open.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            if task:
                self._open.discard(task)
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        body = msgspec.json.decode(await reader.readexactly(int(headers.get("content-length", "0"))))
        self.requests += 1
        items = body.get("batch", [body])
        if self.status is not None or any(self.bad(item) for item in items):
            return await _answer(writer, self.status or self.bad_status)
        fault = self._fault()
        if fault is None or fault in TAKEN_ANYWAY:
            now_s = time.monotonic()
            self.taken += [Taken(str(item.get("messageId")), now_s, fault, headers, item) for item in items]
        if fault is None:
            writer.write(_OK)
            await writer.drain()
            return True
        return await self._fail(fault, writer)

    def _fault(self) -> Fault | None:
        die = self._random.random()
        for fault, probability in self.faults.items():
            die -= probability
            if die < 0:
                return fault
        return None

    async def _fail(self, fault: Fault, writer: asyncio.StreamWriter) -> bool:
        if fault is Fault.TOO_MANY:
            return await _answer(writer, 429, f"retry-after: {self.retry_after}\r\n")
        if fault is Fault.SERVER_ERROR:
            return await _answer(writer, 500)
        if fault in (Fault.HANG, Fault.LATE):
            await asyncio.sleep(self.slow_s)
            return await _answer(writer, 200) if fault is Fault.LATE else False
        if fault is Fault.RESET:
            writer.transport.abort()
        elif fault is Fault.HALF:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        elif fault is Fault.GARBAGE:
            writer.write(b"\x00\xff garbage \r\n\r\n")
        else:
            for byte in _OK:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(self.slow_s / 10)
        return False


async def _answer(writer: asyncio.StreamWriter, status: int, headers: str = "") -> bool:
    writer.write(f"HTTP/1.1 {status} Status\r\n{headers}content-length: 0\r\n\r\n".encode())
    await writer.drain()
    return True
