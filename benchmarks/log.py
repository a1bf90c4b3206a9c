"""What an append costs and what a reader costs: CPU and bytes written a message, time a commit, through the driver.

`python -m benchmarks.log` prints the tables of docs/log.md. It writes about 500 MB below the system's temporary folder.
"""

import contextlib
import multiprocessing
import multiprocessing.synchronize
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter

MESSAGE_BYTES = 760
APPENDS = ((1, 5000), (8, 4000), (64, 2000), (100, 1500))
POLL_S = 0.01


def written_bytes() -> int:
    """What this process has sent to the disk so far."""
    numbers = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(numbers["write_bytes"])


def append(root: Path, values_each: int, appends: int) -> str:
    """One line: what so many appends of so many values each cost."""
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    values = [os.urandom(MESSAGE_BYTES) for _ in range(values_each)]
    writer.append(values)
    times_ms = []
    cpu_s, bytes_before, began_s = time.process_time(), written_bytes(), time.perf_counter()
    for _ in range(appends):
        start_s = time.perf_counter()
        writer.append(values)
        times_ms.append((time.perf_counter() - start_s) * 1000)
    seconds = time.perf_counter() - began_s
    cpu_s = time.process_time() - cpu_s
    messages = values_each * appends
    written = written_bytes() - bytes_before
    writer.close()
    times_ms.sort()
    return (
        f"{values_each:>8} {messages / seconds:>12,.0f} {cpu_s / appends * 1e6:>10.0f} {cpu_s / messages * 1e6:>10.2f}"
        f" {written / messages:>10.0f} {times_ms[appends // 2]:>8.2f} {times_ms[appends * 99 // 100]:>8.2f}"
        f" {times_ms[-1]:>8.1f}"
    )


def read(root: Path, limit: int) -> str:
    """One line: reading the whole partition, then polling its end."""
    reader = SqliteLogReader(root)
    offset, cpu_s = 0, time.process_time()
    while entries := reader.read(1, offset, limit):
        offset += len(entries)
    cpu_s = time.process_time() - cpu_s
    idle_s, end_s = _cpu_a_call(lambda: reader.read(1, offset, limit)), _cpu_a_call(lambda: reader.end(1))
    reader.close()
    return f"{limit:>8} {offset:>12,} {cpu_s / offset * 1e6:>10.2f} {idle_s * 1e6:>10.1f} {end_s * 1e6:>10.1f}"


def _cpu_a_call(call: object, times: int = 3000) -> float:
    assert callable(call)
    begin_s = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begin_s) / times


def _poll(root: Path, stop: multiprocessing.synchronize.Event) -> None:
    reader, offset = SqliteLogReader(root), 0
    while not stop.is_set():
        while entries := reader.read(1, offset, 1000):
            offset += len(entries)
        time.sleep(POLL_S)


@contextlib.contextmanager
def polled(root: Path) -> Iterator[None]:
    """A reader in another process follows the partition meanwhile."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=_poll, args=(root, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()


def main() -> None:
    """Prints the tables."""
    folder = Path(tempfile.mkdtemp(prefix="tabard-log-"))
    head = "  values   messages/s  us/append     us/msg  bytes/msg   p50 ms   p99 ms   max ms"
    try:
        print(f"appends of {MESSAGE_BYTES} B messages, alone\n{head}")
        for values_each, appends in APPENDS:
            print(append(folder / f"alone-{values_each}", values_each, appends))
        print(f"the same while another process reads every {POLL_S * 1000:.0f} ms\n{head}")
        for values_each, appends in APPENDS:
            with polled(folder / f"polled-{values_each}"):
                print(append(folder / f"polled-{values_each}", values_each, appends))
        print("reading\n   limit     messages     us/msg  us/idle read  us/end")
        for values_each, _ in APPENDS:
            print(f"{read(folder / f'alone-{values_each}', 1000)}   (appends of {values_each})")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
