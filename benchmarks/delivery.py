"""Messages a second delivered from one process to a local receiver, with the CPU a delivery costs and the lag.

    python -m benchmarks.delivery [--singles N] [--batched N]

The receiver is a process of its own; the deliverer's CPU includes its threads and delivery.db on disk. Messages come
from memory, so that delivery alone is measured; `benchmarks.end_to_end` measures the whole road. Bare aiohttp, posting
the same bodies with as many connections, is the baseline.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import msgspec
import uvloop

from benchmarks.gates import check
from tabard.message.types import StoredMessage
from tabard.settings import Settings
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook

BATCH = 500
DESTINATIONS = 10
PACED_PER_S = 1_000
SETTINGS = Settings(egress_private=True)
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class _Receiver(asyncio.Protocol):
    """Answers 200 to each request, counting by Content-Length; notes arrival times of single messages."""

    arrivals: list[tuple[float, str]] = []  # noqa: RUF012 - one receiver a process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.index(b"content-length:") + 15
            length = int(head[at : (head + b"\r").index(b"\r", at)])
            if len(self._buffer) < end + 4 + length:
                return
            found = self._buffer.find(b'"messageId":"', end)
            if 0 <= found < end + 4 + length:
                message_id = self._buffer[found + 13 : self._buffer.index(b'"', found + 13)].decode()
                self.arrivals.append((time.time(), message_id))
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(_OK)  # type: ignore[attr-defined]


def _receive(pipe: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Receiver, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while await loop.run_in_executor(None, pipe.recv) == "arrivals":
            pipe.send(_Receiver.arrivals[:])
            _Receiver.arrivals.clear()

    uvloop.run(serve())


class Receiver:
    """The receiving process."""

    def __enter__(self) -> "Receiver":
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_receive, args=(theirs,), daemon=True)
        self._process.start()
        self.url = f"http://127.0.0.1:{self._pipe.recv()}/hook"
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("end")
        self._process.join(5)

    def arrivals(self) -> list[tuple[float, str]]:
        """Arrivals since the last question: time (s since the epoch) and message id."""
        self._pipe.send("arrivals")
        found: list[tuple[float, str]] = self._pipe.recv()
        return found


def made(number: int, start: int = 0) -> list[StoredMessage]:
    """Identify calls of about 700 bytes, each of its own person."""
    traits = {f"trait{index}": f"value of trait {index}" for index in range(10)}
    context = {"library": {"name": "bench", "version": "1"}, "userAgent": "Mozilla/5.0 (X11; Linux x86_64)"}
    return [
        stored(
            offset, type="identify", event=None, traits=traits, context=context, timestamp="2026-01-01T00:00:00.000Z"
        )
        for offset in range(start, start + number)
    ]


async def _until(running: Running, destinations: int, number: int) -> None:
    consumers = [running.deliverer.outlets[f"d{index}"].served[0].consumer for index in range(destinations)]
    while any(sum(each.vector.values()) < number for each in consumers):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def throughput(url: str, number: int, destinations: int, batch_size: int, folder: Path) -> tuple[float, float]:
    """Seconds of wall and CPU for that many messages to that many destinations."""
    messages = MemoryMessages()
    instances = [webhook(url, id=f"d{index}", name=f"h{index}", batch_size=batch_size) for index in range(destinations)]
    batch = made(number)
    async with delivering(folder, messages, MemoryWorkspace(instances), settings=SETTINGS) as running:
        cpu, began = _cpu(), time.perf_counter()
        messages.add(batch)
        await _until(running, destinations, number)
        return time.perf_counter() - began, _cpu() - cpu


async def bare(url: str, number: int) -> tuple[float, float]:
    """Seconds of wall and CPU of aiohttp alone, posting the same bodies."""
    bodies = iter([message.body for message in made(number)])
    cpu, began = _cpu(), time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def post() -> None:
            for body in bodies:
                async with session.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                    await answer.read()

        await asyncio.gather(*(post() for _ in range(64)))
    return time.perf_counter() - began, _cpu() - cpu


async def lag(receiver: Receiver, seconds: float, folder: Path) -> list[float]:
    """Milliseconds from a message's appearance in the store to its arrival, at a steady rate; sorted."""
    messages, appeared = MemoryMessages(), {}
    async with delivering(folder, messages, MemoryWorkspace([webhook(receiver.url)]), settings=SETTINGS):
        ready = iter(made(int(seconds * PACED_PER_S)))
        began = time.perf_counter()
        for index, message in enumerate(ready):
            await asyncio.sleep(max(0.0, began + index / PACED_PER_S - time.perf_counter()))
            appeared[message.message_id] = time.time()
            messages.add([message])
        await asyncio.sleep(0.5)
    return sorted((at - appeared[id_]) * 1000 for at, id_ in receiver.arrivals() if id_ in appeared)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Told:
    """What one load took."""

    rate: float
    cpu_us: float


def _told(name: str, number: int, run: Callable[[], tuple[float, float]]) -> Told:
    wall_s, cpu_s = run()
    told = Told(number / wall_s, cpu_s / number * 1e6)
    print(f"{name:38} {told.rate:9,.0f} deliveries/s {told.cpu_us:8.1f} µs CPU each")
    return told


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--singles", type=int, default=12_000)
    parser.add_argument("--batched", type=int, default=60_000)
    parser.add_argument("--lag-seconds", type=float, default=5.0)
    given = parser.parse_args()
    size = len(msgspec.json.encode(msgspec.json.decode(made(1)[0].body)))
    print(f"{os.cpu_count()} cores, bodies of {size} bytes, batches of {BATCH}")
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:

        def run(number: int, destinations: int, batch_size: int) -> Callable[[], tuple[float, float]]:
            place = Path(tempfile.mkdtemp(dir=folder))
            return lambda: uvloop.run(throughput(receiver.url, number, destinations, batch_size, place))

        singles, batched = given.singles, given.batched
        _told("bare aiohttp, singles", singles, lambda: uvloop.run(bare(receiver.url, singles)))
        single = _told("1 destination, singles", singles, run(singles, 1, 1))
        few = singles // 4
        singles_ten = _told(f"{DESTINATIONS} destinations, singles", few * DESTINATIONS, run(few, DESTINATIONS, 1))
        batch = _told("1 destination, batches", batched, run(batched, 1, BATCH))
        few = batched // 4
        batches_ten = _told(f"{DESTINATIONS} destinations, batches", few * DESTINATIONS, run(few, DESTINATIONS, BATCH))
        receiver.arrivals()
        lags = uvloop.run(lag(receiver, given.lag_seconds, Path(tempfile.mkdtemp(dir=folder))))
        p50, p99 = statistics.median(lags), lags[int(len(lags) * 0.99)]
        print(f"{f'lag at {PACED_PER_S:,} messages/s':38} p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(lags):,} messages)")
        check("single requests a second to one destination", single.rate, 4_000)
        check("messages a second in batches to one destination", batch.rate, 20_000)
        check(
            "CPU of ten destinations x one, singles", singles_ten.cpu_us * DESTINATIONS / single.cpu_us, 4, at_most=True
        )
        check(
            "CPU of ten destinations x one, batches", batches_ten.cpu_us * DESTINATIONS / batch.cpu_us, 4, at_most=True
        )
        check("median lag at 1,000 messages a second, ms", p50, 150, at_most=True)


if __name__ == "__main__":
    main()
