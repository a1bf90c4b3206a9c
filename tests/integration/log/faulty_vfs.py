"""An SQLite VFS that fails on demand: the disk's faults, at the moment a test chooses."""

from collections.abc import Callable

import apsw

Fault = Callable[[str, str], Exception | None]
"""Operation ("write", "sync", "read", "open") and file name to the exception it meets, or None."""


class FaultyVfs(apsw.VFS):
    """Everything works until `fault` says otherwise."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.fault: Fault | None = None

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_FaultyFile":  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.meet("open", path)
        return _FaultyFile(self, name, path, flags)

    def meet(self, operation: str, path: str) -> None:
        problem = self.fault(operation, path) if self.fault else None
        if problem:
            raise problem


class _FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: FaultyVfs, name: str | apsw.URIFilename | None, path: str, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs
        self._path = path

    def excepthook(self, *_: object) -> bool:
        return True

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._vfs.meet("read", self._path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._vfs.meet("write", self._path)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._vfs.meet("sync", self._path)
        super().xSync(flags)
