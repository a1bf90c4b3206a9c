"""What a power cut would leave: an SQLite VFS that notes every write and sync, and rebuilds the files as of any moment.

A killed process leaves the page cache to the system, so only this shows whether a commit waited for the disk.
"""

import random
from pathlib import Path
from typing import Final

import apsw
import msgspec

_BASE: Final = "unix"
"""The VFS below. By its name: the recording one may be the default."""


class _Step(msgspec.Struct, frozen=True):
    """One thing that happened to a file: `kind` is open, write, truncate, sync, delete, rename or folder."""

    kind: str
    path: str
    offset: int = 0
    data: bytes = b""
    target: str = ""


class _File:
    """A file on the disk of the model: what is surely there, and what was written since and may or may not be."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[_Step] = []

    def sync(self) -> None:
        self.survive(self.pending)

    def survive(self, steps: list[_Step]) -> None:
        for step in steps:
            if step.kind == "truncate":
                del self.durable[step.offset :]
                continue
            missing = step.offset - len(self.durable)
            if missing > 0:
                self.durable.extend(bytes(missing))
            self.durable[step.offset : step.offset + len(step.data)] = step.data
        self.pending = []


class RecordingVfs(apsw.VFS):
    """Registered under `name` while it lives; open databases with `vfs=name`. Give it every file from its creation on.

    Names: a file's name is on disk once the file or its folder was synced (as on ext4), a rename or removal once the
    folder was. What Python does outside SQLite is noted by `renamed`, `synced` and `folder_synced`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, _BASE)
        self.steps: Final[list[_Step]] = []

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_RecordingFile":  # noqa: N802
        """Opens a file of which all writes and syncs are noted."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.steps.append(_Step("open", path))
        return _RecordingFile(self, name, path, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Removes a file, and notes it."""
        super().xDelete(filename, syncdir)
        self.steps.append(_Step("delete", filename))
        if syncdir:
            self.folder_synced(Path(filename).parent)

    def renamed(self, source: Path, target: Path) -> None:
        """Notes a rename."""
        self.steps.append(_Step("rename", str(source), target=str(target)))

    def synced(self, file: Path) -> None:
        """Notes that a file was made durable past SQLite."""
        self.steps.append(_Step("sync", str(file)))

    def folder_synced(self, folder: Path) -> None:
        """Notes that the names in a folder were made durable."""
        self.steps.append(_Step("folder", str(folder)))

    def rebuild(self, source: Path, target: Path, *, cut: int, chance: random.Random | None = None) -> None:
        """Writes the files below `source` to `target` as the disk has them after the first `cut` steps.

        Without `chance` nothing survives that was not synced; with it each later write or name change does or does
        not, one by one, as disks reorder them.
        """
        names: dict[str, _File] = {}
        durable: dict[str, _File] = {}
        for step in self.steps[:cut]:
            _apply(step, names, durable)
        if chance:
            for path in {*names, *durable}:
                if names.get(path) is not durable.get(path) and chance.random() < 0.5:  # noqa: PLR2004
                    _move(path, names, durable)
        for path, file in durable.items():
            if chance:
                file.survive([step for step in file.pending if chance.random() < 0.5])  # noqa: PLR2004
            place = target / Path(path).relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.durable)


def _apply(step: _Step, names: dict[str, _File], durable: dict[str, _File]) -> None:
    match step.kind:
        case "open":
            names.setdefault(step.path, _File())
        case "sync":
            names[step.path].sync()
            durable[step.path] = names[step.path]
        case "delete":
            names.pop(step.path)
        case "rename":
            names[step.target] = names.pop(step.path)
        case "folder":
            for path in {*names, *durable}:
                if str(Path(path).parent) == step.path:
                    _move(path, names, durable)
        case _:
            names[step.path].pending.append(step)


def _move(path: str, names: dict[str, _File], durable: dict[str, _File]) -> None:
    if path in names:
        durable[path] = names[path]
    else:
        durable.pop(path, None)


class _RecordingFile(apsw.VFSFile):
    def __init__(self, vfs: RecordingVfs, name: str | apsw.URIFilename | None, path: str, flags: list[int]) -> None:
        super().__init__(_BASE, name, flags)
        self._steps = vfs.steps
        self._path = path

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._steps.append(_Step("write", self._path, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._steps.append(_Step("truncate", self._path, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._steps.append(_Step("sync", self._path))
