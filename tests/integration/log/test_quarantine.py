"""Records that cannot be processed are kept with their bytes and reason, once each, bounded, and listed."""

import stat
from pathlib import Path

import apsw
import pytest

from tabard.log.interface import LogFormatUnknown
from tabard.log.quarantine import Quarantine, QuarantinedRecord, QuarantineReader


def record(offset: int, reason: str = "not a record") -> QuarantinedRecord:
    return QuarantinedRecord("log-a", 1, offset, 1_000, "codec", "0.1.0", reason, b"\xff%d" % offset)


def test_what_is_added_is_found_and_listed_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.db"
    reader = QuarantineReader(path)
    assert (list(reader.newest_first()), reader.books(), reader.find("log-a", 1, 0)) == ([], (0, 0), None)
    quarantine = Quarantine(path)
    quarantine.add([record(0), record(7)])
    quarantine.add([record(9)])
    assert list(reader.newest_first()) == [record(9), record(7), record(0)]
    assert reader.find("log-a", 1, 7) == record(7)
    assert reader.find("log-b", 1, 7) is None
    assert reader.books() == (3, 0)


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.db")
    quarantine.add([record(0)])
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    quarantine.close()


def test_a_replay_of_the_log_adds_nothing_twice_and_the_newest_reason_stands(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.db"
    Quarantine(path).add([record(0), record(1)])
    Quarantine(path).add([record(0, "still not a record")])
    assert QuarantineReader(path).books() == (2, 0)
    found = QuarantineReader(path).find("log-a", 1, 0)
    assert found
    assert found.reason == "still not a record"


def test_beyond_the_limit_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.db"
    quarantine = Quarantine(path, records_max=5)
    for offset in range(12):
        quarantine.add([record(offset)])
    reader = QuarantineReader(path)
    assert [each.offset for each in reader.newest_first()] == [11, 10, 9, 8, 7]
    assert reader.books() == (5, 7)


def test_a_file_of_a_newer_release_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.db"
    Quarantine(path).close()
    apsw.Connection(str(path)).pragma("user_version", 2)
    with pytest.raises(LogFormatUnknown, match="format 2"):
        Quarantine(path)
    with pytest.raises(LogFormatUnknown, match="format 2"):
        list(QuarantineReader(path).newest_first())
