"""Readers of the store, and the rules it was resolved by."""

import time
from typing import Final

from tabard.compose.role_process import RoleProcess
from tabard.compose.role_status import Heartbeat
from tabard.identity.identifiers import BLOCKED
from tabard.identity.rules import Rules
from tabard.settings import Settings
from tabard.storage.sqlite.database import is_current
from tabard.storage.sqlite.installation import Installation, profile_secret
from tabard.storage.sqlite.store_profiles import SqliteProfileReader
from tabard.storage.sqlite.store_reader import SqliteMessageReader

_PAUSE_S: Final = 0.1


def rules_of(settings: Settings) -> Rules:
    """The identity rules with the limits and blocked values of the settings."""
    blocked = frozenset(value.strip().lower() for value in settings.blocked_values.split(",") if value.strip())
    return Rules(
        max_alias=settings.max_alias,
        max_owners=settings.max_owners,
        max_claims=settings.max_claims,
        max_traits=settings.max_traits,
        blocked=BLOCKED | blocked,
    )


def message_reader(installation: Installation) -> SqliteMessageReader:
    """Stored messages. Raises `DatabaseMissing` before the first resolver ran."""
    return SqliteMessageReader(installation.store_db)


def profile_reader(installation: Installation, settings: Settings) -> SqliteProfileReader:
    """Profiles. Raises `DatabaseMissing` before the first resolver ran."""
    return SqliteProfileReader(installation.store_db, profile_secret(installation), rules_of(settings))


def wait_for_store(role: RoleProcess) -> SqliteMessageReader:
    """A reader as soon as the resolver has made the store or brought it up to date, on a first start in a moment.

    The role beats meanwhile, as one that is not ready; it ends at SIGTERM and when its supervisor is gone.
    """
    if not is_current(role.installation.store_db, "store"):
        heartbeat = Heartbeat(role.installation.run, role.name, is_ready=False)
        while not is_current(role.installation.store_db, "store"):
            heartbeat.beat()
            time.sleep(_PAUSE_S)
    return message_reader(role.installation)
