"""A recorded disk for databases that are opened without naming a VFS."""

import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tabard.testing.recording_vfs import RecordingVfs


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingVfs]:
    """The VFS under every database opened from now on, until `unregister`."""
    vfs = RecordingVfs("recording")
    before = apsw.vfs_names()[0]
    apsw.set_default_vfs("recording")
    fdatasync, fsync = os.fdatasync, os.fsync

    def data_synced(descriptor: int) -> None:
        fdatasync(descriptor)
        vfs.synced(Path(f"/proc/self/fd/{descriptor}").resolve())

    def folder_synced(descriptor: int) -> None:
        fsync(descriptor)
        vfs.folder_synced(Path(f"/proc/self/fd/{descriptor}").resolve())

    monkeypatch.setattr(os, "fdatasync", data_synced)
    monkeypatch.setattr(os, "fsync", folder_synced)
    yield vfs
    apsw.set_default_vfs(before)
    vfs.unregister()
