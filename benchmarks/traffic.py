"""A load generator and a counting receiver, small enough that their own CPU does not hide what is measured.

Both speak HTTP/1.1 on raw sockets and run as processes of their own, so that their CPU is reported apart.
"""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import msgspec

SAMPLE_S = 0.1
FILLER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"


@dataclass
class Series:
    """How many messages had been counted at which monotonic time, sampled ten times a second, and the CPU spent."""

    points: list[tuple[float, int]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    refused: int = 0


def message(number: int, people: int) -> dict[str, Any]:
    """A message of about 760 bytes: mostly tracks, every tenth an identify, of one of `people` people."""
    person = number * 7919 % people
    common = {
        "messageId": f"bench-{number:012d}",
        "userId": f"user-{person}",
        "anonymousId": f"00000000-0000-4000-8000-{person:012d}",
        "context": {
            "library": {"name": "benchmark", "version": "1.0.0"},
            "userAgent": FILLER,
            "locale": "en-GB",
            "page": {"path": "/shop/shoes", "url": "https://shop.example/shop/shoes?id=1", "title": "Shoes, shop"},
        },
        "integrations": {},
    }
    if number % 10 == 0:
        traits = {
            "firstName": "Ann",
            "lastName": f"Person {person}",
            "email": f"p{person}@example.com",
            "visits": number,
        }
        return common | {"type": "identify", "traits": traits | {"plan": "pro", "about": "x" * 160}}
    properties = {"revenue": 39.95, "currency": "EUR", "order": f"A-{number}", "note": "y" * 200}
    return common | {"type": "track", "event": "Order Completed", "properties": properties}


def request(path: str, body: bytes) -> bytes:
    """One request as bytes; its key is in the body."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def bodies(write_key: str, first: int, count: int, batch: int, people: int) -> Iterator[bytes]:
    """Requests that carry `count` messages from number `first` on, `batch` in each."""
    for start in range(first, first + count, batch):
        items = [message(number, people) for number in range(start, start + batch)]
        if batch == 1:
            yield request(f"/v1/{items[0]['type']}", msgspec.json.encode(items[0] | {"writeKey": write_key}))
        else:
            yield request("/v1/batch", msgspec.json.encode({"batch": items, "writeKey": write_key}))


@dataclass(frozen=True)
class Load:
    """What a generator sends: `rate_per_s` messages for `seconds`, in batches of `batch`, over `connections`."""

    host: str
    port: int
    write_key: str
    rate_per_s: int
    seconds: float
    batch: int
    connections: int
    people: int = 50_000


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bool:
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    await reader.readexactly(length)
    return head.startswith(b"HTTP/1.1 200")


async def _lane(load: Load, lane: int, series: Series, counted: list[int], begin: float) -> None:
    reader, writer = await asyncio.open_connection(load.host, load.port)
    share = int(load.rate_per_s * load.seconds / load.connections / load.batch) * load.batch
    pause_s = load.batch * load.connections / load.rate_per_s
    for turn, data in enumerate(bodies(load.write_key, lane * 100_000_000, share, load.batch, load.people)):
        await asyncio.sleep(max(0.0, begin + turn * pause_s - time.monotonic()))
        sent = time.perf_counter()
        if await _one(reader, writer, data):
            counted[0] += load.batch
        else:
            series.refused += load.batch
        if turn % 8 == 0:
            series.latencies_ms.append((time.perf_counter() - sent) * 1000)
    writer.close()


async def _generate(load: Load) -> Series:
    series, counted, begin = Series(), [0], time.monotonic()
    lanes = asyncio.gather(*(_lane(load, lane, series, counted, begin) for lane in range(load.connections)))
    while not lanes.done():
        await asyncio.wait([lanes], timeout=SAMPLE_S)
        series.points.append((time.monotonic(), counted[0]))
    await lanes
    series.cpu_s = time.process_time()
    return series


async def sent_at(load: Load) -> dict[str, float]:
    """Sends the load singly; when each message was acknowledged (s since the epoch), by its id."""
    acknowledged: dict[str, float] = {}
    begin = time.monotonic()

    async def lane(first: int) -> None:
        reader, writer = await asyncio.open_connection(load.host, load.port)
        for number in range(first, int(load.rate_per_s * load.seconds), load.connections):
            [data] = bodies(load.write_key, number, 1, 1, load.people)
            await asyncio.sleep(max(0.0, begin + number / load.rate_per_s - time.monotonic()))
            if await _one(reader, writer, data):
                acknowledged[str(message(number, load.people)["messageId"])] = time.time()
        writer.close()

    await asyncio.gather(*(lane(first) for first in range(load.connections)))
    return acknowledged


def _generator(load: Load, result: Connection) -> None:
    result.send(asyncio.run(_generate(load)))


def generate(load: Load) -> Series:
    """Sends the load from a process of its own and returns what it counted."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_generator, args=(load, theirs))
    process.start()
    series: Series = ours.recv()
    process.join()
    return series


class _Receiver(asyncio.Protocol):
    def __init__(self, counted: list[int]) -> None:
        self.counted = counted
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.counted[0] += self.buffer.count(b'"messageId":', end, end + 4 + length)
            del self.buffer[: end + 4 + length]
            assert self.transport is not None
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


async def _receive(pipe: Connection) -> None:
    counted, series = [0], Series()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Receiver(counted), "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    asked = ""
    while asked != "stop":
        await asyncio.sleep(SAMPLE_S)
        series.points.append((time.monotonic(), counted[0]))
        if pipe.poll():
            asked = pipe.recv()
            series.cpu_s = time.process_time()
            pipe.send(series if asked == "stop" else counted[0])


def _receiver(pipe: Connection) -> None:
    asyncio.run(_receive(pipe))


@contextlib.contextmanager
def receiving() -> Iterator[tuple[int, Connection]]:
    """A receiver that answers 200 at once: its port, and a pipe that answers "count" with the messages received so
    far, and "stop" with its `Series`."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_receiver, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.terminate()
        process.join()
