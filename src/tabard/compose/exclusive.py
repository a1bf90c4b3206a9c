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
def exclusive(path: Path, what: str, wait_s: float = 0) -> Iterator[None]:
    """Holds the lock file while inside, and however the process ends. Raises `AlreadyRunning` after `wait_s`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline_s = time.monotonic() + wait_s
        while not _taken(descriptor):
            if time.monotonic() >= deadline_s:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                raise AlreadyRunning(f"{what} runs on {path.parent.parent} already (process {holder}); stop it first")
            time.sleep(_PAUSE_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
