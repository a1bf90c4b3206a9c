"""Backups of a running installation, and their way back.

The order makes a restore safe: delivery, then store, then log. What the copied delivery has sent the copied store has
stored, and what that has consumed the copied log still holds: a restore repeats, it never skips.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tabard.collector.rejections import FILE_NAME as REJECTIONS
from tabard.collector.scripts import SUFFIX as SCRIPTS
from tabard.compose.role_status import running_roles
from tabard.compose.running import partition_folders
from tabard.log.drivers.sqlite import copy_log
from tabard.storage.sqlite.backup import BackupDamaged, check_database, copy_database
from tabard.storage.sqlite.installation import Installation, open_installation

MANIFEST: Final = "backup.json"
VERSION: Final = 1

_DATABASES: Final = frozenset({".db", ".segment"})
_CHUNK: Final = 1 << 20

Progress = Callable[[int], None]


class CopiedFile(msgspec.Struct, frozen=True):
    """One file of a backup: its path in the folder, its size, its digest."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`backup.json`, written last: a folder without it is no backup."""

    version: int
    installation: str
    taken_at: str
    files: tuple[CopiedFile, ...]


class BackupRefused(Exception):
    """A backup or restore cannot begin; the text says why and what to do."""


def backup_bytes(installation: Installation) -> int:
    """About how many bytes a backup will copy."""
    return sum(_size(path) for path in [*_before_the_log(installation), *_of_the_log(installation)])


def back_up(installation: Installation, target: Path, progress: Progress) -> Manifest:
    """Copies the installation into a new folder while it runs. Raises `BackupRefused` for a folder with content."""
    if target.exists() and any(target.iterdir()):
        raise BackupRefused(f"{target} is not empty; name a new folder for each backup")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    for path in _before_the_log(installation):
        _copy(path, partial / path.relative_to(installation.data), progress)
    copy_log(installation.log, partial / "log")
    for path in _of_the_log(installation):
        if path.name == REJECTIONS:
            _copy(path, partial / path.relative_to(installation.data), progress)
        else:
            progress(_size(path))
    manifest = Manifest(
        version=VERSION,
        installation=_installation_id(installation),
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=tuple(_described(partial, path) for path in sorted(partial.rglob("*")) if path.is_file()),
    )
    (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    _make_private_and_durable(partial)
    if target.exists():
        target.rmdir()
    partial.replace(target)
    return manifest


def restore(source: Path, data: Path, progress: Progress) -> Manifest:
    """Makes a data folder of a backup. Raises `BackupRefused`, or `BackupDamaged` having made nothing."""
    manifest = read_manifest(source)
    if data.exists() and any(data.iterdir()):
        raise BackupRefused(f"{data} is not empty; restore into a new folder, or move this one away first")
    partial = data.with_name(f".{data.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    for file in manifest.files:
        target = partial / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / file.path, target)
        if _described(partial, target) != file:
            raise BackupDamaged(f"{source / file.path} is not what {MANIFEST} says; take another backup")
        if target.suffix in _DATABASES:
            check_database(target)
        progress(file.bytes)
    (partial / "run").mkdir()
    open_installation(partial)
    _make_private_and_durable(partial)
    if data.exists():
        data.rmdir()
    partial.replace(data)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """What a backup holds. Raises `BackupRefused` for a folder that is none."""
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError as problem:
        raise BackupRefused(f"{source} has no {MANIFEST}: it is no (whole) backup") from problem
    except msgspec.MsgspecError as problem:
        raise BackupRefused(f"{source / MANIFEST} is not readable: {problem}") from problem
    if manifest.version > VERSION:
        raise BackupRefused(f"{source} was taken by a newer Tabard; restore it with that one")
    return manifest


def is_running(installation: Installation) -> bool:
    """Whether any role of the installation lives."""
    return bool(running_roles(installation.run))


def _before_the_log(installation: Installation) -> Iterator[Path]:
    """What is copied before the log, in this order."""
    yield installation.format_file
    yield from sorted(path for path in installation.keys.iterdir() if path.is_file())
    yield from sorted(installation.plugins.glob("*.py"))
    yield from sorted(installation.scripts.glob(f"*{SCRIPTS}"))
    yield installation.sessions_file
    yield installation.workspace_db
    yield installation.delivery_db
    yield installation.store_db
    yield installation.quarantine_db


def _of_the_log(installation: Installation) -> list[Path]:
    folders = [folder for _, folder in partition_folders(installation)]
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in _DATABASES]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _copy(path: Path, target: Path, progress: Progress) -> None:
    if not path.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in _DATABASES:
        copy_database(path, target, progress)
    else:
        shutil.copy2(path, target)
        progress(_size(target))


def _described(root: Path, path: Path) -> CopiedFile:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return CopiedFile(str(path.relative_to(root)), path.stat().st_size, digest.hexdigest())


def _installation_id(installation: Installation) -> str:
    document = msgspec.json.decode(installation.format_file.read_bytes(), type=dict[str, str | int])
    return str(document["installation"])


def _make_private_and_durable(root: Path) -> None:
    for path in [*root.rglob("*"), root]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
