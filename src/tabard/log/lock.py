"""The lock of a partition: one writing process, and the second one is told who the first is."""

import contextlib
import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tabard.log.interface import LogUnavailable

_PAUSE_S: Final = 0.02
_NOTE_BYTES: Final = 80


class PartitionLock:
    """Holds `<folder>/lock` until `release` or the end of the process, whichever comes first."""

    def __init__(self, folder: Path, wait_s: float = 0) -> None:
        """Takes the lock, waiting at most `wait_s`. Raises `LogUnavailable("log_locked")`, naming the holder."""
        self._path = folder / "lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + wait_s
        while not self._try():
            if time.monotonic() >= deadline:
                os.close(self._descriptor)
                raise LogUnavailable("log_locked", self._refusal(folder))
            time.sleep(_PAUSE_S)
        self._sign()

    def _sign(self) -> None:
        holder = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        # Always of one length, so that it needs no new room on a full disk; unsigned, it is a lock all the same.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, msgspec.json.encode(holder).ljust(_NOTE_BYTES), 0)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _refusal(self, folder: Path) -> str:
        try:
            holder = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str | int])
        except (OSError, msgspec.DecodeError):
            holder = {}
        return (
            f"partition {folder.name} ({folder}) is written by process {holder.get('pid', 'unknown')} "
            f"since {holder.get('since', 'unknown')}; stop that one, or give this one another partition"
        )

    def release(self) -> None:
        """Lets the next writer in."""
        os.close(self._descriptor)
