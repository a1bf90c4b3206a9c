"""Opens the installation of a data folder and its workspace."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tabard.storage.sqlite.installation import Installation, open_installation
from tabard.storage.sqlite.workspace import SqliteWorkspace, SqliteWorkspaceReader


@contextlib.contextmanager
def open_workspace(data: Path) -> Iterator[SqliteWorkspace]:
    """The workspace of an installation, for reading and changing. Raises `NoInstallation` and its kin."""
    workspace = SqliteWorkspace(open_installation(data).workspace_db)
    try:
        yield workspace
    finally:
        workspace.close()


def read_workspace(installation: Installation) -> SqliteWorkspaceReader:
    """A reader of the workspace for one thread of a role."""
    return SqliteWorkspaceReader(installation.workspace_db)
