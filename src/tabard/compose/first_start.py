"""The first start of an installation: its folder, its secrets, the source `default`."""

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tabard.clock import Clock
from tabard.storage.sqlite.database import DatabaseCorrupt, DatabaseMissing, check_migrations, connect
from tabard.storage.sqlite.installation import Installation, begin_installation, finish_installation, open_installation
from tabard.storage.sqlite.keys import add_sealing_key, new_admin_token, sealing_keys
from tabard.storage.sqlite.workspace import SqliteWorkspace
from tabard.workspace.types import Source


@dataclass(frozen=True, slots=True)
class Opened:
    """An installation ready to run. `first_source` (as stored) and `admin_token` are set on its first start only."""

    installation: Installation
    first_source: Source | None = None
    admin_token: str | None = None


def open_or_make(data: Path, environ: Mapping[str, str], clock: Clock) -> Opened:
    """The installation of a folder, made first where there is none.

    Raises what `open_installation` and `begin_installation` raise, `DatabaseTooNew`, `MigrationChanged`,
    `DatabaseCorrupt` or `KeyUnusable`, having changed nothing.
    """
    if Installation(data).exists():
        installation = open_installation(data)
        sealing_keys(installation, environ)
        _check_databases(installation)
        SqliteWorkspace(installation.workspace_db).close()
        installation.begun_file.unlink(missing_ok=True)
        return Opened(installation)
    return _make(data, environ, clock)


def _check_databases(installation: Installation) -> None:
    """That this release can work on every database, before a role finds out that it cannot.

    A damaged one is left to the role that needs it: the door goes on accepting while the store is mended.
    """
    for name, path in installation.databases.items():
        with (
            contextlib.suppress(DatabaseMissing, DatabaseCorrupt),
            contextlib.closing(connect(path, read_only=True)) as database,
        ):
            check_migrations(database, name)


def _make(data: Path, environ: Mapping[str, str], clock: Clock) -> Opened:
    installation = begin_installation(data)
    if not any(environ.get(name) for name in ("TABARD_SECRET_KEY", "TABARD_SECRET_KEY_FILE")):
        add_sealing_key(installation)
    sealing_keys(installation, environ)
    token = new_admin_token(installation)
    workspace = SqliteWorkspace(installation.workspace_db)
    try:
        source = Source(
            id=f"src_{secrets.token_hex(6)}",
            name="default",
            write_keys={secrets.token_hex(10): "active"},
            created_at=clock.now_ms(),
        )
        if not workspace.sources():
            workspace.put_source(source, clock.now_ms())
        # A first start that broke off may have stored one already.
        source = workspace.sources()[0]
    finally:
        workspace.close()
    finish_installation(installation, clock.now_ms())
    return Opened(installation, source, token)
