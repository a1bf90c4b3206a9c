"""The immutable scripts: this release's, and every one the installation has served before.

A page that pins `/v1/js/{version}/{hash}.js` with `integrity` takes no other, so an upgrade must not take it away. Each
is one file of the data folder, named for its hash, and served byte for byte as it was.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from tabard.collector.browser_assets import CURRENT, Encoding, ImmutableScript, Served, immutable_answer
from tabard.log.progress import replace
from tabard.telemetry.logging import logger

SUFFIX: Final = ".json"
FILE_BYTES_MAX: Final = 1024 * 1024
"""Larger than any script of ours; what is above is none and is not read."""


class ScriptDamaged(Exception):
    """A kept script is not what was kept; the text says why."""


class _Kept(msgspec.Struct, frozen=True):
    """What a file holds. `sha256` is that of `script` as written."""

    sha256: str
    script: msgspec.Raw


class Scripts:
    """Answers for the scripts it was given, found by version and hash."""

    def __init__(self, kept: Iterable[ImmutableScript] = (CURRENT,)) -> None:
        self._scripts = {(script.version, script.hash): script for script in kept}

    def find(self, version: str, content_hash: str, encoding: Encoding | None) -> Served | None:
        """The script, cacheable for ever; None for one that was never served here."""
        script = self._scripts.get((version, content_hash))
        return immutable_answer(script, encoding) if script else None


def keep(folder: Path, current: ImmutableScript, *, scripts_max: int, bytes_max: int) -> Scripts:
    """Keeps the current script in `folder` and gives it with all that are there and whole.

    Beyond the limits those go whose time as the current one is longest ago. What cannot be read or written is logged:
    the collector starts without it.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _write(folder / f"{current.hash}{SUFFIX}", current)
        _drop(folder, scripts_max, bytes_max)
    except OSError as problem:
        logger().warning("collector.scripts.not_kept", problem=str(problem))
    return Scripts([*_whole(folder), current])


def read(path: Path) -> ImmutableScript:
    """The script in a file. Raises `ScriptDamaged` where it is not what the name says, and OSError."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ScriptDamaged(f"it is larger than {FILE_BYTES_MAX} bytes")
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        script = msgspec.json.decode(kept.script, type=ImmutableScript)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise ScriptDamaged(str(problem)) from problem
    if hashlib.sha256(kept.script).hexdigest() != kept.sha256 or script.hash != path.stem:
        raise ScriptDamaged("its content does not have the hash it is kept under")
    return script


def _write(path: Path, script: ImmutableScript) -> None:
    try:
        if read(path) == script:
            os.utime(path)
            return
    except (FileNotFoundError, ScriptDamaged):
        pass
    encoded = msgspec.json.encode(script)
    replace(path, msgspec.json.encode(_Kept(hashlib.sha256(encoded).hexdigest(), msgspec.Raw(encoded))))


def _drop(folder: Path, scripts_max: int, bytes_max: int) -> None:
    """The current one is the newest and so the last to go."""
    sizes = {path: path.stat() for path in folder.glob(f"*{SUFFIX}")}
    newest_first = sorted(sizes, key=lambda path: (-sizes[path].st_mtime_ns, path))
    held = 0
    for number, path in enumerate(newest_first):
        held += sizes[path].st_size
        if number and (number >= scripts_max or held > bytes_max):
            path.unlink(missing_ok=True)
            logger().warning("collector.script.dropped", path=str(path))


def _whole(folder: Path) -> Iterator[ImmutableScript]:
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            yield read(path)
        except (OSError, ScriptDamaged) as problem:
            logger().error("collector.script.damaged", path=str(path), problem=str(problem))
