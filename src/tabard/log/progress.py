"""How far each consumer of the log is, as one small file a consumer, for retention; see `log.interface.Progress`."""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from tabard.clock import Clock
from tabard.telemetry.logging import logger

_PAUSE_S: Final = 2.0
_SUFFIX: Final = ".json"


class _Marks(msgspec.Struct, rename="camel"):
    log_id: str
    marks: dict[int, int]


class FileProgress:
    """Reads and writes the marks in a folder, `run/progress` of an installation."""

    def __init__(self, folder: Path, log_id: str, clock: Clock) -> None:
        self._folder = folder
        self._log_id = log_id
        self._clock = clock
        self._marks: dict[str, dict[int, int]] = {}
        self._due_s: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def mark(self, consumer: str, partition: int, offset: int) -> None:
        """States that `consumer` needs nothing below `offset`: call it after the commit that made this true is durable.

        Written at most every two seconds; a mark that is lost in a crash only makes the log keep more.
        """
        if consumer not in self._marks:
            found = self._read(self._path(consumer))
            self._marks[consumer] = found.marks if found and found.log_id == self._log_id else {}
        self._marks[consumer][partition] = offset
        if self._clock.monotonic_s() >= self._due_s.get(consumer, 0):
            self._write(consumer)

    def slowest(self, partition: int) -> int | None:
        """The lowest mark of a partition, None while no consumer ever marked one.

        A consumer whose file is damaged or speaks of another log counts as having consumed nothing.
        """
        marks = [self._read(path) for path in self._folder.glob(f"*{_SUFFIX}")]
        known = [each.marks if each and each.log_id == self._log_id else {} for each in marks]
        if not any(partition in each for each in known):
            return None
        return min(each.get(partition, 0) for each in known)

    def close(self) -> None:
        """Writes the marks that still wait."""
        for consumer in self._marks:
            self._write(consumer)

    def _path(self, consumer: str) -> Path:
        return self._folder / f"{consumer}{_SUFFIX}"

    def _read(self, path: Path) -> _Marks | None:
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(path.read_bytes(), type=_Marks)
        return None

    def _write(self, consumer: str) -> None:
        path = self._path(consumer)
        text = msgspec.json.encode(_Marks(self._log_id, self._marks[consumer]))
        self._due_s[consumer] = self._clock.monotonic_s() + _PAUSE_S
        try:
            replace(path, text)
        except OSError as problem:
            # Harmless, as the loss of a mark is: on a full disk its owner must not die of it.
            logger().warning("log.progress.unwritten", consumer=consumer, problem=str(problem))


def replace(path: Path, content: bytes) -> None:
    """Gives a small file new content that another process sees whole or not at all, also after a crash."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
