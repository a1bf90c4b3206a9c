"""The file `log.json`: which log this is, and in which format. A position means nothing without its log id."""

import os
import uuid
from pathlib import Path
from typing import Final

import msgspec

from tabard.log.interface import LogFormatUnknown, LogUnavailable

FORMAT: Final = 1
"""The format of the files below `log/` that this release writes and reads."""

LOG_JSON: Final = "log.json"
"""The file's name in the folder of the log."""


class _Description(msgspec.Struct, rename="camel"):
    format: int
    log_id: str


def open_log(root: Path) -> str:
    """The log id of the log at `root`, which is created when there is none.

    Whoever comes first creates it, collector or resolver. Raises `LogFormatUnknown` for a log of a newer release, and
    `LogUnavailable("log_failed")` for one that lost its description.
    """
    path = root / LOG_JSON
    if not path.exists():
        _create(path)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Description)
    except msgspec.DecodeError as problem:
        raise LogUnavailable("log_failed", f"{path} is unreadable ({problem}); restore it from a backup") from problem
    if found.format != FORMAT:
        raise LogFormatUnknown(
            f"{path} says format {found.format}, this release of Tabard reads format {FORMAT}: "
            "start the release that wrote it, or a newer one"
        )
    return found.log_id


def _create(path: Path) -> None:
    root = path.parent
    root.mkdir(parents=True, exist_ok=True)
    if any(entry.name.isdecimal() for entry in root.iterdir()):
        raise LogUnavailable("log_failed", f"{path} is missing though the log has partitions; restore it from a backup")
    draft = root / f".{LOG_JSON}.{uuid.uuid4().hex}"
    with draft.open("xb") as file:
        file.write(msgspec.json.encode(_Description(format=FORMAT, log_id=str(uuid.uuid4()))))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, not a rename: of two processes that start together the second keeps the first one's id.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Makes names created, renamed or removed in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
