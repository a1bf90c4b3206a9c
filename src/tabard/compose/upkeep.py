"""Works on the store as a whole: rebuild, and the hash of its state."""

import contextlib
import time
from typing import Final

from tabard.compose.running import running_role, running_settings
from tabard.compose.store import profile_reader, rules_of
from tabard.settings import Settings
from tabard.storage.sqlite.database import statements
from tabard.storage.sqlite.installation import Installation, profile_secret
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_state import State

MARKS: Final = 2000
WAIT_S: Final = 10.0
_PAUSE_S: Final = 0.1
_SQL: Final = statements("store")


class StateMoving(Exception):
    """Messages keep arriving, so that there is no one state to be hashed."""


def rebuild_store(installation: Installation, settings: Settings) -> str:
    """Derives everything anew from the archive; the hash of the state. Raises `StoreLocked` while a resolver runs."""
    store = SqliteStore(installation.store_db, profile_secret(installation), rules_of(settings))
    with contextlib.closing(store):
        store.rebuild()
        while store.project(MARKS):
            pass
        return store.digest()


def state_hash_of(installation: Installation) -> str:
    """The hash of the derived state, once every identifier is projected. Raises `StateMoving` after 10 s."""
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
        return State(reader.database, reader.keys).digest()
