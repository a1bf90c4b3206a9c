"""Inputs that break simpler designs, each beside the usual one of the same size: a kiosk, a constant id, a chain...

`python -m benchmarks.pathologies [--messages N] [NAME …]`. Gates (issue 3, §3): at most three times the usual CPU a
message, no statement of the store, projection step or look-up over 50 ms (of CPU, so that other work on the machine
does not count).
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.people import START_MS
from tabard.identity.rules import Rules
from tabard.log.codec import encode
from tabard.log.interface import LogEntry
from tabard.message.traits import iso_ms
from tabard.message.types import RECORD_VERSION, SERVER_TRUST, Record
from tabard.resolver.consumer import MARKS, calm_collector
from tabard.resolver.stages import resolve
from tabard.storage.interface import Consumed
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_explain import Explainer
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

SECRET = b"k" * 32
RULES = Rules()
BATCH = 4096
RATIO_MAX = 3.0
STEP_MS_MAX = 50.0
ALIASES = 10_000
KNOWN = 500

Call = tuple[str, dict[str, Any]]


def usual(count: int) -> Iterator[Call]:
    for n in range(count):
        yield "track", {"messageId": f"m{n}", "userId": f"u{n // 5}", "anonymousId": f"d{n // 5}", "event": "E"}


def one_device_of_many_users(count: int) -> Iterator[Call]:
    for n in range(count):
        yield "track", {"messageId": f"m{n}", "userId": f"u{n}", "anonymousId": "probe", "event": "E"}


def one_user_of_many_devices(count: int) -> Iterator[Call]:
    for n in range(count):
        yield "track", {"messageId": f"m{n}", "userId": "probe", "anonymousId": f"d{n}", "event": "E"}


def a_chain_of_aliases(count: int) -> Iterator[Call]:
    yield "identify", {"messageId": "first", "userId": "probe", "traits": {"n": 1}}
    for n in range(1, count):
        previous = f"u{n - 1}" if n > 1 else "probe"
        yield "alias", {"messageId": f"m{n}", "userId": f"u{n}", "previousId": previous}


def aliases_to_one_user(count: int) -> Iterator[Call]:
    for n in range(min(ALIASES, count // 2)):
        yield "track", {"messageId": f"t{n}", "userId": f"u{n}", "event": "E"}
        yield "alias", {"messageId": f"m{n}", "userId": "probe", "previousId": f"u{n}"}


def one_time_for_all(count: int) -> Iterator[Call]:
    for n in range(count):
        body = {"messageId": f"m{n * 7919 % count}", "userId": "probe" if n < KNOWN else f"u{n // 5}"}
        yield "identify", body | {"timestamp": iso_ms(START_MS), "traits": {"n": n}}


def retried_copies(count: int) -> Iterator[Call]:
    """Sent again and again, each time a millisecond slower: every copy seems older than all before, the worst case.

    The corrected time is `received - (sentAt - timestamp)`, received 2 ms apart (see `entries`).
    """
    for n in range(count):
        known = n % KNOWN
        body = {"messageId": f"m{known}", "userId": "probe", "anonymousId": "d", "traits": {f"k{known % 9}": known}}
        happened, sent = START_MS - known * 1000, START_MS + n * 2 + n // KNOWN
        yield "identify", body | {"timestamp": iso_ms(happened), "sentAt": iso_ms(sent)}


SHAPES: tuple[Callable[[int], Iterator[Call]], ...] = (
    one_device_of_many_users,
    one_user_of_many_devices,
    a_chain_of_aliases,
    aliases_to_one_user,
    one_time_for_all,
    retried_copies,
)


def entries(shape: Callable[[int], Iterator[Call]], count: int) -> list[LogEntry]:
    """The calls of a shape as the log holds them, 2 ms apart."""
    found = []
    for offset, (kind, body) in enumerate(shape(count)):
        received = START_MS + offset * 2
        body.setdefault("timestamp", iso_ms(received))
        record = Record(
            version=RECORD_VERSION,
            source="src",
            type=kind,
            trust=int(SERVER_TRUST),
            received_at=received,
            body=msgspec.json.encode(body),
        )
        found.append(LogEntry(1, offset, encode(record)))
    return found


class Slowest:
    """The longest statement of a connection, in milliseconds of CPU."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.sql = ""
        self._began: dict[str, float] = {}

    def begin(self, _cursor: object, sql: str, _bindings: object) -> bool:
        self._began[sql] = time.thread_time()
        return True

    def end(self, sql: str, _ns: int) -> None:
        ms = (time.thread_time() - self._began.pop(sql, time.thread_time())) * 1000
        if ms > self.ms:
            self.ms, self.sql = ms, " ".join(sql.split())


