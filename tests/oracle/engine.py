"""The real engine on SQLite as tests drive it: fed from a log, failing at any statement, sent back, taken over."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from tabard.identity.rules import Rules
from tabard.resolver.dry_run import LOG_ID, resolved_lines
from tabard.storage.interface import Consumed
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

Event = dict[str, Any]
SECRET = b"oracle" * 6
MEMORY = Path("/dev/shm")


class Engine:
    """A store in a folder of its own, and the log it is fed from."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self.folder, self.rules = folder, rules
        self.log: list[Event] = []
        self.open()

    def open(self) -> None:
        self.store = SqliteStore(self.folder / "store.db", SECRET, self.rules)
        self.store.begin(LOG_ID)

    def feed(self, events: list[Event]) -> None:
        """Appends to the log and commits it in one batch."""
        self.log += events
        self.catch_up()

    def catch_up(self) -> None:
        """Commits what the store has not consumed."""
        at, end = self.store.positions().get(0, 0), len(self.log)
        resolved = list(resolved_lines(self.log[at:], self.rules, at))
        self.store.apply(resolved, [Consumed(0, at, end, 0)])

    def settle(self, *, erase: bool = True) -> None:
        """Runs the projector dry, and erasure too if asked."""
        while self.store.project(100) or (erase and self.store.erase(100)):
            pass

    def restart(self) -> None:
        """Closes and opens the store, as a new process would."""
        self.store.close()
        self.open()

    def crash(self, statements: int, what: Callable[[], object]) -> None:
        """Does something that fails at its n-th statement, if it comes so far."""
        left = statements

        def count(*_: object) -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                self.store.database.exec_trace = None
            return left != 0

        self.store.database.exec_trace = count
        with contextlib.suppress(apsw.ExecTraceAbort):
            what()
        self.store.database.exec_trace = None

    def go_back(self, offset: int) -> None:
        """Sets the consumed position back, as a log restored from an older backup would."""
        self.store.database.execute("UPDATE progress SET offset = min(offset, ?)", (offset,))

    def fenced_by_another(self) -> SqliteStore:
        """Opens the store a second time though this one holds it, as on a file system without locks; gives the old."""
        (self.folder / "store.db.lock").unlink()
        old = self.store
        self.open()
        return old

    def reader(self) -> SqliteProfileReader:
        return SqliteProfileReader(self.folder / "store.db", SECRET, self.rules)

    def close(self) -> None:
        self.store.close()


@contextlib.contextmanager
def engine(caps: dict[str, int]) -> Iterator[Engine]:
    """An empty engine under these limits."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        made = Engine(Path(folder), msgspec.convert(caps, Rules))
        try:
            yield made
        finally:
            made.close()


def settled(caps: dict[str, int], *batches: list[Event]) -> tuple[dict[str, Any], str]:
    """The answer and the digest after these batches, everything projected and erased."""
    with engine(caps) as one:
        for batch in batches:
            one.feed(batch)
        one.settle()
        return one.store.dump(), one.store.digest()


def answer(caps: dict[str, int], events: list[Event]) -> dict[str, Any]:
    """The answer after these events."""
    return settled(caps, events)[0]
