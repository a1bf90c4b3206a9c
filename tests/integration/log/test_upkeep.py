"""What keeps an installation's log in order: retention, progress marks, format, identity of the log."""

import json
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import apsw
import pytest

from tabard.clock import SystemClock
from tabard.log.disk import disk
from tabard.log.drivers.sqlite import (
    LogOptions,
    SqliteLogReader,
    SqliteLogWriter,
    SqliteRetention,
    check_integrity,
    copy_log,
    segment,
)
from tabard.log.interface import LogFormatUnknown, LogUnavailable, OffsetGone
from tabard.log.progress import FileProgress
from tabard.log.retention import RetentionPolicy

OPTIONS = LogOptions(segment_bytes=64 * 1024, disk_floor_bytes=1)
DAY_MS = 86_400_000


class HeldClock(SystemClock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


class Installation:
    """A log of more than ten small segments, with its progress marks."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "log"
        self.clock = HeldClock()
        self.writer = SqliteLogWriter(self.root, 1, OPTIONS, self.clock)
        for _ in range(105):
            self.writer.append([bytes(7000)])
        self.progress = FileProgress(folder / "progress", self.writer.log_id, self.clock)

    def sweep(self, **policy: int) -> list[int]:
        retention = SqliteRetention(self.root, self.progress, RetentionPolicy(**policy))
        return [each.first_offset for each in retention.sweep(self.clock.ms)]

    def consume(self, consumer: str, offset: int) -> None:
        self.clock.ms += 10_000
        self.progress.mark(consumer, 1, offset)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_nothing_goes_while_nobody_has_consumed_anything(installation: Installation) -> None:
    installation.clock.ms += 100 * DAY_MS
    assert installation.sweep(log_retention_s=0, log_bytes_max=1) == []


def test_the_log_keeps_what_the_slowest_consumer_needs(installation: Installation) -> None:
    firsts = segment.firsts(installation.root / "1")
    installation.consume("resolver", 105)
    installation.consume("copy", firsts[3] + 1)
    assert installation.sweep(log_retention_s=0, log_bytes_max=1) == firsts[:3]
    assert list((installation.root / "1").glob(f"{firsts[0]:020d}*")) == []
    reader = SqliteLogReader(installation.root)
    assert reader.start(1) == firsts[3]
    with pytest.raises(OffsetGone):
        reader.read(1, 0, 1)
    assert len(reader.read(1, firsts[3], 1000)) == 105 - firsts[3]


def test_the_wait_runs_from_the_consumption_and_survives_a_restart(installation: Installation) -> None:
    firsts = segment.firsts(installation.root / "1")
    installation.clock.ms += 30 * DAY_MS
    installation.consume("resolver", firsts[2])
    assert installation.sweep(log_retention_s=7 * 86_400) == []
    installation.clock.ms += 4 * DAY_MS
    installation.consume("resolver", firsts[5])
    assert installation.sweep(log_retention_s=7 * 86_400) == []
    installation.clock.ms += 4 * DAY_MS
    assert installation.sweep(log_retention_s=7 * 86_400) == firsts[:2]
    installation.clock.ms += 4 * DAY_MS
    assert installation.sweep(log_retention_s=7 * 86_400) == firsts[2:5]


def test_a_log_above_its_size_gives_consumed_segments_away_early(installation: Installation) -> None:
    firsts = segment.firsts(installation.root / "1")
    sizes = [segment.size(segment.path_of(installation.root / "1", first)) for first in firsts]
    installation.consume("resolver", firsts[6])
    assert installation.sweep(log_retention_s=7 * 86_400, log_bytes_max=sum(sizes[3:]) + 1) == firsts[:3]
    assert installation.sweep(log_retention_s=7 * 86_400, log_bytes_max=1) == firsts[3:6]


def test_the_newest_segment_always_stays(installation: Installation) -> None:
    installation.consume("resolver", 105)
    installation.sweep(log_retention_s=0)
    assert len(segment.firsts(installation.root / "1")) == 1
    assert SqliteLogReader(installation.root).end(1) == 105
    assert installation.writer.append([b"x"]) == 105


def test_a_segment_is_closed_by_age_too(tmp_path: Path) -> None:
    clock = HeldClock()
    writer = SqliteLogWriter(tmp_path / "log", 1, LogOptions(segment_age_s=60, disk_floor_bytes=1), clock)
    writer.append([b"a"])
    clock.ms += 59_000
    writer.append([b"b"])
    clock.ms += 2_000
    writer.check()
    assert segment.firsts(tmp_path / "log" / "1") == [0, 2]
    clock.ms += 100_000
    writer.check()
    assert segment.firsts(tmp_path / "log" / "1") == [0, 2]
    assert writer.append([b"c"]) == 2


def test_marks_are_written_every_two_seconds_and_read_by_other_processes(tmp_path: Path) -> None:
    clock = HeldClock()
    progress = FileProgress(tmp_path, "log-a", clock)
    other = FileProgress(tmp_path, "log-a", clock)
    assert other.slowest(1) is None
    progress.mark("resolver", 1, 10)
    progress.mark("resolver", 1, 20)
    assert other.slowest(1) == 10
    clock.ms += 2_000
    progress.mark("resolver", 1, 30)
    assert other.slowest(1) == 30
    progress.mark("resolver", 2, 5)
    progress.close()
    assert (other.slowest(1), other.slowest(2), other.slowest(3)) == (30, 5, None)
    restarted = FileProgress(tmp_path, "log-a", clock)
    restarted.mark("resolver", 2, 6)
    assert (other.slowest(1), other.slowest(2)) == (30, 6)


@pytest.mark.parametrize("content", [b"", b"{", b'{"logId":"log-b","marks":{"1":50}}', b'{"logId":"log-a","marks":{}}'])
def test_a_consumer_whose_marks_say_nothing_of_this_log_holds_everything_back(tmp_path: Path, content: bytes) -> None:
    progress = FileProgress(tmp_path, "log-a", SystemClock())
    progress.mark("resolver", 1, 50)
    (tmp_path / "copy.json").write_bytes(content)
    assert progress.slowest(1) == 0


def test_a_log_of_a_newer_release_is_refused_by_name(tmp_path: Path) -> None:
    root = tmp_path / "log"
    SqliteLogReader(root)
    description = json.loads((root / "log.json").read_text())
    (root / "log.json").write_text(json.dumps({**description, "format": 2}))
    for open_it in (lambda: SqliteLogReader(root), lambda: SqliteLogWriter(root, 1), lambda: check_integrity(root)):
        with pytest.raises(LogFormatUnknown, match="format 2"):
            open_it()


def test_a_segment_of_a_newer_release_is_refused_by_name(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, OPTIONS)
    writer.append([b"x"])
    writer.close()
    newer = apsw.Connection(str(segment.path_of(root / "1", 0)))
    newer.pragma("user_version", 2)
    newer.close()
    with pytest.raises(LogFormatUnknown, match="format 2"):
        SqliteLogReader(root).read(1, 0, 1)
    with pytest.raises(LogFormatUnknown, match="format 2"):
        SqliteLogWriter(root, 1, OPTIONS).append([b"y"])
    assert "format 2" in check_integrity(root).problems[0]


def test_a_log_that_lost_its_description_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    root = tmp_path / "log"
    SqliteLogWriter(root, 1, OPTIONS).append([b"x"])
    (root / "log.json").unlink()
    with pytest.raises(LogUnavailable, match="restore it from a backup"):
        SqliteLogReader(root)


def test_a_segment_put_under_another_name_is_noticed(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, OPTIONS)
    writer.append([b"x"])
    writer.close()
    segment.path_of(root / "1", 0).rename(segment.path_of(root / "1", 5))
    with pytest.raises(LogUnavailable, match="belongs elsewhere"):
        SqliteLogWriter(root, 1, OPTIONS).check()
    assert any("belongs elsewhere" in problem for problem in check_integrity(root).problems)


def test_a_missing_segment_is_found_as_a_hole(installation: Installation) -> None:
    firsts = segment.firsts(installation.root / "1")
    segment.remove(segment.path_of(installation.root / "1", firsts[4]))
    problems = check_integrity(installation.root).problems
    before = segment.path_of(installation.root / "1", firsts[3])
    assert problems == [f"{before}: ends at offset {firsts[4]}, the next segment begins at {firsts[5]}"]
    with pytest.raises(LogUnavailable, match=f"no offset {firsts[4]}"):
        SqliteLogReader(installation.root).read(1, firsts[4], 1)


def test_the_integrity_check_counts_what_it_saw(installation: Installation) -> None:
    report = check_integrity(installation.root)
    segments = len(segment.firsts(installation.root / "1"))
    assert segments > 10
    assert (report.partitions, report.segments, report.entries, report.problems) == (1, segments, 105, [])
    assert report.bytes > 105 * 7000


def test_a_log_in_use_is_copied_whole(installation: Installation, tmp_path: Path) -> None:
    copy_log(installation.root, tmp_path / "copy")
    installation.writer.append([b"after the copy"])
    reader, original = SqliteLogReader(tmp_path / "copy"), SqliteLogReader(installation.root)
    assert reader.log_id == original.log_id
    assert reader.read(1, 0, 1000) == original.read(1, 0, 105)
    assert check_integrity(tmp_path / "copy").problems == []
    assert SqliteLogWriter(tmp_path / "copy", 1, OPTIONS).append([b"goes on"]) == 105


def test_a_poll_past_the_end_of_an_empty_log_does_not_confuse_the_reads_to_come(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, OPTIONS)
    writer.check()
    reader = SqliteLogReader(root)
    assert reader.read(1, 3, 10) == []
    assert reader.read(1, 3, 10) == []
    writer.append([b"%d" % number for number in range(5)])
    assert [entry.value for entry in reader.read(1, 3, 10)] == [b"3", b"4"]


def test_one_read_takes_bounded_memory_and_the_next_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = SqliteLogWriter(root, 1, LogOptions(disk_floor_bytes=1))
    for _ in range(20):
        writer.append([bytes(32_000)] * 20)
    reader = SqliteLogReader(root)
    first = reader.read(1, 0, 10_000)
    assert 8_000_000 < sum(len(entry.value) for entry in first) < 10_000_000
    assert len(first) + len(reader.read(1, len(first), 10_000)) == 400


def _hold(root: Path, pipe: Connection) -> None:
    SqliteLogWriter(root, 0, OPTIONS)
    pipe.send(os.getpid())
    pipe.recv()


def test_a_second_writing_process_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path / "log", there))
    child.start()
    assert here.recv() == child.pid
    with pytest.raises(LogUnavailable, match=rf"partition 0 .* by process {child.pid} since \d{{4}}-") as refused:
        SqliteLogWriter(tmp_path / "log", 0)
    assert refused.value.code == "log_locked"
    child.kill()
    SqliteLogWriter(tmp_path / "log", 0, LogOptions(disk_floor_bytes=1, lock_wait_s=10)).append([b"mine now"])
    child.join()
    here.close()
    there.close()


def test_an_sqlite_that_may_damage_a_shared_write_ahead_log_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    for open_it in (lambda: SqliteLogReader(tmp_path), lambda: SqliteLogWriter(tmp_path, 1)):
        with pytest.raises(RuntimeError, match=r"3\.51\.2 is too old: 3\.51\.3"):
            open_it()


def test_the_default_floor_is_the_larger_of_two_gib_and_a_twentieth(tmp_path: Path) -> None:
    state = disk(tmp_path)
    assert state.floor_bytes == max(2 * 1024**3, state.total_bytes // 20)
    assert disk(tmp_path, 7).floor_bytes == 7
    assert disk(tmp_path, state.total_bytes).below_floor
    assert not disk(tmp_path, 1).below_floor


def _append_now(root: Path, pipe: Connection) -> None:
    writer = SqliteLogWriter(root, 1, OPTIONS)
    for _ in range(pipe.recv()):
        writer.append([b"%d" % time.monotonic_ns()])
        time.sleep(0.005)


def test_another_process_sees_an_append_within_milliseconds(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_append_now, args=(tmp_path / "log", there))
    child.start()
    here.send(100)
    reader = SqliteLogReader(tmp_path / "log")
    delays_ms: list[float] = []
    deadline = time.monotonic() + 10
    while len(delays_ms) < 100 and time.monotonic() < deadline:
        entries = reader.read(1, len(delays_ms), 100)
        delays_ms += [(time.monotonic_ns() - int(entry.value)) / 1e6 for entry in entries]
        time.sleep(0.002)
    child.join()
    here.close()
    there.close()
    assert len(delays_ms) == 100
    assert sorted(delays_ms)[50] < 20


def test_a_reader_holds_no_transaction_between_its_calls(installation: Installation) -> None:
    reader = SqliteLogReader(installation.root)
    newest = segment.firsts(installation.root / "1")[-1]
    reader.end(1)
    reader.read(1, newest, 1)
    path = segment.path_of(installation.root / "1", newest)
    other = apsw.Connection(str(path))
    assert other.pragma("user_version") == segment.FORMAT
    other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert path.with_name(path.name + "-wal").stat().st_size == 0
    other.close()
