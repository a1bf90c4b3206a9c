"""The resolver's engine as tests drive it: feed, restart, settle, look."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabard.identity.rules import Rules
from tabard.resolver.dry_run import resolved_lines
from tabard.storage.interface import Committed, Consumed, Resolved
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_profiles import SqliteProfileReader
from tabard.storage.sqlite.store_reader import SqliteMessageReader

SECRET = b"a secret of thirty-two bytes, yes"
LOG_ID = "log"

Event = dict[str, Any]


class Engine:
    """A store on disk with a log of one partition that exists only as the offsets fed so far."""

    def __init__(self, folder: Path, rules: Rules | None = None) -> None:
        self.path = folder / "store.db"
        self.rules = rules or Rules()
        self.offset = 0
        self._open()

    def feed(self, events: Sequence[Event], batch: int = 100) -> None:
        """Commits wire-shaped calls and controls, `batch` at a time."""
        for start in range(0, len(events), batch):
            self.commit(list(resolved_lines(events[start : start + batch], self.rules, self.offset)))

    def commit(self, batch: Sequence[Resolved]) -> Committed:
        """One transaction."""
        end = self.offset + len(batch)
        received = max((one.message.received_at for one in batch), default=0)
        committed = self.store.apply(batch, [Consumed(0, self.offset, end, received)])
        self.offset = end
        return committed

    def restart(self) -> None:
        """Closes and opens the store, as a new process would."""
        self.store.close()
        self._open()

    def settle(self, *, erase: bool = False) -> None:
        """Projects every mark; with `erase`, also erases what deletes made dead."""
        while self.store.project(50):
            pass
        while erase and self.store.erase(50):
            pass

    def state(self) -> dict[str, Any]:
        """Profiles and groups in the shape of the examples."""
        self.settle()
        return self.store.dump()

    def digest(self) -> str:
        """The digest of the settled state."""
        self.settle()
        return self.store.digest()

    def messages(self) -> SqliteMessageReader:
        """A reader of its own connection."""
        return SqliteMessageReader(self.path)

    def profiles(self) -> SqliteProfileReader:
        """A reader of its own connection."""
        return SqliteProfileReader(self.path, SECRET, self.rules)

    def close(self) -> None:
        self.store.close()

    def _open(self) -> None:
        self.store = SqliteStore(self.path, SECRET, self.rules)
        self.beats = 0
        self.store.begin(LOG_ID, self._beat)

    def _beat(self) -> None:
        self.beats += 1
