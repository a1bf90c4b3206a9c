"""`tabard backup` and `tabard restore`."""

from pathlib import Path

import click

from tabard.commands.frame import (
    EXIT_INSTALLATION,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
    progress_of,
)
from tabard.compose.backup import Manifest, back_up, backup_bytes, is_running, read_manifest
from tabard.compose.backup import restore as restore_backup
from tabard.storage.sqlite.installation import Installation, open_installation

_folder = click.Path(path_type=Path, file_okay=False)


@click.command(epilog=example("tabard backup /backups/tabard-2026-11-24"))
@click.argument("folder", type=_folder)
@data_option
@json_option
def backup(folder: Path, data: Path, as_json: bool) -> None:
    """Copy an installation into a new folder while it runs: keys, workspace, delivery, store, log, in this order.

    A restore of it repeats some deliveries and skips none. Keep it safe: it holds the keys and everybody's data.
    """
    installation = open_installation(data)
    with progress_of(backup_bytes(installation), "copying", as_json=as_json) as progress:
        manifest = back_up(installation, folder, progress)
    _print("backed up", folder, manifest, as_json=as_json)


@click.command(epilog=example("tabard restore /backups/tabard-2026-11-24 --data ./data"))
@click.argument("folder", type=_folder)
@data_option
@json_option
def restore(folder: Path, data: Path, as_json: bool) -> None:
    """Make a data folder from a backup, checking every file; the folder must be empty or absent."""
    if Installation(data).exists() and is_running(Installation(data)):
        raise CommandFailed("already_running", f"{data} is in use; stop `tabard serve` first", EXIT_INSTALLATION)
    total = sum(file.bytes for file in read_manifest(folder).files)
    with progress_of(total, "restoring", as_json=as_json) as progress:
        manifest = restore_backup(folder, data, progress)
    _print("restored", data, manifest, as_json=as_json)


def _print(done: str, folder: Path, manifest: Manifest, *, as_json: bool) -> None:
    total = sum(file.bytes for file in manifest.files)
    if as_json:
        print_json({"folder": str(folder), "takenAt": manifest.taken_at, "files": len(manifest.files), "bytes": total})
    else:
        print_line(f"{done}: {len(manifest.files)} files, {total:,} bytes in {folder} (taken {manifest.taken_at})")
