"""The resolver alone: messages a second and core, look-up times, bytes a person, cost as the store grows.

`python -m benchmarks.resolver [--messages N] [--no-projector] [--profile] [--folder DIR]`. Bounded by default.
"""

import argparse
import cProfile
import json
import pstats
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.gates import check
from benchmarks.people import Population
from tabard.identity.rules import Rules
from tabard.resolver.consumer import ENTRIES_MAX, MARKS, calm_collector
from tabard.resolver.stages import resolve
from tabard.storage.interface import Consumed
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

SECRET = b"k" * 32
BATCH = ENTRIES_MAX
RULES = Rules()


class Run:
    """One store that grows; CPU is that of this process, without making the messages up."""

    def __init__(self, folder: Path, *, projector: bool) -> None:
        self.path = folder / "store.db"
        self.store = SqliteStore(self.path, SECRET, RULES)
        self.store.begin("bench")
        self.population = Population()
        self.projector = projector
        self.spent: dict[str, float] = {"decode": 0.0, "store": 0.0, "project": 0.0}
        self.wall_s = 0.0

    def grow(self, messages: int) -> dict[str, Any]:
        """Adds so many messages; what it took."""
        before, wall, made = dict(self.spent), self.wall_s, self.population.messages
        while self.population.messages - made < messages:
            self._commit(min(BATCH, messages - (self.population.messages - made)))
        spent = {name: seconds - before[name] for name, seconds in self.spent.items()}
        cpu = sum(spent.values())
        return {
            "stored": self.population.messages,
            "people": self.population.people,
            "messages_per_cpu_s": round(messages / cpu),
            "messages_per_s": round(messages / (self.wall_s - wall)),
            "us_a_message": {name: round(seconds / messages * 1e6, 1) for name, seconds in spent.items()},
        }

    def _commit(self, count: int) -> None:
        first = self.population.messages
        entries = self.population.entries(count)
        started = time.monotonic()
        resolved, _ = self._timed("decode", lambda: resolve(entries, RULES, skew_correction=True))
        received = resolved[-1].message.received_at
        consumed = [Consumed(1, first, first + count, received)]
        self._timed("store", lambda: self.store.apply(resolved, consumed))
        if self.projector:
            self._timed("project", self._project)
        self.wall_s += time.monotonic() - started

    def _project(self) -> None:
        while self.store.project(MARKS) == MARKS:
            pass

    def _timed(self, name: str, what: Callable[[], Any]) -> Any:
        started = time.process_time()
        answer = what()
        self.spent[name] += time.process_time() - started
        return answer

    def look_ups(self, count: int = 3000) -> dict[str, float]:
        """Profile look-ups by any identifier from a connection of their own, in milliseconds."""
        reader = SqliteProfileReader(self.path, SECRET, RULES)
        random = Random(7)
        times = []
        for _ in range(count):
            person = random.randrange(self.population.people)
            names = (f"user:user-{person}", f"anon:{person * 4:032x}", f"email:lead{person}@mail.example")
            started = time.perf_counter()
            reader.profile(random.choice(names))
            times.append((time.perf_counter() - started) * 1e3)
        reader.close()
        times.sort()
        return {"p50": round(times[count // 2], 3), "p99": round(times[count * 99 // 100], 3)}

    def sizes(self) -> dict[str, float]:
        """Bytes a message of the archive, and a person besides it."""
        run = self.store.database.execute
        size = {str(name): int(total) for name, total in run("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")}
        archive = size["message"] + size["body"] + size["message_key"] + size["message_key_run"]
        return {
            "archive_bytes_a_message": round(archive / self.population.messages),
            "other_bytes_a_person": round((sum(size.values()) - archive) / self.population.people),
        }


def main() -> None:
    """Prints one JSON line a size."""
    options = _options()
    calm_collector()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run = Run(Path(folder), projector=not options.no_projector)
        profile = cProfile.Profile() if options.profile else None
        if profile:
            profile.enable()
        told = []
        for size in _sizes(options.messages):
            told.append(run.grow(size - run.population.messages))
            print(json.dumps(told[-1]), flush=True)
        if profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        look_ups, sizes = run.look_ups(), run.sizes()
        print(json.dumps({"look_up_ms": look_ups, **sizes, "peak_mib": _peak_mib()}))
        run.store.close()
    _hold(told, look_ups["p99"], sizes["other_bytes_a_person"])


def _hold(told: list[dict[str, Any]], look_up_p99_ms: float, bytes_a_person: float) -> None:
    """The gates that the size of this run can speak for."""
    alone = {one["stored"]: one["us_a_message"]["decode"] + one["us_a_message"]["store"] for one in told}
    last = told[-1]
    check(f"with projector at {last['stored']:,}, messages/s a core", last["messages_per_cpu_s"], 8_000, 15_000)
    if 5_000_000 in alone:
        check("resolver alone at 5 M, messages/s a core", 1e6 / alone[5_000_000], 15_000, 20_000)
    if 20_000_000 in alone:
        check("cost at 20 M x cost at 1 M", alone[20_000_000] / alone[1_000_000], 2, at_most=True)
    check("profile look-up p99, ms", look_up_p99_ms, 5, at_most=True)
    check("bytes a person besides the archive", bytes_a_person, 6_000, at_most=True)


def _sizes(messages: int) -> list[int]:
    steps = [
        n for n in (50_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000) if n < messages
    ]
    return [*steps, messages]


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=250_000)
    parser.add_argument("--no-projector", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--folder", default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
