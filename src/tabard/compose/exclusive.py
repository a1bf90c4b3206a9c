"""Locks that keep a second process of one kind from an installation."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PAUSE_S: Final = 0.05


class AlreadyRunning(Exception):
    """Another process holds the lock; the text names it and what to do."""


@contextlib.contextmanager
def exclusive(path: Path, what: str, *, wait_s: float = 0, orphans_s: float = 0) -> Iterator[int]:
    """Holds the lock file while inside, and however the process ends; yields its descriptor.

    A child that is handed the descriptor holds the lock too. Raises `AlreadyRunning` after `wait_s`, or after
    `orphans_s` where the process that took the lock is gone and only children of it are left.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        began_s = time.monotonic()
        while not _taken(descriptor):
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            is_orphaned = holder.isdecimal() and not lives(int(holder))
            if time.monotonic() - began_s >= (orphans_s if is_orphaned else wait_s):
                left = f"what process {holder} started still runs" if is_orphaned else f"process {holder}"
                raise AlreadyRunning(f"{what} runs on {path.parent.parent} already ({left}); stop it first")
            time.sleep(_PAUSE_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lives(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
