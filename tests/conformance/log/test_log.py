"""What every log driver promises (`log.interface`)."""

from pathlib import Path

import pytest

import tabard.log.drivers
from tabard.log.interface import LogReader, LogUnavailable, OffsetGone
from tests.conformance.log.conftest import DRIVERS, Log

VALUES = [f"value {number} ".encode() * (number % 50 + 1) for number in range(3000)]


def everything(reader: LogReader, partition: int, limit: int, offset: int = 0) -> list[bytes]:
    """All values from an offset on, read `limit` at a time, their offsets checked."""
    values: list[bytes] = []
    while entries := reader.read(partition, offset + len(values), limit):
        assert [entry.offset for entry in entries] == list(
            range(offset + len(values), offset + len(values) + len(entries))
        )
        assert {entry.partition for entry in entries} == {partition}
        assert len(entries) <= limit
        values += [entry.value for entry in entries]
    return values


def fill(log: Log, partition: int, sizes: tuple[int, ...] = (1, 64, 7, 500)) -> None:
    writer = log.writer(partition)
    done = 0
    turn = 0
    while done < len(VALUES):
        chunk = VALUES[done : done + sizes[turn % len(sizes)]]
        assert writer.append(chunk) == done
        done += len(chunk)
        turn += 1
    writer.close()


def test_every_driver_runs_this_suite() -> None:
    folder = Path(tabard.log.drivers.__path__[0])
    names = {entry.stem for entry in folder.iterdir() if not entry.name.startswith("_")}
    assert names == set(DRIVERS)


def test_a_new_log_is_empty_and_has_an_id(log: Log) -> None:
    reader = log.reader()
    assert reader.partitions() == []
    assert reader.log_id
    assert reader.read(3, 0, 10) == []
    assert (reader.start(3), reader.end(3)) == (0, 0)


def test_writer_and_reader_name_the_same_log_and_partition(log: Log) -> None:
    writer = log.writer(2)
    assert (writer.log_id, writer.partition) == (log.reader().log_id, 2)
    assert log.reader().log_id == log.reader().log_id


def test_offsets_begin_at_zero_and_leave_no_gaps(log: Log) -> None:
    writer = log.writer(1)
    assert [writer.append([b"x"] * count) for count in (1, 3, 1, 10)] == [0, 1, 4, 5]
    assert log.reader().end(1) == 15


def test_an_append_of_nothing_is_an_error_of_the_caller(log: Log) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        log.writer(1).append([])


@pytest.mark.parametrize("limit", [1, 50, 64, 5000])
def test_what_was_appended_is_read_in_order_whatever_the_limit(log: Log, limit: int) -> None:
    fill(log, 1)
    assert everything(log.reader(), 1, limit) == VALUES


def test_a_read_may_begin_in_the_middle_of_an_append(log: Log) -> None:
    fill(log, 1)
    reader = log.reader()
    for offset in (1, 2, 64, 66, 71, 300, 1500, 2999, 3, 70):
        assert [entry.value for entry in reader.read(1, offset, 5)] == VALUES[offset : offset + 5]


def test_a_read_at_the_end_or_past_it_is_empty(log: Log) -> None:
    fill(log, 1)
    reader = log.reader()
    assert reader.read(1, len(VALUES), 10) == []
    assert reader.read(1, len(VALUES) + 1000, 10) == []


def test_empty_and_binary_values_come_back_as_they_were(log: Log) -> None:
    values = [b"", b"\0", bytes(range(256)), b"\xff" * 32768]
    log.writer(1).append(values)
    assert everything(log.reader(), 1, 10) == values


def test_a_standing_reader_sees_each_append_at_once(log: Log) -> None:
    writer = log.writer(1)
    reader = log.reader()
    for offset, value in enumerate(VALUES[:500]):
        assert reader.read(1, offset, 10) == []
        writer.append([value])
        assert [entry.value for entry in reader.read(1, offset, 10)] == [value]
        assert reader.end(1) == offset + 1


def test_a_reader_that_stood_at_the_beginning_can_jump_to_what_came_since(log: Log) -> None:
    writer = log.writer(1)
    writer.append(VALUES[:10])
    reader = log.reader()
    assert len(reader.read(1, 0, 10)) == 10
    for value in VALUES[10:]:
        writer.append([value])
    assert [entry.value for entry in reader.read(1, 2900, 5)] == VALUES[2900:2905]
    assert everything(reader, 1, 700) == VALUES


def test_partitions_are_apart(log: Log) -> None:
    first, second = log.writer(1), log.writer(12)
    first.append([b"a"])
    second.append([b"b", b"c"])
    reader = log.reader()
    assert reader.partitions() == [1, 12]
    assert everything(reader, 1, 10) == [b"a"]
    assert everything(reader, 12, 10) == [b"b", b"c"]


def test_a_partition_has_one_writer_until_it_closes(log: Log) -> None:
    writer = log.writer(1)
    with pytest.raises(LogUnavailable, match="partition 1") as refused:
        log.writer(1)
    assert refused.value.code == "log_locked"
    log.writer(2)
    writer.close()
    assert log.writer(1).append([b"x"]) == 0


def test_the_next_writer_goes_on_where_the_last_one_stopped(log: Log) -> None:
    for number in range(20):
        writer = log.writer(1)
        assert writer.append(VALUES[number * 10 : number * 10 + 10]) == number * 10
        writer.close()
    assert everything(log.reader(), 1, 64) == VALUES[:200]


def test_a_check_commits_and_takes_no_offset(log: Log) -> None:
    writer = log.writer(1)
    writer.check()
    assert writer.append([b"x"]) == 0
    writer.check()
    assert writer.append([b"y"]) == 1
    assert everything(log.reader(), 1, 10) == [b"x", b"y"]


def test_below_the_start_an_offset_is_gone_and_the_start_is_named(log: Log) -> None:
    fill(log, 1)
    standing, lagging = log.reader(), log.reader()
    assert everything(standing, 1, 500) == VALUES
    assert len(lagging.read(1, 0, 1)) == 1
    log.cut(1)
    start = standing.start(1)
    assert 0 < start < len(VALUES)
    for reader in (log.reader(), standing):
        with pytest.raises(OffsetGone) as gone:
            reader.read(1, 0, 10)
        assert gone.value.start == start
        assert everything(reader, 1, 500, offset=start) == VALUES[start:]
        assert reader.end(1) == len(VALUES)
    lagging.start(1)
    with pytest.raises(OffsetGone):
        lagging.read(1, 1, 10)


def test_appends_go_on_after_a_cut(log: Log) -> None:
    fill(log, 1)
    log.cut(1)
    writer = log.writer(1)
    assert writer.append([b"next"]) == len(VALUES)
    assert [entry.value for entry in log.reader().read(1, len(VALUES), 9)] == [b"next"]
