"""Kept means on disk: at any cut of the power, every acknowledged append is there (design.md §4)."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter, check_integrity, segment
from tabard.log.log_id import sync_folder
from tabard.testing.recording_vfs import RecordingVfs

VFS = "recording"
OPTIONS = LogOptions(segment_bytes=300_000, disk_floor_bytes=1, vfs=VFS)
CUTS = 60


class Run:
    """A writer's life on a recorded disk: what was appended, and after which step each append was acknowledged."""

    def __init__(self, vfs: RecordingVfs, root: Path, seed: int) -> None:
        self.vfs = vfs
        self.root = root
        self.values: list[bytes] = []
        self.acknowledged: list[tuple[int, int]] = [(0, 0)]
        self.chance = random.Random(seed)
        writer = SqliteLogWriter(root, 1, OPTIONS)
        for turn in range(250):
            chunk = [self.chance.randbytes(self.chance.randint(1, 3000)) for _ in range(self.chance.choice((1, 2, 30)))]
            assert writer.append(chunk) == len(self.values)
            self.values += chunk
            self.acknowledged.append((len(vfs.steps), len(self.values)))
            if turn % 90 == 60:
                writer.close()
                writer = SqliteLogWriter(root, 1, OPTIONS)
        writer.close()

    def lost(self, folder: Path, *, reorder: bool) -> int:
        """How many acknowledged values are missing or altered after the worst of `CUTS` random cuts."""
        worst = 0
        for number in range(CUTS):
            cut = self.chance.randint(1, len(self.vfs.steps))
            after = folder / str(number)
            shutil.copytree(self.root, after, ignore=shutil.ignore_patterns("*.segment*", "draft*"))
            self.vfs.rebuild(self.root, after, cut=cut, chance=self.chance if reorder else None)
            acknowledged = max(count for step, count in self.acknowledged if step <= cut)
            worst = max(worst, acknowledged - self._found(after))
        return worst

    def _found(self, root: Path) -> int:
        """How many values the restarted log has, all of them in place, and it takes new ones; -1 if it is damaged."""
        if check_integrity(root).problems:
            return -1
        reader = SqliteLogReader(root)
        end = reader.end(1)
        writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
        assert writer.append([b"after the cut"]) == end
        values: list[bytes] = []
        while entries := reader.read(1, len(values), 1000):
            values += [entry.value for entry in entries]
        assert values == [*self.values[:end], b"after the cut"]
        writer.close()
        reader.close()
        return end


@pytest.fixture
def vfs(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingVfs]:
    vfs = RecordingVfs(VFS)
    rename = Path.rename

    def recorded_rename(source: Path, target: Path) -> Path:
        result = rename(source, target)
        vfs.renamed(source, target)
        return result

    def recorded_sync(folder: Path) -> None:
        sync_folder(folder)
        vfs.folder_synced(folder)

    monkeypatch.setattr(Path, "rename", recorded_rename)
    monkeypatch.setattr("tabard.log.drivers.sqlite.segment.sync_folder", recorded_sync)
    yield vfs
    vfs.unregister()


@pytest.mark.parametrize("reorder", [False, True], ids=["nothing unsynced survives", "any part of it survives"])
def test_every_acknowledged_append_survives_a_power_cut(vfs: RecordingVfs, tmp_path: Path, reorder: bool) -> None:
    run = Run(vfs, tmp_path / "log", seed=7)
    assert len(segment.firsts(tmp_path / "log" / "1")) > 3
    assert run.lost(tmp_path, reorder=reorder) == 0


@pytest.mark.parametrize("mode", ["OFF", "NORMAL"])
def test_the_same_run_shows_the_loss_when_commits_do_not_wait_for_the_disk(
    vfs: RecordingVfs, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create", "open_writer"):
        monkeypatch.setitem(segment.SQL, name, segment.SQL[name].replace("= FULL", f"= {mode}"))
    run = Run(vfs, tmp_path / "log", seed=7)
    assert run.lost(tmp_path, reorder=False) > 0
