"""What is known of an installation that runs, from outside its processes."""

from pathlib import Path
from typing import Any

import msgspec

from tabard.compose.listening import address_text, parse_address
from tabard.compose.role_status import RoleStatus, running_roles
from tabard.settings import Settings, load
from tabard.storage.sqlite.installation import Installation, InstallationDamaged


class _Written(msgspec.Struct):
    """`run/settings.json`."""

    settings: dict[str, Any]


def running_settings(installation: Installation) -> Settings:
    """The settings that `tabard serve` last started with; the defaults where it never did.

    Raises `InstallationDamaged` where the file holds none, and `SettingsInvalid`.
    """
    file = installation.run / "settings.json"
    try:
        written = msgspec.json.decode(file.read_bytes(), type=_Written)
    except FileNotFoundError:
        return Settings(data=str(installation.data))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise InstallationDamaged(
            f"{file} is unreadable ({problem}); remove it: `tabard serve` writes it when it starts"
        ) from problem
    settings: Settings = load(file=written.settings)
    return settings


def running_role(installation: Installation, kind: str) -> RoleStatus | None:
    """A live role of a kind (`collector`, `web`, …), None where there is none."""
    return next(
        (role for role, _ in running_roles(installation.run) if role.name.startswith(f"{kind}-") and role.is_ready),
        None,
    )


def local_url(settings: Settings, role: RoleStatus) -> str:
    """Where this machine reaches a role that listens."""
    host, port = parse_address(role.address)
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
    is_tls = bool(settings.tls_cert) and role.name.startswith("collector-")
    return f"{'https' if is_tls else 'http'}://{address_text(here, port)}"


def partition_folders(installation: Installation) -> list[tuple[int, Path]]:
    """The partitions of the log with their folders, ascending."""
    if not installation.log.exists():
        return []
    return sorted((int(each.name), each) for each in installation.log.iterdir() if each.name.isdecimal())
