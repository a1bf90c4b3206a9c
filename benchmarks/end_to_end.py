"""From a call to a webhook's request on one machine: does the lag stay flat, and what does each role cost?

`python -m benchmarks.end_to_end [--seconds 300] [--batched 8000] [--single 5000]`. Generator and receiver share the
machine's cores with Tabard; their CPU is listed apart. The baseline of a row is the rate that was asked for.
"""

import argparse
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.gates import check
from benchmarks.traffic import Load, Series, generate, receiving
from tabard.testing.installation import Installation, running

DRAIN_S = 60.0
HALF_LOAD_S = 30.0
GATES = {True: (5_000, 8_000), False: (3_000, 5_000)}
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> dict[str, int]:
    """Role name → process id of the processes below the supervisor, and the supervisor itself."""
    found = {"supervisor": pid}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if parent == pid:
            found[next((w for w in words if w in ("collect", "resolve", "deliver", "web")), folder.name)] = int(
                folder.name
            )
    return found


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def backlog(sent: Series, got: Series, moment: float) -> int:
    """Messages acknowledged but not yet received at a time."""
    return _at(sent, moment) - _at(got, moment)


def lag_s(sent: Series, got: Series) -> list[float]:
    """How long after its acknowledgement each sampled count was reached at the receiver."""
    lags = []
    for moment, count in sent.points:
        reached = next((when for when, received in got.points if received >= count), None)
        if reached is not None:
            lags.append(max(0.0, reached - moment))
    return lags


def _at(series: Series, moment: float) -> int:
    return max((count for when, count in series.points if when <= moment), default=0)


def measure(rate: int, batch: int, seconds: float) -> list[str]:
    """One row of the table: a fresh installation, a webhook, a steady load, until everything arrived."""
    with tempfile.TemporaryDirectory() as folder, receiving() as (port, pipe):
        flags = ("--config", _config(Path(folder)))
        with running(Path(folder) / "data", *flags) as tabard:
            settings = ("--set", f"url=http://127.0.0.1:{port}/hook", "--option", "batch_size=100")
            tabard.tabard("destination", "add", "webhook", "receiver", *settings)
            roles = children(tabard.process.pid)
            before = {role: cpu_s(pid) for role, pid in roles.items()}
            sent = generate(_load(tabard, rate, batch, seconds))
            accepted = sent.points[-1][1]
            _drain(pipe, accepted)
            used = {role: cpu_s(pid) - before[role] for role, pid in roles.items()}
            resident = sum(resident_mib(pid) for pid in roles.values())
            pipe.send("stop")
            got: Series = pipe.recv()
    return _row(rate, batch, sent, got, used, resident, accepted)


def _drain(pipe: Connection, accepted: int) -> None:
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        pipe.send("count")
        if pipe.recv() >= accepted:
            return
        time.sleep(0.2)


def _config(folder: Path) -> str:
    path = folder / "tabard.yaml"
    path.write_text("settings:\n  egress_private: true\n", "utf-8")
    return str(path)


def _load(tabard: Installation, rate: int, batch: int, seconds: float) -> Load:
    address = urlsplit(tabard.collector)
    connections = 8 if batch > 1 else 64
    return Load(str(address.hostname), int(address.port or 80), tabard.write_key, rate, seconds, batch, connections)


def _row(
    rate: int, batch: int, sent: Series, got: Series, used: dict[str, float], resident: float, accepted: int
) -> list[str]:
    begin, end = sent.points[0][0], sent.points[-1][0]
    thirds = [backlog(sent, got, begin + (end - begin) * part / 3) for part in (1, 2, 3)]
    lags = lag_s(sent, got) or [0.0]
    cost = "  ".join(f"{role} {seconds / accepted * 1e6:.0f}" for role, seconds in used.items())
    outside = f"generator {sent.cpu_s / accepted * 1e6:.0f}  receiver {got.cpu_s / accepted * 1e6:.0f}"
    latencies = quantiles(sent.latencies_ms, n=100) if len(sent.latencies_ms) > 1 else [0.0] * 99
    name = f"batches of {batch}" if batch > 1 else "single calls"
    if rate >= max(GATES[batch > 1]):
        check(f"{name}: messages/s kept up with", got.points[-1][1] / (end - begin), *GATES[batch > 1])
        check(f"{name}: backlog at the end, s of load", thirds[-1] / rate, 2, at_most=True)
        check(f"{name}: delivered of accepted", got.points[-1][1] / accepted, 1)
        check(f"{name}: resident in all, MiB", resident, 350, at_most=True)
    else:
        check(f"{name}: ack p99 at {rate} a second, ms", latencies[98], 20, at_most=True)
    return [
        name,
        f"{rate}",
        f"{accepted / (end - begin):.0f}",
        f"{got.points[-1][1]} of {accepted}",
        " ".join(str(part) for part in thirds),
        f"{quantiles(lags, n=100)[49] if len(lags) > 1 else lags[0]:.1f} / {max(lags):.1f}",
        f"{latencies[49]:.1f} / {latencies[98]:.1f}",
        cost,
        outside,
        f"{resident:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--batched", type=int, default=8000, help="messages a second in batches of 100, 0 = skip")
    parser.add_argument("--single", type=int, default=5000, help="single calls a second, 0 = skip")
    asked = parser.parse_args()
    table = Table("load", "asked/s", "accepted/s", "delivered", "backlog at 1/3, 2/3, end", "lag s p50 / max",
                  "ack ms p50 / p99", "CPU µs a message", "outside", "MiB")  # fmt: skip
    for rate, batch in ((asked.batched, 100), (asked.single, 1)):
        if rate:
            table.add_row(*measure(rate, batch, asked.seconds))
    if asked.single:
        table.add_row(*measure(asked.single // 2, 1, min(asked.seconds, HALF_LOAD_S)))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