class Measured(msgspec.Struct):
    """What a shape cost: CPU a message, and the longest of its parts in milliseconds."""

    messages: int
    us_a_message: float
    project_ms: float = 0.0
    look_up_ms: float = 0.0
    statement: Slowest | None = None


def feed(store: SqliteStore, some: list[LogEntry]) -> tuple[float, float]:
    """CPU seconds of resolving, storing and projecting all, and of the longest projection step."""
    began_s, longest_s = time.thread_time(), 0.0
    for at in range(0, len(some), BATCH):
        batch = some[at : at + BATCH]
        resolved, _ = resolve(batch, RULES, skew_correction=True)
        store.apply(resolved, [Consumed(1, at, at + len(batch), 0)])
        marks = MARKS
        while marks == MARKS:
            step_s = time.thread_time()
            marks = store.project(MARKS)
            longest_s = max(longest_s, time.thread_time() - step_s)
    return time.thread_time() - began_s, longest_s


def look_up_ms(path: Path) -> float:
    """The longest of what a page asks of the probe: profile, timeline, explanation, graph."""
    reader = SqliteProfileReader(path, SECRET, RULES)
    longest_s = 0.0
    for identifier in ("user:probe", "anon:probe", "user:u7"):
        explainer = Explainer(reader)
        for question in (reader.profile, lambda one: reader.timeline(one, 50), explainer.explain, explainer.graph):
            began_s = time.thread_time()
            question(identifier)
            longest_s = max(longest_s, time.thread_time() - began_s)
    reader.close()
    return longest_s * 1000


def measure(shape: Callable[[int], Iterator[Call]], count: int) -> Measured:
    """The cost in one run, the longest statement in another, since counting statements costs time."""
    some = entries(shape, count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        store = SqliteStore(path, SECRET, RULES)
        store.begin("bench")
        cpu_s, step_s = feed(store, some)
        found = Measured(len(some), cpu_s / len(some) * 1e6, step_s * 1000, look_up_ms(path), Slowest())
        store.close()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "store.db", SECRET, RULES)
        store.begin("bench")
        assert found.statement is not None
        store.database.exec_trace = found.statement.begin
        store.database.set_profile(found.statement.end)
        feed(store, some)
        store.database.set_profile(None)
        store.close()
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("names", nargs="*", choices=[[], *(shape.__name__ for shape in SHAPES)])
    options = parser.parse_args()
    calm_collector()
    table = Table("input", "messages", "µs a message", "× usual", "projection ms", "look-up ms", "statement ms", "gate")
    baseline = measure(usual, options.messages)
    wanted = [shape for shape in SHAPES if shape.__name__ in (options.names or shape.__name__)]
    rows = [("usual", baseline), *((shape.__name__, measure(shape, options.messages)) for shape in wanted)]
    for name, found in rows:
        ratio = found.us_a_message / baseline.us_a_message
        assert found.statement is not None
        steps = (found.project_ms, found.look_up_ms, found.statement.ms)
        kept = ratio <= RATIO_MAX and max(steps) <= STEP_MS_MAX
        numbers = (f"{found.us_a_message:.1f}", f"{ratio:.1f}", *(f"{ms:.1f}" for ms in steps))
        table.add_row(name.replace("_", " "), f"{found.messages:,}", *numbers, "kept" if kept else "MISSED")
        if found.statement.ms > STEP_MS_MAX:
            print(f"{name}: {found.statement.sql[:200]}")
    Console().print(table)


if __name__ == "__main__":
    main()
