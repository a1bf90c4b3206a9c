"""The workspace of a data folder, and finding in it what a person names."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tabard.storage.sqlite.installation import open_installation
from tabard.storage.sqlite.workspace import SqliteWorkspace, SqliteWorkspaceReader
from tabard.workspace.types import DestinationInstance, DestinationUnknown, Source, SourceKind, SourceUnknown


@contextlib.contextmanager
def open_workspace(data: Path) -> Iterator[SqliteWorkspace]:
    """The workspace of an installation, for reading and changing. Raises `NoInstallation` and its kin."""
    workspace = SqliteWorkspace(open_installation(data).workspace_db)
    try:
        yield workspace
    finally:
        workspace.close()


def source_names(folder: Path) -> dict[str, str]:
    """The names of the sources that there are, by id."""
    with open_workspace(folder) as workspace:
        return {source.id: source.name for source in workspace.sources()}


def named_source(workspace: SqliteWorkspaceReader, name: str) -> Source:
    """The source of that name or id. Raises `SourceUnknown`."""
    found = next((each for each in workspace.sources() if name in (each.name, each.id)), None)
    if found is None:
        raise SourceUnknown(f"there is no source {name!r}; `tabard source list` shows them")
    return found


def named_destination(workspace: SqliteWorkspaceReader, name: str) -> DestinationInstance:
    """The destination of that name or id. Raises `DestinationUnknown`."""
    found = next((each for each in workspace.destinations() if name in (each.name, each.id)), None)
    if found is None:
        raise DestinationUnknown(f"there is no destination {name!r}; `tabard destination list` shows them")
    return found


def source_to_send_as(workspace: SqliteWorkspaceReader, name: str | None) -> Source:
    """The named source, else the first enabled server source, else the first enabled one. Raises `SourceUnknown`."""
    if name is not None:
        return named_source(workspace, name)
    enabled = [each for each in workspace.sources() if each.enabled]
    if not enabled:
        raise SourceUnknown("no source is enabled; add one with `tabard source add NAME`")
    return next((each for each in enabled if each.kind is SourceKind.SERVER), enabled[0])
