"""The upkeep of the embedded log: removing what nobody needs any more, and checking what is there."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tabard.log.drivers.sqlite.segment import (
    SQL,
    Description,
    chunk_of,
    described,
    firsts,
    open_to_read,
    partitions,
    path_of,
    remove,
    size,
)
from tabard.log.interface import LogFormatUnknown, LogUnavailable, Progress
from tabard.log.log_id import LOG_JSON, open_log, sync_folder
from tabard.log.progress import replace
from tabard.log.retention import ClosedSegment, RetentionPolicy, expendable

_CONSUMED: Final = "consumed.json"


class SqliteRetention:
    """Removes segments of all partitions. One process runs it (the resolver: it knows what is consumed), say once a
    minute; no lock is needed, since only segments that have a successor are touched.
    """

    def __init__(self, root: Path, progress: Progress, policy: RetentionPolicy) -> None:
        self._root = root
        self._progress = progress
        self._policy = policy

    def sweep(self, now_ms: int) -> list[ClosedSegment]:
        """Removes what may go and returns it. What was seen consumed, and when, is kept in `consumed.json` of the
        partition, so that a restart does not begin the wait anew.
        """
        closed: list[ClosedSegment] = []
        log_bytes = 0
        for partition in partitions(self._root):
            folder = self._root / str(partition)
            found = self._closed(folder, partition, now_ms)
            log_bytes += sum(each.bytes for each in found) + sum(
                size(path_of(folder, at)) for at in firsts(folder)[-1:]
            )
            closed += found
        removed = expendable(closed, log_bytes=log_bytes, policy=self._policy, now_ms=now_ms)
        for segment in removed:
            remove(path_of(self._root / str(segment.partition), segment.first_offset))
        for partition in {segment.partition for segment in removed}:
            sync_folder(self._root / str(partition))
        return removed

    def _closed(self, folder: Path, partition: int, now_ms: int) -> list[ClosedSegment]:
        slowest = self._progress.slowest(partition) or 0
        noted = _noted(folder / _CONSUMED)
        consumed: dict[int, int] = {}
        segments = []
        for first, end in pairwise(firsts(folder)):
            if end <= slowest:
                consumed[first] = noted.get(first, now_ms)
            segments.append(ClosedSegment(partition, first, size(path_of(folder, first)), consumed.get(first)))
        if consumed != noted:
            replace(folder / _CONSUMED, msgspec.json.encode(consumed))
        return segments


def _noted(path: Path) -> dict[int, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[int, int])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def copy_log(root: Path, target: Path) -> None:
    """Copies a log that may be in use to a new folder, each segment as of one moment; for `tabard backup`.

    Everything acknowledged before the call is in the copy, except what retention removes meanwhile.
    """
    target.mkdir(parents=True)
    for partition in partitions(root):
        folder = root / str(partition)
        (target / str(partition)).mkdir()
        known = firsts(folder)
        for first in known:
            _copy_segment(path_of(folder, first), path_of(target / str(partition), first), closed=first != known[-1])
    replace(target / LOG_JSON, (root / LOG_JSON).read_bytes())


def _copy_segment(source: Path, target: Path, *, closed: bool) -> None:
    try:
        original = open_to_read(source, closed=closed)
    except apsw.CantOpenError:
        if source.exists():
            raise
        return
    copy = apsw.Connection(str(target))
    try:
        with copy.backup("main", original, "main") as backup:
            backup.step()
    finally:
        copy.close()
        original.close()


class IntegrityReport(msgspec.Struct, kw_only=True):
    """What `check_integrity` saw; each problem names its file."""

    partitions: int = 0
    segments: int = 0
    entries: int = 0
    bytes: int = 0
    problems: list[str] = msgspec.field(default_factory=list)


def check_integrity(root: Path) -> IntegrityReport:
    """Reads every segment whole: structure, format, place, gaps and the checksum of every append.

    Works beside running processes. Raises `LogFormatUnknown` when the log as a whole is of a newer release.
    """
    report = IntegrityReport()
    log_id = open_log(root)
    for partition in partitions(root):
        report.partitions += 1
        folder = root / str(partition)
        known = firsts(folder)
        for first, successor in zip(known, [*known[1:], None], strict=False):
            report.segments += 1
            report.bytes += size(path_of(folder, first))
            expected = Description(log_id, partition, first, 0)
            report.problems += _problems(path_of(folder, first), expected, successor, report)
    return report


def _problems(path: Path, expected: Description, successor: int | None, report: IntegrityReport) -> Iterator[str]:
    try:
        connection = open_to_read(path, closed=successor is not None)
    except (apsw.Error, LogFormatUnknown) as problem:
        yield f"{path}: {problem}"
        return
    try:
        found = described(connection, path)
        if msgspec.structs.replace(found, created_ms=0) != expected:
            yield f"{path}: belongs elsewhere, it says partition {found.partition}, offset {found.first_offset}"
        damage = connection.pragma("integrity_check")
        if damage != "ok":
            yield f"{path}: {damage}"
        yield from _chunk_problems(connection, path, expected.first_offset, successor, report)
    except (apsw.Error, LogUnavailable) as problem:
        yield f"{path}: {problem}"
    finally:
        connection.close()


def _chunk_problems(
    connection: apsw.Connection, path: Path, offset: int, successor: int | None, report: IntegrityReport
) -> Iterator[str]:
    for begin, count, crc, body in connection.execute(SQL["all"]):
        if begin == successor:
            return  # the commit that failed and made the writer begin the next segment
        if begin != offset:
            yield f"{path}: offset {offset} should come next, found {begin}"
        try:
            report.entries += len(chunk_of(begin, count, crc, body).values)
        except LogUnavailable as problem:
            yield f"{path}: {problem}"
        offset = begin + count
    if successor is not None and offset != successor:
        yield f"{path}: ends at offset {offset}, the next segment begins at {successor}"
