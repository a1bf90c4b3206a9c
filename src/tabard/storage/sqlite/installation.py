"""The data folder: where everything lies in it, its format version, its creation."""

import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

FORMAT: Final = 1
"""Version of the folder's layout. The databases have versions of their own (`database.migrate`)."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """`format.json`. `profile_secret_sha256` shows that a restored or copied folder kept the secret of its ids."""

    format: int
    installation: str
    created_at: int
    profile_secret_sha256: str


class NoInstallation(Exception):
    """The folder holds no installation; the text names it and the fix."""


class InstallationIncomplete(Exception):
    """Files of an installation are there and others are lost; nothing was made in their place."""


class InstallationDamaged(Exception):
    """A file of an installation cannot be read; the text names it and the fix."""


class FormatTooNew(Exception):
    """A later release wrote this folder; nothing was touched."""


class SecretChanged(Exception):
    """The profile-id secret is not the one this folder was made with: every profile id would change."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The paths of one data folder. Nothing is read or made by naming them."""

    data: Path

    @property
    def format_file(self) -> Path:
        """Version and identity of the folder."""
        return self.data / "format.json"

    @property
    def begun_file(self) -> Path:
        """There while the first start is under way: what it has made so far may be gone on with."""
        return self.data / "first-start"

    @property
    def keys(self) -> Path:
        """Secrets (0700, files 0600)."""
        return self.data / "keys"

    @property
    def workspace_db(self) -> Path:
        """Sources and destinations; written by web and CLI."""
        return self.data / "workspace.db"

    @property
    def store_db(self) -> Path:
        """Messages, facts and profiles; written by the resolver."""
        return self.data / "store.db"

    @property
    def delivery_db(self) -> Path:
        """Cursors, counters, parked and dead; written by the deliverer."""
        return self.data / "delivery.db"

    @property
    def quarantine_db(self) -> Path:
        """Records the resolver could make no message of; written by the resolver."""
        return self.data / "quarantine.db"

    @property
    def databases(self) -> dict[str, Path]:
        """The databases that are migrated, by the name of their migrations."""
        return {"workspace": self.workspace_db, "store": self.store_db, "delivery": self.delivery_db}

    @property
    def plugins(self) -> Path:
        """Files with destinations of one's own."""
        return self.data / "plugins"

    @property
    def scripts(self) -> Path:
        """The immutable scripts that this installation has served; written by its collectors."""
        return self.data / "scripts"

    @property
    def sessions_file(self) -> Path:
        """The sessions of the web role that were ended before their time; written by its processes."""
        return self.data / "sessions.json"

    @property
    def orders(self) -> Path:
        """Orders that wait for the deliverer (resend, replay); kept until it has applied them."""
        return self.data / "orders"

    @property
    def log(self) -> Path:
        """The log, a folder a partition."""
        return self.data / "log"

    @property
    def run(self) -> Path:
        """Heartbeats, status, metrics and progress of the running roles; may be removed while nothing runs."""
        return self.data / "run"

    def exists(self) -> bool:
        """Whether the folder holds an installation."""
        return self.format_file.exists()

    def content(self) -> list[Path]:
        """The files and folders with what people sent or set up."""
        databases = (self.workspace_db, self.store_db, self.delivery_db, self.quarantine_db)
        partitions = sorted(self.log.iterdir()) if self.log.is_dir() else []
        return [path for path in (*databases, *partitions) if path.is_dir() or (path.exists() and path.stat().st_size)]


def open_installation(data: Path) -> Installation:
    """The installation in a folder.

    Raises `NoInstallation`, `InstallationIncomplete`, `InstallationDamaged`, `FormatTooNew` or `SecretChanged`.
    """
    found = Installation(data)
    if not found.exists():
        _refuse_lost_format(found)
        _refuse_file(data)
        raise NoInstallation(f"{data} holds no Tabard installation; start `tabard serve --data {data}` once to make it")
    try:
        stated = msgspec.json.decode(found.format_file.read_bytes(), type=Format)
    except msgspec.DecodeError as problem:
        raise InstallationDamaged(
            f"{found.format_file} is unreadable ({problem}); restore it from a backup (`tabard restore`)"
        ) from problem
    if stated.format > FORMAT:
        raise FormatTooNew(
            f"{data} has data format {stated.format}, this release knows {FORMAT}; install a newer Tabard"
        )
    if _sha256(profile_secret(found)) != stated.profile_secret_sha256:
        raise SecretChanged(f"{found.keys / 'profile-id'} is not the secret {data} was made with; restore it")
    if not found.workspace_db.exists():
        raise InstallationIncomplete(
            f"{found.workspace_db} is lost, and all sources and destinations with it; {_RESTORE}"
        )
    return found


def begin_installation(data: Path) -> Installation:
    """Makes the folder and the profile-id secret. Until `finish_installation` it counts as not made.

    Raises `InstallationIncomplete` where the folder has the content of an installation that lost its `format.json`.
    """
    made = Installation(data)
    _refuse_lost_format(made)
    _refuse_file(data)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    made.begun_file.touch(mode=0o600)
    for folder in (made.keys, made.run, made.log):
        folder.mkdir(mode=0o700, exist_ok=True)
    secret_file = made.keys / "profile-id"
    if not secret_file.exists():
        write_secret(secret_file, os.urandom(32).hex())
    return made


def finish_installation(installation: Installation, now_ms: int) -> None:
    """Writes `format.json`: from now on the folder is an installation."""
    stated = Format(
        format=FORMAT,
        installation=str(uuid.uuid4()),
        created_at=now_ms,
        profile_secret_sha256=_sha256(profile_secret(installation)),
    )
    write_secret(installation.format_file, msgspec.json.format(msgspec.json.encode(stated), indent=1).decode())
    installation.begun_file.unlink(missing_ok=True)


def profile_secret(installation: Installation) -> bytes:
    """The 32 bytes from which profile ids are made (identity.md §6). It never rotates.

    Raises `InstallationIncomplete` where it is lost and `InstallationDamaged` where it is no secret.
    """
    file = installation.keys / "profile-id"
    if not file.exists():
        raise InstallationIncomplete(f"{file} is lost, and all profile ids are made from it; {_RESTORE}")
    try:
        return bytes.fromhex(read_secret(file))
    except ValueError as problem:
        raise InstallationDamaged(f"{file} is no secret of 64 hex digits; {_RESTORE}") from problem


def read_secret(path: Path) -> str:
    """The text of a key file. Raises FileNotFoundError with the fix."""
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError as problem:
        raise FileNotFoundError(f"{path} is missing; restore it from a backup (`tabard restore`)") from problem


def write_secret(path: Path, text: str) -> None:
    """Writes a file readable by its owner only, whole or not at all, on disk when this returns."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


_RESTORE: Final = "put it back from a backup (`tabard restore`)"


def _refuse_lost_format(found: Installation) -> None:
    content = found.content()
    # In this order: a first start in another process writes the one before it removes the other.
    if content and not found.begun_file.exists() and not found.exists():
        held = ", ".join(path.name for path in content)
        raise InstallationIncomplete(f"{found.data} holds {held} but its {found.format_file.name} is lost; {_RESTORE}")


def _refuse_file(data: Path) -> None:
    blocking = next((path for path in (data, *data.parents) if path.exists() and not path.is_dir()), None)
    if blocking:
        raise NoInstallation(f"{blocking} is a file; give --data a folder")


def _sha256(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
