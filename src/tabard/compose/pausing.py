"""An operator's pause of a destination: it holds its cursor, where disabling filters for good."""

import contextlib

import msgspec

from tabard.clock import Clock
from tabard.compose.workspace import named_destination
from tabard.delivery.orders import Probe, place
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.workspace import SqliteWorkspace
from tabard.workspace.types import DestinationInstance


def pause(installation: Installation, name: str, clock: Clock) -> DestinationInstance:
    """Pauses a destination (its name or id) and returns it; one that is paused stays so since it was.

    Within a second no request to it begins any more; what is under way ends. Raises `DestinationUnknown`.
    """
    return _paused(installation, name, clock.now_ms())


def resume(installation: Installation, name: str, clock: Clock) -> DestinationInstance:
    """Ends a pause and returns the destination; one that rests by itself is tried at once too.

    Raises `DestinationUnknown`.
    """
    found = _paused(installation, name, 0)
    place(installation.orders, Probe(id=clock.new_id(), destination=found.id), clock)
    return found


def _paused(installation: Installation, name: str, at_ms: int) -> DestinationInstance:
    with contextlib.closing(SqliteWorkspace(installation.workspace_db)) as workspace, workspace.change():
        found = named_destination(workspace, name)
        workspace.pause_destination(found.id, at_ms)
        return msgspec.structs.replace(found, paused_at=at_ms and (found.paused_at or at_ms))
