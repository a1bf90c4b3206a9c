"""Acknowledged means kept: a real writing process is killed at random moments, again and again, on one log."""

import random
import subprocess
import sys
import time
from pathlib import Path

from tabard.clock import SystemClock
from tabard.log.drivers.sqlite import SqliteLogReader, SqliteRetention, check_integrity, segment
from tabard.log.progress import FileProgress
from tabard.log.retention import RetentionPolicy
from tests.integration.log.killed_writer import value_at

ROUNDS = 12


def started_writer(root: Path, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.log.killed_writer", str(root), str(seed)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        text=True,
    )


def acknowledged_until_killed(root: Path, round_number: int, chance: random.Random) -> int:
    """Starts a writer, kills it some time after its first acknowledgement; the last end it acknowledged."""
    child = started_writer(root, round_number)
    assert child.stdout
    first = child.stdout.readline()
    time.sleep(chance.uniform(0, 0.1))
    child.kill()
    said = [first, *child.stdout.read().splitlines(keepends=True)]
    child.wait()
    child.stdout.close()
    return max(int(line) for line in said if line.endswith("\n"))


def test_nothing_acknowledged_is_lost_or_altered_however_often_the_writer_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "log"
    chance = random.Random(11)
    standing = SqliteLogReader(root)
    read = acknowledged = 0
    for number in range(ROUNDS):
        acknowledged = acknowledged_until_killed(root, number, chance)
        while entries := standing.read(1, read, 500):
            assert [entry.value for entry in entries] == [value_at(read + at) for at in range(len(entries))]
            read += len(entries)
        assert read >= acknowledged
    assert check_integrity(root).problems == []
    assert len(segment.firsts(root / "1")) > 3
    print(f"acknowledged {acknowledged}, kept {read}, writers killed {ROUNDS}")


def test_readers_follow_a_writing_process_across_segments_while_retention_removes_them(tmp_path: Path) -> None:
    root = tmp_path / "log"
    child = started_writer(root, 5)
    reader = SqliteLogReader(root)
    progress = FileProgress(tmp_path / "progress", reader.log_id, SystemClock())
    retention = SqliteRetention(root, progress, RetentionPolicy(log_retention_s=0))
    read = removed = 0
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for _ in range(20):
            entries = reader.read(1, read, 700)
            assert [entry.value for entry in entries] == [value_at(read + at) for at in range(len(entries))]
            read += len(entries)
            assert reader.end(1) >= read
            time.sleep(0 if entries else 0.002)
        progress.mark("resolver", 1, read)
        progress.close()
        removed += len(retention.sweep(0))
        assert 0 <= reader.start(1) <= read
    child.kill()
    child.communicate()
    assert removed > 5
    assert check_integrity(root).problems == []
