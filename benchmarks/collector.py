"""The door, side by side in one run: bare ASGI on uvicorn, nginx where it is installed, and the collector with fsync.

One core for the server, the other for the generator, whose CPU is listed apart. Run: `python -m benchmarks.collector`.
"""

import argparse
import base64
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop

from benchmarks.gates import check
from benchmarks.load import Result, drive
from tabard.clock import SystemClock
from tabard.collector.app import Door
from tabard.collector.rejections import SqliteRejections
from tabard.collector.server import serve
from tabard.log.drivers.sqlite import LogOptions, SqliteLogWriter
from tabard.settings import Settings
from tabard.workspace.types import Source

WRITE_KEY = "benchmark"
MESSAGE_BYTES = 760
BATCH_ITEMS = 100
CONNECTIONS = 64
BATCH_CONNECTIONS = 16
VARIANTS = 256
Run = Callable[[socket.socket, Path], None]
_TICKS = os.sysconf("SC_CLK_TCK")


class OneSource:
    """What a collector reads of a workspace with one server source."""

    def version(self) -> int:
        return 1

    def sources(self) -> list[Source]:
        return [Source(id="s", name="benchmark", write_keys={WRITE_KEY: "active"})]


def message() -> bytes:
    """An identify of the usual size, as a server library sends it."""
    call = {
        "type": "identify",
        "userId": uuid.uuid4().hex,
        "messageId": str(uuid.uuid4()),
        "timestamp": "2026-11-23T20:00:58.889+00:00",
        "traits": {"firstName": "Cool", "lastName": "Person", "email": "cool.person@example.com", "plan": "pro"},
        "context": {
            "library": {"name": "analytics-python", "version": "2.4.0"},
            "page": {"url": "https://shop.example.com/a?b=c", "path": "/a"},
        },
        "integrations": {"All": True},
    }
    missing = MESSAGE_BYTES - len(json.dumps(call)) - len(', "note": ""')
    call["note"] = "x" * missing
    return json.dumps(call).encode()


def request(path: str, body: bytes) -> bytes:
    """A POST as the published clients write it."""
    key = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: collector.example\r\nUser-Agent: analytics-python/2.4.0\r\n"
        f"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def singles() -> list[bytes]:
    """Single calls, each with a messageId of its own."""
    return [request("/v1/identify", message()) for _ in range(VARIANTS)]


def batches() -> list[bytes]:
    """Batches of the usual size."""
    return [
        request("/v1/batch", b'{"batch":[' + b",".join(message() for _ in range(BATCH_ITEMS)) + b"]}") for _ in range(8)
    ]


def run_bare(sock: socket.socket, _folder: Path) -> None:
    """uvicorn with uvloop and httptools, and an application that reads the body and answers 200."""

    async def app(_scope, receive, send):  # type: ignore[no-untyped-def]
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-type", b"application/json"), (b"content-length", b"16"),
        ]})  # fmt: skip
        await send({"type": "http.response.body", "body": b'{"success":true}'})

    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_config=None, ws="none"
    )
    uvloop.run(uvicorn.Server(config).serve(sockets=[sock]))


def run_nginx(sock: socket.socket, folder: Path) -> None:
    """nginx with one worker that answers 200 to everything: the floor of what HTTP costs here."""
    port = sock.getsockname()[1]
    sock.close()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
        events {{ worker_connections 1024; }}
        http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body;
          proxy_temp_path {folder}/a; fastcgi_temp_path {folder}/b; uwsgi_temp_path {folder}/c;
          scgi_temp_path {folder}/d;
          server {{ listen 127.0.0.1:{port}; default_type application/json;
            location / {{ return 200 '{{"success":true}}'; }} }} }}""",
        "utf-8",
    )
    os.execvp("nginx", ["nginx", "-c", str(configuration), "-e", str(folder / "error")])


def run_door(sock: socket.socket, folder: Path) -> None:
    """The collector on the embedded log, every answer after its fsync."""
    settings = Settings(disk_floor_bytes=1)
    (folder / "log").mkdir()
    log = SqliteLogWriter(folder / "log", 1, LogOptions(disk_floor_bytes=1))
    door = Door(
        settings=settings,
        clock=SystemClock(),
        log=log,
        workspace=OneSource(),
        rejections=SqliteRejections(folder / "log" / "1", settings, SystemClock()),
    )
    try:
        uvloop.run(serve(door, sock))
    finally:
        log.close()


@contextmanager
def server(run: Run) -> Iterator[tuple[tuple[str, int], int]]:
    """A server process on the first core; gives its address and its process id."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(target=_pinned, args=(run, sock, Path(folder)))
        process.start()
        address = sock.getsockname()
        sock.close()
        _until_listening(address)
        try:
            yield address, process.pid or 0
        finally:
            process.terminate()
            process.join(15)


