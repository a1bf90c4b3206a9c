"""Makes a workspace as a declaration says."""

import secrets
from collections.abc import Iterable

import msgspec

from tabard.clock import Clock
from tabard.compose.destinations import DestinationDesk
from tabard.storage.sqlite.workspace import SqliteWorkspace
from tabard.workspace.declaration import Declaration
from tabard.workspace.plan import Change, Present, plan
from tabard.workspace.types import DestinationInstance, Source


def new_id(prefix: str) -> str:
    """A new id as sources (`src`), destinations (`dst`) and subscriptions (`sub`) have."""
    return f"{prefix}_{secrets.token_hex(6)}"


def new_write_key() -> str:
    """A new write key: 20 hex digits, as published clients expect."""
    return secrets.token_hex(10)


def planned(
    workspace: SqliteWorkspace, desk: DestinationDesk, declared: Declaration, clock: Clock, *, prune: bool = False
) -> list[Change]:
    """The changes that make the workspace as declared, all of them checked. Raises `DeclarationInvalid`."""
    present = Present(
        sources=workspace.sources(),
        destinations=[desk.opened(each) for each in workspace.destinations()],
        presets=desk.presets,
        default_mapping=desk.default_mapping,
        secret_fields=desk.secret_fields,
        new_id=new_id,
        new_key=new_write_key,
        now_ms=clock.now_ms(),
    )
    destinations = declared.destinations
    if destinations is not None:
        read = tuple(
            msgspec.structs.replace(each, settings=desk.read_settings(each.destination, each.settings))
            for each in destinations
        )
        declared = msgspec.structs.replace(declared, destinations=read)
    changes = plan(declared, present, prune=prune)
    for change in changes:
        if isinstance(change.after, DestinationInstance):
            desk.sealed(change.after)
    return changes


def make_so(workspace: SqliteWorkspace, desk: DestinationDesk, changes: Iterable[Change], clock: Clock) -> None:
    """All of the changes or none."""
    now_ms = clock.now_ms()
    with workspace.change():
        for change in changes:
            match change.after:
                case Source() as source:
                    workspace.put_source(source, now_ms)
                case DestinationInstance() as instance:
                    workspace.put_destination(desk.sealed(instance), now_ms)
                case None if isinstance(change.before, Source):
                    workspace.remove_source(change.before.id)
                case None if change.before is not None:
                    workspace.remove_destination(change.before.id, now_ms)
