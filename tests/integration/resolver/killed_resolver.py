"""A resolver in a process of its own, to be killed or fenced: `python -m … FOLDER PHASE STATEMENTS`.

It resolves the same made-up log in small commits. With a PHASE (apply, project, erase) it dies at the n-th statement of
that phase; with `wait` it stops half-way until it reads a line. It leaves with FENCED if another took its store.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tabard.clock import SystemClock
from tabard.identity.rules import Rules
from tabard.log.codec import encode
from tabard.log.drivers.memory import MemoryLog, MemoryLogReader
from tabard.log.interface import LogEntry
from tabard.log.progress import FileProgress
from tabard.log.quarantine import Quarantine
from tabard.message.types import RECORD_VERSION, SERVER_TRUST, Record
from tabard.resolver.consumer import Consumer, Parts
from tabard.storage.interface import Committed, Consumed, Count, Fenced, Resolved
from tabard.storage.sqlite.store import SqliteStore

MESSAGES = 1500
PARTITIONS = 3
READ_ONCE = 60
FENCED = 3
SECRET = b"k" * 32
CLOCK = SystemClock()


class ShortReader(MemoryLogReader):
    """Gives few entries at once, so that there are many commits to be killed in."""

    def read(self, partition: int, offset: int, limit: int) -> list[LogEntry]:
        return super().read(partition, offset, min(limit, READ_ONCE))


class MortalStore(SqliteStore):
    """Kills its process at the n-th statement of a phase."""

    def __init__(self, path: Path, phase: str, statements: int) -> None:
        super().__init__(path, SECRET, Rules())
        self._phase, self._left = phase, statements

    def apply(self, batch: Sequence[Resolved], consumed: Sequence[Consumed], counts: Sequence[Count] = ()) -> Committed:
        self._arm("apply")
        return super().apply(batch, consumed, counts)

    def project(self, limit: int) -> int:
        self._arm("project")
        return super().project(limit)

    def erase(self, limit: int) -> int:
        self._arm("erase")
        return super().erase(limit)

    def _arm(self, phase: str) -> None:
        self.database.exec_trace = self._count if phase == self._phase else None

    def _count(self, *_: object) -> bool:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


def made_up_log() -> MemoryLog:
    """Calls and controls of a small world over three partitions, with copies: the same in every process."""
    random = Random(23)
    log = MemoryLog()
    log.log_id = "made-up"
    values: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for number in range(MESSAGES):
        body = _control(random, number) if number % 60 == 17 else _call(random, number)
        received = 1_714_564_800_000 + number * 1000 + random.randrange(500)
        kind = body["type"] if body["type"] in ("page", "track", "identify", "alias", "group") else "control"
        record = Record(
            version=RECORD_VERSION,
            source="src",
            type=kind,
            trust=int(SERVER_TRUST),
            received_at=received,
            body=msgspec.json.encode(body),
        )
        values[random.randrange(PARTITIONS)].append(encode(record))
    for partition, some in enumerate(values, 1):
        log.writer(partition).append(some)
    return log


def _call(random: Random, number: int) -> dict[str, Any]:
    kind = random.choice(["page", "track", "identify", "identify", "alias", "group"])
    body: dict[str, Any] = {"type": kind, "messageId": f"m{random.randrange(MESSAGES * 4 // 5)}", "event": "E"}
    body |= {"anonymousId": f"d{random.randrange(60)}", "timestamp": _time(number)}
    if kind != "page":
        body["userId"] = random.choice([f"u{random.randrange(40)}", f"l{random.randrange(20)}@x.io"])
    if kind == "alias":
        body["previousId"] = f"u{random.randrange(40)}"
    if kind in ("identify", "group"):
        body["traits"] = {f"k{random.randrange(4)}": number, "email": f"l{random.randrange(20)}@x.io"}
    if kind == "group":
        body["groupId"] = f"g{random.randrange(5)}"
    return body


def _control(random: Random, number: int) -> dict[str, Any]:
    body: dict[str, Any] = {"messageId": f"c{number}", "timestamp": _time(number)}
    if random.random() < 0.5:
        return body | {"type": "delete", "ids": [f"user:u{random.randrange(40)}", f"anon:d{random.randrange(60)}"]}
    return body | {"type": "cut", "a": f"user:u{random.randrange(40)}", "b": "*"}


def _time(number: int) -> str:
    """Not in the order of the numbers, and each only once: erased copies of one time could not be put in order."""
    return f"2024-05-01T12:00:{number % 60:02d}.{number // 60:03d}Z"


def parts(folder: Path, store: SqliteStore) -> Parts:
    """What a resolver works with, on the made-up log."""
    log = made_up_log()
    return Parts(
        log=ShortReader(log),
        store=store,
        quarantine=Quarantine(folder / "quarantine.db"),
        progress=FileProgress(folder / "progress", log.log_id, CLOCK),
        clock=CLOCK,
        rules=Rules(),
        version="0",
    )


def resolve(folder: Path, store: SqliteStore, turns: int | None = None) -> Consumer:
    """Resolves to the end of the log, or so many turns of it."""
    consumer = Consumer(parts(folder, store))
    done = 0
    while done != turns and consumer.turn():
        done += 1
        # The loop would project after 250 ms of work: here after each commit.
        while store.project(20) or store.erase(2):
            pass
    return consumer


def main(folder: Path, phase: str, statements: int) -> int:
    store = MortalStore(folder / "store.db", phase, statements)
    try:
        consumer = resolve(folder, store, turns=2 if phase == "wait" else None)
        if phase == "wait":
            print("half-way", flush=True)
            sys.stdin.readline()
            while consumer.turn():
                pass
    except Fenced:
        return FENCED
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
