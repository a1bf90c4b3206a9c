"""What a running role says of itself: `run/<name>.json`, whose modification time is its heartbeat."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from tabard.compose.exclusive import lives

BEAT_S: Final = 1.0
"""How often a healthy role beats."""

GONE_S: Final = 300.0
"""A role that has not beaten for so long is gone, whatever process has its number now."""


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One running role: its name (`collector-1`), process, start (ms) and, if it listens, its address.

    `is_ready`: it does its work, and does not wait for what another role makes first.
    """

    name: str
    pid: int
    started_at: int
    address: str = ""
    is_ready: bool = True


class SupervisedRole(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the supervisor knows of a role: how often it started it again, whether it dies again and again."""

    name: str
    restarts: int = 0
    crash_looping: bool = False
    last_exit: str = ""


class Supervised(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`run/supervisor.json`, there while `tabard serve` runs, and after it was killed."""

    pid: int = 0
    roles: tuple[SupervisedRole, ...] = ()


class Heartbeat:
    """Announces a role and lets it say, each second, that its loop still turns."""

    def __init__(self, run: Path, name: str, address: str = "", *, is_ready: bool = True) -> None:
        self._path = run / f"{name}.json"
        self._next_s = 0.0
        status = RoleStatus(
            name=name, pid=os.getpid(), started_at=time.time_ns() // 1_000_000, address=address, is_ready=is_ready
        )
        run.mkdir(mode=0o700, exist_ok=True)
        partial = run / f".{name}.json"
        partial.write_bytes(msgspec.json.encode(status))
        partial.replace(self._path)

    def beat(self) -> None:
        """Says that the role works; cheap enough for every turn of a loop."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + BEAT_S / 2
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._path)

    def end(self) -> None:
        """Takes the announcement back."""
        self._path.unlink(missing_ok=True)


def read_status(run: Path, name: str) -> RoleStatus | None:
    """What a role announced; None where it did not, ended in order, or its file was damaged."""
    try:
        return msgspec.json.decode((run / f"{name}.json").read_bytes(), type=RoleStatus)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def held_file(run: Path, name: str) -> Path:
    """The lock file whose holder keeps a role from running: the supervisor stops it, and starts it afterwards."""
    return run / f"{name}.held"


def supervised_roles(run: Path) -> tuple[SupervisedRole, ...]:
    """What the supervisor says of its roles; none where it says nothing, or its file was damaged."""
    try:
        return msgspec.json.decode((run / "supervisor.json").read_bytes(), type=Supervised).roles
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def beat_age_s(run: Path, name: str) -> float | None:
    """Seconds since a role's last beat; None where it announced nothing."""
    try:
        return max(0.0, time.time() - (run / f"{name}.json").stat().st_mtime)
    except FileNotFoundError:
        return None


def running_roles(run: Path) -> list[tuple[RoleStatus, float]]:
    """Every role that announced itself and whose process lives, with its heartbeat's age in seconds."""
    found = []
    for path in sorted(run.glob("*-*.json")):
        status, age_s = read_status(run, path.stem), beat_age_s(run, path.stem)
        if status is not None and age_s is not None and age_s < GONE_S and lives(status.pid):
            found.append((status, age_s))
    return found
