"""What one call costs the application: our Python client beside the two published SDKs it replaces.

Each contender is its own process on one core, makes the same track calls, and delivers them to one recording
server on another core; the rounds are interleaved, the middle one is shown. "calls/s" is by the clock and falls when
the machine has other work; the CPU figures do not. "a call" is the caller's loop alone, "delivered" the CPU of the
whole process until the server has everything. `python -m benchmarks.python_client`
"""

import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import customerio.analytics
import segment.analytics
from rich.console import Console
from rich.table import Table

import tabard_client

CALLS = 20_000
CALLS_DURABLE = 1_000
ROUNDS = 3
ROUND_TIMEOUT_S = 20
PROPERTIES = {"order_id": "A-1001", "total": 99.5, "currency": "EUR", "products": [{"sku": "X1", "quantity": 2}]}
CONTEXT = {"ip": "203.0.113.7", "userAgent": "Mozilla/5.0 (X11; Linux x86_64)", "page": {"path": "/checkout"}}


@dataclass(frozen=True)
class Cost:
    """One contender, one round."""

    calls: int
    call_wall_s: float
    call_cpu_s: float
    delivered_cpu_s: float
    left: int


def make_ours(host: str, **options: Any) -> Any:
    return tabard_client.Client("key", host, **options)


def make_customerio(host: str) -> Any:
    return customerio.analytics.Client("key", host=host, max_queue_size=2 * CALLS)


def make_segment(host: str) -> Any:
    return segment.analytics.Client("key", host=host, max_queue_size=2 * CALLS)


CONTENDERS: dict[str, tuple[Callable[[str], Any], int]] = {
    "customerio-cdp-analytics (memory)": (make_customerio, CALLS),
    "segment-analytics-python (memory)": (make_segment, CALLS),
    "tabard-client, spool (default)": (make_ours, CALLS),
    "tabard-client, spool, server down": (lambda _: make_ours("http://127.0.0.1:9"), CALLS),
    "tabard-client, spool, durable=True": (lambda host: make_ours(host, durable=True), CALLS_DURABLE),
    "tabard-client, memory (can lose)": (
        lambda host: make_ours(host, memory_only_can_lose=True, max_queue_size=2 * CALLS),
        CALLS,
    ),
}


def measure(name: str, host: str) -> Cost:
    """One round of one contender, in this process."""
    make, calls = CONTENDERS[name]
    client = make(host)
    client.track("user-0", "Warm up")
    down = "down" in name
    if not down:
        client.flush()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for number in range(calls):
        client.track(f"user-{number % 100}", "Order Completed", dict(PROPERTIES), context=dict(CONTEXT))
    call_wall_s, call_cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    if not down:
        client.flush()
    delivered_cpu_s = time.process_time() - cpu_s
    return Cost(calls, call_wall_s, call_cpu_s, delivered_cpu_s, 0)


class Server:
    """Answers 200 and counts messages."""

    def __init__(self) -> None:
        self.messages = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.messages += body.count(b'"messageId"')
                self.send_response(200)
                self.send_header("Content-Length", "17")
                self.end_headers()
                self.wfile.write(b'{"success": true}')

            def log_message(self, *args: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()


def round_of(name: str, server: Server, core: int) -> Cost:
    """One round in a process of its own, pinned to `core`; counts what did not arrive."""
    before = server.messages
    spool = tempfile.mkdtemp(prefix="tabard-bench-")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.python_client", name, server.url, str(core)],
            env={**os.environ, "XDG_STATE_HOME": spool},
            stdout=subprocess.PIPE,
            timeout=ROUND_TIMEOUT_S,
            check=True,
        )
    finally:
        shutil.rmtree(spool)
    cost = Cost(**json.loads(done.stdout))
    arrived = server.messages - before - 1  # the warm-up
    return Cost(**{**asdict(cost), "left": 0 if "down" in name else cost.calls - arrived})


def show(costs: dict[str, list[Cost]]) -> None:
    """The table: middle of the rounds by CPU until delivered."""
    table = Table(title=f"Python clients, one core, {CALLS:,} track calls, middle of {ROUNDS} rounds")
    for column in ("client", "calls/s", "calls a CPU second", "CPU µs a call", "CPU µs delivered", "not arrived"):
        table.add_column(column, justify="left" if column == "client" else "right")
    for name, rounds in costs.items():
        middle = sorted(rounds, key=lambda cost: cost.delivered_cpu_s)[len(rounds) // 2]
        rate = statistics.median(cost.calls / cost.call_wall_s for cost in rounds)
        delivered = "-" if "down" in name else f"{middle.delivered_cpu_s / middle.calls * 1e6:.1f}"
        call_cpu_us = middle.call_cpu_s / middle.calls * 1e6
        table.add_row(
            name, f"{rate:,.0f}", f"{1e6 / call_cpu_us:,.0f}", f"{call_cpu_us:.1f}", delivered, str(middle.left)
        )
    Console(width=120).print(table)


def main() -> None:
    """Measure every contender and print the table; under a minute."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    server = Server()
    costs: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name in CONTENDERS:
            costs[name].append(round_of(name, server, cores[0]))
    os.sched_setaffinity(0, set(cores))
    show(costs)


def contender(name: str, host: str, core: str) -> None:
    """The child's side: one round, printed as JSON, then a hard end, so that no exit hook blurs the next round."""
    os.sched_setaffinity(0, {int(core)})
    logging.disable(logging.CRITICAL)
    print(json.dumps(asdict(measure(name, host))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        contender(*sys.argv[1:])
    else:
        main()
