"""Messages a second delivered from one process to a local receiver, with the CPU a delivery costs and the lag.

    python -m benchmarks.delivery [--singles N] [--batched N] [--lag-seconds S]

The receiver is a process of its own. Messages are read from a store that the resolver's code filled; the CPU is that of
reading, deciding, sending and keeping books, in one process with one deliverer. Each of ten destinations has a port of
its own. Bare aiohttp, posting the same bodies with as many connections, is the baseline. The lag is that of a whole
`tabard serve`: from the collector's 200 to the receipt.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import uvloop

from benchmarks.gates import check
from benchmarks.resolver import Run
from benchmarks.traffic import Load, sent_at
from tabard.settings import Settings
from tabard.storage.interface import Consumed
from tabard.storage.sqlite.store_reader import SqliteMessageReader
from tabard.testing.installation import running
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryWorkspace, webhook

BATCH = 500
DESTINATIONS = 10
PACED_PER_S = 1_000
CONNECTIONS = 64
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
        servers = [await loop.create_server(_Receiver, "127.0.0.1", 0) for _ in range(DESTINATIONS)]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        while await loop.run_in_executor(None, pipe.recv) == "arrivals":
            pipe.send(_Receiver.arrivals[:])
            _Receiver.arrivals.clear()

    uvloop.run(serve())


class Receiver:
    """The receiving process. urls: where it listens, one a destination."""

    def __enter__(self) -> "Receiver":
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_receive, args=(theirs,), daemon=True)
        self._process.start()
        self.urls = [f"http://127.0.0.1:{port}/hook" for port in self._pipe.recv()]
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("end")
        self._process.join(5)

    def arrivals(self) -> list[tuple[float, str]]:
        """Arrivals since the last question: time (s since the epoch) and message id."""
        self._pipe.send("arrivals")
        found: list[tuple[float, str]] = self._pipe.recv()
        return found


async def _until(running: Running, destinations: int, number: int) -> None:
    consumers = [running.deliverer.outlets[f"d{index}"].served[0].consumer for index in range(destinations)]
    while any(sum(each.vector.values()) < number for each in consumers):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Bench:
    """Where the messages are, and who receives them."""

    store: Path
    urls: list[str]
    folder: Path

    async def throughput(self, number: int, destinations: int, batch_size: int) -> tuple[float, float]:
        """Seconds of wall and CPU for that many messages to that many destinations."""
        instances = [
            webhook(url, id=f"d{index}", name=f"h{index}", batch_size=batch_size)
            for index, url in enumerate(self.urls[:destinations])
        ]
        cpu, began = _cpu(), time.perf_counter()
        place = Path(tempfile.mkdtemp(dir=self.folder))
        with contextlib.closing(SqliteMessageReader(self.store)) as messages:
            async with delivering(place, messages, MemoryWorkspace(instances), settings=SETTINGS) as running:
                await _until(running, destinations, number)
                return time.perf_counter() - began, _cpu() - cpu

    async def bare(self, number: int) -> tuple[float, float]:
        """Seconds of wall and CPU of aiohttp alone, posting the same bodies."""
        with contextlib.closing(SqliteMessageReader(self.store)) as messages:
            bodies = iter([message.body for message in messages.read(1, 0, number)])
        cpu, began = _cpu(), time.perf_counter()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

            async def post() -> None:
                for body in bodies:
                    headers = {"content-type": "application/json"}
                    async with session.post(self.urls[0], data=body, headers=headers) as answer:
                        await answer.read()

            await asyncio.gather(*(post() for _ in range(CONNECTIONS)))
        return time.perf_counter() - began, _cpu() - cpu


def stored(number: int, folder: Path) -> Path:
    """A store with that many messages of an invented population, each about 700 bytes."""
    run = Run(folder, projector=False)
    run.grow(number)
    # The partition was found at its end: without that its last message might not be the last of its time.
    run.store.apply([], [Consumed(1, number, number, 0, polled_at=1 << 60)])
    run.store.close()
    return run.path


def lag_ms(receiver: Receiver, seconds: float, folder: Path) -> list[float]:
    """Milliseconds from the collector's 200 to the receipt, for single calls at a steady rate; sorted."""
    with running(folder / "installation", environ={"TABARD_EGRESS_PRIVATE": "true"}) as tabard:
        tabard.tabard("destination", "add", "webhook", "receiver", "--set", f"url={receiver.urls[0]}")
        door = urlsplit(tabard.collector)
        load = Load(str(door.hostname), door.port or 80, tabard.write_key, PACED_PER_S, seconds, 1, CONNECTIONS)
        sent = uvloop.run(sent_at(load))
        time.sleep(1)
    return sorted((at - sent[id_]) * 1000 for at, id_ in receiver.arrivals() if id_ in sent)


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


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--singles", type=int, default=12_000)
    parser.add_argument("--batched", type=int, default=60_000)
    parser.add_argument("--lag-seconds", type=float, default=5.0)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, batches of {BATCH}")
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        place = Path(folder)
        singles, batched = given.singles, given.batched
        short = Bench(stored(singles, _made(place / "short")), receiver.urls, place)
        long = Bench(stored(batched, _made(place / "long")), receiver.urls, place)

        def run(bench: Bench, number: int, destinations: int, batch_size: int) -> Callable[[], tuple[float, float]]:
            return lambda: uvloop.run(bench.throughput(number, destinations, batch_size))

        _told("bare aiohttp, singles", singles, lambda: uvloop.run(short.bare(singles)))
        single = _told("1 destination, singles", singles, run(short, singles, 1, 1))
        singles_ten = _told(
            f"{DESTINATIONS} destinations, singles", singles * DESTINATIONS, run(short, singles, DESTINATIONS, 1)
        )
        batch = _told("1 destination, batches", batched, run(long, batched, 1, BATCH))
        batches_ten = _told(
            f"{DESTINATIONS} destinations, batches", batched * DESTINATIONS, run(long, batched, DESTINATIONS, BATCH)
        )
        receiver.arrivals()
        lags = lag_ms(receiver, given.lag_seconds, place)
        p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
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
