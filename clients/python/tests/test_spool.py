"""The spool file: what is in it is sent, in order, by one process at a time, whatever happened to it."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard_client import limits
from tabard_client.segment import HEADER_BYTES, Segment, cut, record
from tabard_client.spool import SET_ASIDE, Batch, FileSpool, MemorySpool, SpoolFullError

BIG = 1 << 30
SPOOL_BYTES_MIN = 2 * limits.MESSAGE_BYTES_MAX


def open_spool(directory: Path, bytes_max: int = BIG) -> FileSpool:
    return FileSpool(lambda: directory, bytes_max=bytes_max, durable=False)


def take(spool: FileSpool, count: int = 100) -> Batch:
    batch = spool.take(count, limits.BATCH_BYTES_MAX)
    assert batch is not None
    return batch


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


def test_messages_come_back_in_order_and_again_until_they_are_settled(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(5):
        spool.append(b"%d" % number)
    assert take(spool, 3).messages == take(spool, 3).messages == [b"0", b"1", b"2"]
    spool.settle(take(spool, 3))
    assert spool.waiting == 2
    assert take(spool).messages == [b"3", b"4"]
    spool.settle(take(spool))
    assert spool.take(100, BIG) is None
    spool.close()
    assert files(tmp_path) == []


def test_the_next_process_begins_where_the_last_one_was_confirmed(tmp_path: Path) -> None:
    first = open_spool(tmp_path)
    for number in range(4):
        first.append(b"%d" % number)
    first.settle(take(first, 3))
    first.close()
    second = open_spool(tmp_path)
    assert second.may_have_orphans()
    second.adopt()
    assert second.waiting == 1
    assert take(second).messages == [b"3"]
    second.settle(take(second))
    assert files(tmp_path) == []


def test_a_file_whose_owner_lives_is_not_adopted(tmp_path: Path) -> None:
    owner, other = open_spool(tmp_path), open_spool(tmp_path)
    owner.append(b"mine")
    other.adopt()
    assert other.waiting == 0
    owner.close()
    other.adopt()
    assert other.waiting == 1
    other.close()


def test_a_file_that_cannot_be_opened_does_not_keep_the_others_from_being_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_spool(tmp_path)
    first.append(b"ours")
    first.close()
    (tmp_path / "0-foreign.spool").mkdir()  # EISDIR for root too, where EACCES is not to be had
    second = open_spool(tmp_path)
    second.adopt()
    assert second.waiting == 1
    second.close()


def test_a_file_deleted_between_open_and_lock_is_not_adopted(tmp_path: Path) -> None:
    gone = tmp_path / "1-a.spool"
    assert Segment.adopt(gone) is None


def fill(spool: FileSpool) -> int:
    """Messages of a thousand bytes until the spool refuses one; how many it took."""
    for number in range(1_000):
        try:
            spool.append(b"%01000d" % number)
        except (SpoolFullError, OSError):
            return number
    raise AssertionError("it is never full")


def deliver(spool: FileSpool, count: int) -> None:
    """`count` messages, one a batch."""
    for _ in range(count):
        spool.settle(take(spool, 1))


def test_the_newest_is_refused_when_the_spool_is_full_and_delivery_gives_its_room_back(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, bytes_max=SPOOL_BYTES_MIN)
    full = fill(spool)
    assert 60 <= full <= 64
    deliver(spool, full)
    assert fill(spool) == full, "a drained spool is an empty one"
    deliver(spool, full // 2)
    assert full // 2 - fill(spool) <= 8, "and one half delivered is half empty, but for a part of one file"
    assert spool.waiting >= full - 8
    assert sum(path.stat().st_size for path in files(tmp_path)) <= SPOOL_BYTES_MIN
    spool.close()


def test_delivery_gives_the_room_of_a_full_disk_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite

    def disk_of_20_kilobytes(fd: int, content: bytes, at: int) -> int:
        if at >= 20_000:
            raise OSError(28, "No space left on device")
        return write(fd, content[: 20_000 - at], at)

    monkeypatch.setattr(os, "pwrite", disk_of_20_kilobytes)
    for durable in (False, True):
        spool = FileSpool(lambda: tmp_path, bytes_max=BIG, durable=durable)
        assert fill(spool) == 19
        assert fill(spool) == 0
        deliver(spool, 19)
        assert fill(spool) == 19
        deliver(spool, 19)
        assert spool.take(100, BIG) is None
        spool.close()
    assert files(tmp_path) == []


def test_a_disk_with_no_room_for_a_new_file_costs_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    before = len(list(Path("/dev/fd").iterdir()))

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(os, "pwrite", fail)
        for _ in range(10):
            with pytest.raises(OSError, match="No space"):
                spool.append(b"lost")
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert files(tmp_path) == []


def test_a_long_backlog_is_cut_into_files_that_go_as_they_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tabard_client.spool.SEGMENT_BYTES_MAX", 1_000)
    spool = open_spool(tmp_path)
    sent = [b"%0100d" % number for number in range(50)]
    for message in sent:
        spool.append(message)
    assert len(files(tmp_path)) > 5
    got: list[bytes] = []
    while (batch := spool.take(7, BIG)) is not None:
        got += batch.messages
        spool.settle(batch)
    assert got == sent
    assert len(files(tmp_path)) == 1
    spool.close()


@pytest.mark.parametrize("truncates", [True, False])
def test_a_drained_file_is_emptied_or_else_replaced(
    truncates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    for _ in range(10):
        spool.append(b"x" * 100)
    with monkeypatch.context() as fault:
        if not truncates:
            fault.setattr(os, "ftruncate", lambda *_: Path("/nowhere").stat())
        spool.settle(take(spool))
    assert sum(path.stat().st_size for path in files(tmp_path)) == HEADER_BYTES * truncates
    spool.append(b"y")
    assert take(spool).messages == [b"y"]
    spool.settle(take(spool))
    spool.close()
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", ["flipped bit", "torn tail", "zeros", "garbage line", "header", "unending garbage"])
def test_damage_is_set_aside_and_never_blocks_the_sound_records(tmp_path: Path, damage: str) -> None:
    writer = open_spool(tmp_path)
    for number in range(3):
        writer.append(b'{"n":%d}' % number)
    writer.close()
    path = files(tmp_path)[0]
    content = path.read_bytes()
    corrupt_expected = 1
    sound = [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    match damage:
        case "flipped bit":
            path.write_bytes(content.replace(b'"n":1', b'"n":7'))
            sound.pop(1)
        case "torn tail":
            path.write_bytes(content[:-4])
            sound.pop()
        case "zeros":
            path.write_bytes(content + bytes(500))
        case "garbage line":
            path.write_bytes(content + b"\xff\xfe garbage\n")
        case "header":
            path.write_bytes(b"?" * HEADER_BYTES + content[HEADER_BYTES:])
            corrupt_expected = 0
        case "unending garbage":
            path.write_bytes(content + b"z" * 1_200_000)
            corrupt_expected = 3  # in pieces of what one read takes

    reader = open_spool(tmp_path)
    reader.adopt()
    got: list[bytes] = []
    corrupt: list[bytes] = []
    while (batch := reader.take(100, limits.BATCH_BYTES_MAX)) is not None:
        got += batch.messages
        corrupt += batch.corrupt
        reader.settle(batch)
    assert got == sound
    assert len(corrupt) == corrupt_expected
    assert reader.waiting == 0
    assert files(tmp_path) == []


def test_a_folder_tidied_up_under_a_living_process_loses_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    spool = open_spool(directory)
    spool.append(b"before")
    shutil.rmtree(directory)
    spool.append(b"unseen")
    spool.adopt()
    spool.append(b"after")
    (path,) = files(directory)
    assert b"after" in path.read_bytes()
    got: list[bytes] = []
    while (batch := spool.take(100, BIG)) is not None:
        got += batch.messages
        spool.settle(batch)
    assert got == [b"before", b"unseen", b"after"]
    spool.close()


def test_an_empty_file_of_a_process_killed_at_birth_is_removed(tmp_path: Path) -> None:
    (tmp_path / "1-a.spool").touch()
    spool = open_spool(tmp_path)
    spool.adopt()
    assert files(tmp_path) == []


def test_what_is_set_aside_is_as_much_as_the_spool_holds_and_what_has_no_room_is_told(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, bytes_max=50)
    assert spool.set_aside("corrupt", [b"record"]) == 0
    assert spool.set_aside("corrupt", [b"record"] * 5) == 3
    assert spool.set_aside("corrupt", [b"record"]) == 1
    assert (tmp_path / SET_ASIDE).read_bytes() == b"corrupt record\n" * 3


def test_a_spool_whose_folder_is_no_longer_ours_goes_on_in_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = FileSpool(lambda: tmp_path / "first", lambda: tmp_path / "second", bytes_max=BIG, durable=False)
    opened = os.open

    def refuse(path: Path, *rest: int) -> int:
        if tmp_path / "first" in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "first")
    spool.append(b"kept")
    assert len(files(tmp_path / "second")) == 1
    assert take(spool).messages == [b"kept"]
    spool.close()


def test_the_spool_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "new")
    spool.append(b"private")
    spool.set_aside("refused", [b"private"])
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}
    spool.close()


def test_a_failed_or_short_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    spool.append(b"first")
    whole = os.pwrite
    with monkeypatch.context() as fault:
        fault.setattr(os, "pwrite", lambda fd, line, at: whole(fd, line[:3], at))
        with pytest.raises(OSError, match="short write"):
            spool.append(b"torn")
    spool.append(b"second")
    assert take(spool).messages == [b"first", b"second"]
    assert take(spool).corrupt == []
    spool.close()


def test_a_file_is_never_trusted_again_after_a_failed_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = FileSpool(lambda: tmp_path, bytes_max=BIG, durable=True)
    spool.append(b"first")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as fault:
        fault.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            spool.append(b"lost")
    spool.append(b"second")
    assert len(files(tmp_path)) == 2
    assert take(spool).messages == [b"first"]
    spool.settle(take(spool))
    assert take(spool).messages == [b"second"]
    spool.settle(take(spool))
    spool.close()
    assert files(tmp_path) == []


def test_a_foreign_or_unwritable_folder_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        open_spool(blocked / "spool")


def test_the_memory_queue_is_bounded_and_settles_from_the_front() -> None:
    spool = MemorySpool(3)
    for number in range(3):
        spool.append(b"%d" % number)
    with pytest.raises(SpoolFullError):
        spool.append(b"3")
    batch = spool.take(2, BIG)
    assert batch is not None
    assert batch.messages == [b"0", b"1"]
    spool.settle(batch)
    assert spool.waiting == 1


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40).filter(lambda raw: b"\n" not in raw), max_size=30), st.integers(1, 8), st.data())
def test_cutting_a_file_piece_by_piece_gives_every_record_once(
    messages: list[bytes], messages_max: int, data: st.DataObject
) -> None:
    content = b"".join(record(message) for message in messages)
    bytes_max = data.draw(st.integers(1, 200))
    got: list[bytes] = []
    while content:
        found = cut(content, messages_max=messages_max, bytes_max=bytes_max, is_end=True)
        assert found.corrupt == []
        assert 0 < len(found.messages) <= messages_max
        assert len(found.messages) == 1 or sum(map(len, found.messages)) <= bytes_max
        got += found.messages
        content = content[found.consumed_bytes :]
    assert got == messages
