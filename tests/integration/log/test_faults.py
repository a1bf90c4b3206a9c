"""A disk that fails: each fault has its name, nothing is acknowledged during it, and the log goes on after it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter, check_integrity, segment
from tabard.log.interface import LogUnavailable
from tests.integration.log.faulty_vfs import FaultyVfs

VFS = "faulty"
OPTIONS = LogOptions(disk_floor_bytes=1, vfs=VFS)


@pytest.fixture
def vfs() -> Iterator[FaultyVfs]:
    vfs = FaultyVfs(VFS)
    yield vfs
    vfs.unregister()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a small file system here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def values_of(root: Path) -> list[bytes]:
    reader = SqliteLogReader(root)
    values: list[bytes] = []
    while entries := reader.read(1, len(values), 1000):
        values += [entry.value for entry in entries]
    assert reader.end(1) == len(values)
    reader.close()
    return values


FAULTS = {
    "full": ("write", apsw.SQLITE_FULL, "disk_full"),
    "read-only": ("write", apsw.SQLITE_READONLY, "disk_read_only"),
    "write": ("write", apsw.SQLITE_IOERR_WRITE, "log_failed"),
    "sync": ("sync", apsw.SQLITE_IOERR_FSYNC, "log_failed"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("appends_before", [0, 3])
@pytest.mark.parametrize("reader_stands", [False, True])
def test_a_fault_is_named_and_the_log_goes_on_where_it_stopped(
    vfs: FaultyVfs, tmp_path: Path, name: str, appends_before: int, reader_stands: bool
) -> None:
    operation, problem, code = FAULTS[name]
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, OPTIONS)
    writer.check()
    kept = [b"kept %d" % number for number in range(appends_before)]
    for value in kept:
        writer.append([value])
    reader = SqliteLogReader(root)
    if reader_stands:
        assert reader.end(1) == len(kept)
    vfs.fault = lambda what, _: apsw.exception_for(problem) if what == operation else None
    for attempt in (writer.check, lambda: writer.append([b"refused"] * 20), writer.check):
        with pytest.raises(LogUnavailable) as refused:
            attempt()
        assert refused.value.code == code
        assert refused.value.retry_after_s > 0
        assert reader.read(1, len(kept), 10) == []
    vfs.fault = None
    assert writer.append([b"after", b"wards"]) == len(kept)
    assert [entry.value for entry in reader.read(1, len(kept), 10)] == [b"after", b"wards"]
    assert writer.append([b"more"]) == len(kept) + 2
    writer.close()
    assert values_of(root) == [*kept, b"after", b"wards", b"more"]
    assert check_integrity(root).problems == []


def test_a_commit_whose_sync_failed_stays_hidden_even_when_sqlite_recovers_it(vfs: FaultyVfs, tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, OPTIONS)
    writer.append([b"kept"])
    early = SqliteLogReader(root)
    early.start(1)  # knows the old segment as the newest, and has not opened it yet
    wal = segment.path_of(root / "1", 0).with_name("00000000000000000000.segment-wal")

    def failing(what: str, path: str) -> Exception | None:
        return apsw.exception_for(apsw.SQLITE_IOERR_FSYNC) if what == "sync" and path.endswith(wal.name) else None

    vfs.fault = failing
    with pytest.raises(LogUnavailable):
        writer.append([b"unknown"])
    left_behind = wal.read_bytes()
    vfs.fault = None
    writer.append([b"acknowledged"])
    wal.write_bytes(left_behind)  # as when the process dies here and SQLite recovers the old segment on opening
    assert [entry.value for entry in early.read(1, 0, 10)] == [b"kept", b"acknowledged"]
    assert values_of(root) == [b"kept", b"acknowledged"]
    assert check_integrity(root).problems == []


def test_an_append_that_fits_no_more_is_refused_whole_and_fits_after_space_was_made(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    root = small_disk / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    kept: list[bytes] = []

    def fill() -> None:
        for number in range(100):
            writer.append([b"%d" % number * 9000])
            kept.append(b"%d" % number * 9000)

    with pytest.raises(LogUnavailable) as refused:
        fill()
    assert refused.value.code == "disk_full"
    assert kept
    assert values_of(root) == kept
    ballast.unlink()
    writer.check()
    assert writer.append([b"after"]) == len(kept)
    writer.close()
    assert values_of(root) == [*kept, b"after"]


def test_a_writer_that_starts_on_a_full_disk_stands_there_and_says_so(small_disk: Path) -> None:
    root = small_disk / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    writer.append([b"kept"])
    writer.close()
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    for attempt in (writer.check, lambda: writer.append([b"refused"])):
        with pytest.raises(LogUnavailable) as refused:
            attempt()
        assert refused.value.code in ("disk_full", "disk_floor")
    with pytest.raises(LogUnavailable, match=f"by process {os.getpid()} since"):
        SqliteLogWriter(root, 1)
    ballast.unlink()
    assert writer.append([b"after"]) == 1
    writer.close()
    assert values_of(root) == [b"kept", b"after"]


def test_a_read_only_disk_is_named_and_left_behind(small_disk: Path) -> None:
    root = small_disk / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    writer.append([b"kept"])
    writer.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LogUnavailable) as refused:
        SqliteLogWriter(root, 1)
    assert refused.value.code == "disk_read_only"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    assert writer.append([b"after"]) == 1
    writer.close()
    assert values_of(root) == [b"kept", b"after"]


def test_under_the_floor_of_free_disk_nothing_is_taken(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1 << 60))
    for attempt in (writer.check, lambda: writer.append([b"refused"])):
        with pytest.raises(LogUnavailable, match="lower disk_floor_bytes") as refused:
            attempt()
        assert refused.value.code == "disk_floor"
    assert values_of(root) == []


def test_a_segment_that_somebody_locks_is_named_and_left_behind(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    writer.append([b"kept"])
    intruder = apsw.Connection(str(segment.path_of(root / "1", 0)))
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable) as refused:
        writer.append([b"refused"])
    assert refused.value.code == "log_locked"
    assert writer.append([b"after"]) == 1
    intruder.close()
    writer.close()
    assert values_of(root) == [b"kept", b"after"]


def damage(path: Path, needle: bytes) -> bytes:
    """Overwrites what follows `needle` in a file; returns the sound content."""
    sound = path.read_bytes()
    at = sound.index(needle)
    path.write_bytes(sound[:at] + b"#" * len(needle) + sound[at + len(needle) :])
    return sound


def test_a_changed_byte_is_found_by_its_checksum_and_readable_again_once_restored(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    for number in range(10):
        writer.append([b"value %d " % number * 900])
    writer.close()
    path = segment.path_of(root / "1", 0)
    sound = damage(path, b"value 7 value 7")
    reader = SqliteLogReader(root)
    assert len(reader.read(1, 0, 10)) == 7
    with pytest.raises(LogUnavailable, match="offset 7") as refused:
        reader.read(1, 7, 10)
    assert refused.value.code == "log_corrupt"
    assert [problem for problem in check_integrity(root).problems if "offset 7" in problem]
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    writer.append([b"the door goes on"])
    writer.close()
    path.write_bytes(sound)
    assert len(values_of(root)) == 10


def test_a_damaged_newest_segment_is_named_and_taken_again_once_restored(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    writer.append([b"kept"])
    writer.close()
    path = segment.path_of(root / "1", 0)
    sound = path.read_bytes()
    path.write_bytes(bytes(100) + sound[100:])
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    for attempt in (writer.check, lambda: writer.append([b"refused"])):
        with pytest.raises(LogUnavailable, match="tabard doctor") as refused:
            attempt()
        assert refused.value.code == "log_corrupt"
    assert check_integrity(root).problems
    path.write_bytes(sound)
    assert writer.append([b"after"]) == 1
    assert values_of(root) == [b"kept", b"after"]
