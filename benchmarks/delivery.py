"""Messages a second delivered from one process to a local receiver, with the CPU a delivery costs and the lag.

    python -m benchmarks.delivery [--singles N] [--batched N] [--lag-seconds S] [--outage-seconds S]

The receiver is a process of its own. Messages are read from a store that the resolver's code filled; the CPU is that of
reading, deciding, sending and keeping books, in one process with one deliverer. Each of ten destinations has a port of
its own. Bare aiohttp, posting the same bodies with as many connections, is the baseline. The lag is that of a whole
`tabard serve`: from the collector's 200 to the receipt; also with 20 destinations, of which the last is dead: it takes
connections and never answers.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
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
RUNS = 3
"""The best of so many counts: other work on the machine can only add to what a run took."""
DESTINATIONS = 10
MANY = 20
PACED_PER_S = 1_000
MANY_PACED_PER_S = 100
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
        servers = [await loop.create_server(_Receiver, "127.0.0.1", 0) for _ in range(MANY)]
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


@dataclass(frozen=True)
class Lag:
    """Milliseconds from the collector's 200 to the receipt."""

    p50: float
    p99: float
    deliveries: int


def lag(receiver: Receiver, urls: list[str], rate_per_s: int, seconds: float) -> Lag:
    """The lag of single calls at a steady rate to a webhook at each URL, as the receiver sees it."""
    webhooks = [
        {"name": f"hook-{number}", "destination": "webhook", "settings": {"url": url}}
        for number, url in enumerate(urls)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tabard.yaml"
        # JSON is YAML.
        file.write_bytes(msgspec.json.encode({"settings": {"egress_private": True}, "destinations": webhooks}))
        receiver.arrivals()
        with running(Path(folder) / "data", "--config", str(file)) as tabard:
            door = urlsplit(tabard.collector)
            load = Load(str(door.hostname), door.port or 80, tabard.write_key, rate_per_s, seconds, 1, CONNECTIONS)
            sent = uvloop.run(sent_at(load))
            time.sleep(1)
    lags = sorted((at - sent[id_]) * 1000 for at, id_ in receiver.arrivals() if id_ in sent)
    return Lag(lags[len(lags) // 2], lags[int(len(lags) * 0.99)], len(lags))


@contextlib.contextmanager
def dead() -> Iterator[str]:
    """The URL of a host that takes connections, as many as its queue holds, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook"


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Told:
    """What one load took."""

    rate: float
    cpu_us: float


def _told(name: str, number: int, run: Callable[[], tuple[float, float]]) -> Told:
    runs = [run() for _ in range(RUNS)]
    told = Told(number / min(wall_s for wall_s, _ in runs), min(cpu_s for _, cpu_s in runs) / number * 1e6)
    print(f"{name:38} {told.rate:9,.0f} deliveries/s {told.cpu_us:8.1f} µs CPU each")
    return told


def _lag_told(name: str, found: Lag) -> None:
    print(f"{name:38} p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms ({found.deliveries:,} deliveries)")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--singles", type=int, default=12_000)
    parser.add_argument("--batched", type=int, default=60_000)
    parser.add_argument("--lag-seconds", type=float, default=5.0)
    parser.add_argument("--outage-seconds", type=float, default=20.0)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, batches of {BATCH}")
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        place = Path(folder)
        bare = Bench(stored(given.singles, _made(place / "bare")), receiver.urls, place)
        _told("bare aiohttp, singles", given.singles, lambda: uvloop.run(bare.bare(given.singles)))

        def told(name: str, number: int, destinations: int, batch_size: int) -> Told:
            bench = Bench(stored(number, _made(place / name)), receiver.urls, place)
            run = partial(bench.throughput, number, destinations, batch_size)
            return _told(name, number * destinations, lambda: uvloop.run(run()))

        single = told("1 destination, singles", given.singles, 1, 1)
        singles_ten = told(f"{DESTINATIONS} destinations, singles", given.singles // 4, DESTINATIONS, 1)
        batch = told("1 destination, batches", given.batched, 1, BATCH)
        batches_ten = told(f"{DESTINATIONS} destinations, batches", given.batched // 4, DESTINATIONS, BATCH)
        paced = lag(receiver, receiver.urls[:1], PACED_PER_S, given.lag_seconds)
        _lag_told(f"lag at {PACED_PER_S:,} messages/s", paced)
        alive = lag(receiver, receiver.urls, MANY_PACED_PER_S, given.outage_seconds)
        _lag_told(f"lag of {MANY} at {MANY_PACED_PER_S} messages/s", alive)
        with dead() as url:
            beside = lag(receiver, [*receiver.urls[:-1], url], MANY_PACED_PER_S, given.outage_seconds)
        _lag_told(f"lag of {MANY - 1} beside a dead one", beside)
        check("single requests a second to one destination", single.rate, 4_000)
        check("messages a second in batches to one destination", batch.rate, 20_000)
        check(
            "CPU of ten destinations x one, singles", singles_ten.cpu_us * DESTINATIONS / single.cpu_us, 4, at_most=True
        )
        check(
            "CPU of ten destinations x one, batches", batches_ten.cpu_us * DESTINATIONS / batch.cpu_us, 4, at_most=True
        )
        check("median lag at 1,000 messages a second, ms", paced.p50, 150, at_most=True)
        check("lag p99 beside a dead destination, ms more", beside.p99 - alive.p99, 150, at_most=True)


if __name__ == "__main__":
    main()
