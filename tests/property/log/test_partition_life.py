"""A partition through appends, faults, restarts and rotation in any order, beside a list that cannot fail."""

import shutil
import tempfile
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter, check_integrity
from tabard.log.interface import LogUnavailable
from tests.integration.log.faulty_vfs import FaultyVfs

VFS = "faulty-life"
OPTIONS = LogOptions(segment_bytes=64 * 1024, disk_floor_bytes=1, vfs=VFS)


class PartitionLife(RuleBasedStateMachine):
    """The log must read as `kept` at all times, to a standing reader as to a new one."""

    @initialize()
    def start(self) -> None:
        self.vfs = FaultyVfs(VFS)
        self.root = Path(tempfile.mkdtemp(prefix="tabard-log-")) / "log"
        self.kept: list[bytes] = []
        self.unsure: list[bytes] = []
        self.read = 0
        self.reader = SqliteLogReader(self.root)
        self.writer = SqliteLogWriter(self.root, 1, OPTIONS)

    @rule(count=st.sampled_from((1, 2, 40)), length=st.integers(0, 4000))
    def append(self, count: int, length: int) -> None:
        values = [b"%d " % (len(self.kept) + number) + bytes(length) for number in range(count)]
        assert self.writer.append(values) == len(self.kept)
        self.kept += values
        self.unsure = []

    @rule(
        operation=st.sampled_from(("write", "sync", "read")),
        code=st.sampled_from((apsw.SQLITE_FULL, apsw.SQLITE_IOERR, apsw.SQLITE_CORRUPT)),
        after=st.integers(0, 12),
        count=st.sampled_from((1, 40)),
    )
    def append_on_a_failing_disk(self, operation: str, code: int, after: int, count: int) -> None:
        values = [b"failing %d" % number + bytes(1000) for number in range(count)]
        met = 0

        def fault(what: str, _: str) -> Exception | None:
            nonlocal met
            met += what == operation
            return apsw.exception_for(code) if what == operation and met > after else None

        self.vfs.fault = fault
        try:
            assert self.writer.append(values) == len(self.kept)
        except LogUnavailable:
            self.unsure = values
        else:
            self.kept += values
            self.unsure = []
        finally:
            self.vfs.fault = None

    @rule()
    def check(self) -> None:
        self.writer.check()
        self.unsure = []

    @rule()
    def restart(self) -> None:
        self.writer.close()
        self.writer = SqliteLogWriter(self.root, 1, OPTIONS)
        # A failed commit that no successor has hidden yet may turn out whole after a restart, never in part.
        reader = SqliteLogReader(self.root)
        if self.unsure and reader.end(1) == len(self.kept) + len(self.unsure):
            self.kept += self.unsure
        reader.close()
        self.unsure = []

    @rule(limit=st.integers(1, 100))
    def follow(self, limit: int) -> None:
        entries = self.reader.read(1, self.read, limit)
        assert [entry.value for entry in entries] == self.kept[self.read : self.read + len(entries)]
        assert entries or self.read == len(self.kept)
        self.read += len(entries)

    @precondition(lambda self: self.kept)
    @rule(share=st.floats(0, 1), limit=st.integers(1, 100))
    def jump(self, share: float, limit: int) -> None:
        offset = int(share * (len(self.kept) - 1))
        entries = self.reader.read(1, offset, limit)
        assert [entry.value for entry in entries] == self.kept[offset : offset + limit]

    @invariant()
    def the_end_is_where_it_should_be(self) -> None:
        if not self.unsure:
            assert self.reader.end(1) == len(self.kept)

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()
        self.vfs.unregister()
        assert check_integrity(self.root).problems == []
        shutil.rmtree(self.root.parent)


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_the_log_reads_as_the_list_of_what_was_acknowledged() -> None:
    """A fault injected while SQLite closes a file has nobody to be raised to, hence the filter."""
    run_state_machine_as_test(PartitionLife, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))