def _pinned(run: Run, sock: socket.socket, folder: Path) -> None:
    os.sched_setaffinity(0, {0})
    run(sock, folder)


def _until_listening(address: tuple[str, int]) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(address, 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mib(pid: int) -> float:
    """The most memory a process had resident."""
    line = next(row for row in Path(f"/proc/{pid}/status").read_text("ascii").splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


class Row:
    """The runs of one server with one kind of request."""

    def __init__(self, name: str, messages_each: int) -> None:
        self.name = name
        self.messages_each = messages_each
        self.results: list[Result] = []
        self.cpu_us: list[float] = []
        self.peak_mib = 0.0

    def add(self, result: Result, cpu: float, peak: float) -> None:
        self.results.append(result)
        self.cpu_us.append(cpu / (result.requests * self.messages_each) * 1e6)
        self.peak_mib = max(self.peak_mib, peak)

    @property
    def rate(self) -> float:
        """Messages a second, the median of the rounds."""
        return statistics.median(result.rate for result in self.results) * self.messages_each

    @property
    def _middle(self) -> Result:
        return sorted(self.results, key=lambda result: result.rate)[len(self.results) // 2]

    def line(self) -> str:
        middle = self._middle
        generator = middle.generator_cpu_s / middle.requests * 1e6
        return (
            f"{self.name:30} {self.rate:10,.0f} {statistics.median(self.cpu_us):8.1f} "
            f"{middle.percentile_ms(0.5):8.2f} {middle.percentile_ms(0.99):8.2f} {self.peak_mib:6.0f} "
            f"{generator:13.1f} {sum(result.failed for result in self.results):7}"
        )


@dataclass(frozen=True)
class Load:
    """What one server is driven with."""

    name: str
    run: Run
    requests: list[bytes]
    connections: int = CONNECTIONS
    messages_each: int = 1
    rate: float = 0


def measure(rows: dict[str, Row], load: Load, duration_s: float) -> None:
    """One round of one load, added to its row."""
    with server(load.run) as (address, pid):
        drive(address, load.requests, connections=load.connections, duration_s=0.3)
        before = cpu_s(pid)
        result = drive(address, load.requests, connections=load.connections, duration_s=duration_s, rate=load.rate)
        row = rows.setdefault(load.name, Row(load.name, load.messages_each))
        row.add(result, cpu_s(pid) - before, peak_mib(pid))


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows: dict[str, Row] = {}
    one = singles()
    bare, single = Load("bare ASGI, single calls", run_bare, one), Load("collector, single calls", run_door, one)
    batch = Load("collector, batches of 100", run_door, batches(), BATCH_CONNECTIONS, BATCH_ITEMS)
    floor = [Load("nginx, empty answer", run_nginx, one)] if shutil.which("nginx") else []
    for _ in range(options.rounds):
        for load in (*floor, bare, single, batch):
            measure(rows, load, options.seconds)
    half = Load("collector, half of that load", run_door, one, rate=rows[single.name].rate / 2)
    measure(rows, half, options.seconds * 2)
    print(f"{'':30} messages/s   CPU µs   p50 ms   p99 ms    MiB  generator µs  failed")
    for row in rows.values():
        print(row.line())
    if not floor:
        print("nginx is not installed, so its line is missing")
    share = rows[single.name].rate / rows[bare.name].rate
    by_cpu = statistics.median(rows[bare.name].cpu_us) / statistics.median(rows[single.name].cpu_us)
    print()
    check("durable single calls x bare ASGI, by rate", share, 0.6, 0.7)
    check("durable single calls x bare ASGI, by CPU", by_cpu, 0.6, 0.7)
    check("batched intake, messages/s a core", rows[batch.name].rate, 60_000, 100_000)


if __name__ == "__main__":
    main()
