"""Works on the store as a whole: rebuild, and the hash of its state."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from tabard.compose.exclusive import exclusive
from tabard.compose.role_status import held_file, supervised_roles
from tabard.compose.running import running_role, running_settings
from tabard.compose.store import profile_reader, rules_of
from tabard.log.drivers.sqlite import SqliteLogReader
from tabard.message.types import offset_of, partition_of
from tabard.settings import Settings
from tabard.storage.sqlite.database import connect_reader, statements
from tabard.storage.sqlite.installation import Installation, profile_secret
from tabard.storage.sqlite.store import SqliteStore, StoreLocked
from tabard.storage.sqlite.store_state import State
from tabard.storage.sqlite.store_upkeep import REBUILD_AT

MARKS: Final = 2000
WAIT_S: Final = 10.0
_PAUSE_S: Final = 0.1
_SQL: Final = statements("store")

RESOLVER: Final = "resolver-1"
STOPPED_S: Final = 30.0
"""How long a supervised resolver may take to finish its commit and end."""

WATCH_S: Final = 0.5

Show = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
"""Shows progress: of how many steps, of what; what it yields advances it."""


class StateHash(NamedTuple):
    """The hash of the derived state, and how many records of the log are not resolved and so no part of it."""

    digest: str
    unresolved: int


class StateMoving(Exception):
    """Messages keep arriving, so that there is no one state to be hashed."""


def rebuild_store(installation: Installation, settings: Settings, show: Show) -> str:
    """Derives everything anew from the archive; the hash of the state.

    A resolver that `tabard serve` runs is stopped meanwhile and started again afterwards, however this ends; the door
    goes on. Raises `StoreLocked` while one runs that `serve` did not start, `AlreadyRunning` beside another rebuild.
    """
    with (
        exclusive(held_file(installation.run, RESOLVER), "`tabard rebuild`"),
        contextlib.closing(_unlocked_store(installation, settings)) as store,
    ):
        with contextlib.closing(SqliteLogReader(installation.log)) as log:
            store.begin(log.log_id)
        with _watched(installation, sum(store.positions().values()), show):
            store.rebuild()
        with show(store.marks(), "projecting") as projected:
            while done := store.project(MARKS):
                projected(done)
        return store.digest()


def _unlocked_store(installation: Installation, settings: Settings) -> SqliteStore:
    """The store, once a supervised resolver has let go of it."""
    is_supervised = any(each.name == RESOLVER for each in supervised_roles(installation.run))
    deadline_s = time.monotonic() + (STOPPED_S if is_supervised else 0)
    while True:
        try:
            return SqliteStore(installation.store_db, profile_secret(installation), rules_of(settings))
        except StoreLocked:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(_PAUSE_S)


@contextlib.contextmanager
def _watched(installation: Installation, total: int, show: Show) -> Iterator[None]:
    """Shows, while inside, how much of the archive a rebuild has read: its position is in the store."""
    ended = threading.Event()

    def watch() -> None:
        reader = connect_reader(installation.store_db, "store")
        with show(total, "reading messages") as advance, contextlib.closing(reader):
            ends, shown = dict(reader.execute(_SQL["progress"])), 0
            while not ended.wait(WATCH_S):
                at = int(reader.execute(_SQL["meta"], (REBUILD_AT,)).get or 0)
                # The archive is read in the order of positions: partition by partition.
                done = sum(end for partition, end in ends.items() if partition < partition_of(at)) + offset_of(at)
                if at > 0 and done > shown:
                    advance(done - shown)
                    shown = done
            advance(total - shown)

    watching = threading.Thread(target=watch, name="watch")
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def state_hash_of(installation: Installation) -> StateHash:
    """The hash of the state of one moment, once every identifier is projected. Raises `StateMoving` after 10 s."""
    with contextlib.closing(profile_reader(installation, running_settings(installation))) as reader:
        deadline_s = time.monotonic() + WAIT_S
        while int(reader.database.execute(_SQL["marks_left"]).get):
            if running_role(installation, "resolver") is None:
                raise StateMoving("identifiers wait to be projected and no resolver runs; start it, or rebuild")
            if time.monotonic() > deadline_s:
                raise StateMoving("identifiers still wait to be projected; ask again when less is arriving")
            time.sleep(_PAUSE_S)
        # One moment for the whole answer.
        reader.database.execute("BEGIN")
        resolved = dict(reader.database.execute(_SQL["progress"]))
        with contextlib.closing(SqliteLogReader(installation.log)) as log:
            unresolved = sum(max(0, log.end(one) - resolved.get(one, 0)) for one in log.partitions())
        return StateHash(State(reader.database, reader.keys).digest(), unresolved)
