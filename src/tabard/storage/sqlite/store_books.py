"""The books of the store: what was counted a source, and what advice is made from."""

from collections.abc import Iterable
from datetime import UTC, datetime

import apsw

from tabard.storage.interface import Committed, Count
from tabard.storage.sqlite.store_batch import New, Sorted
from tabard.storage.sqlite.store_entry import IDENTIFY, Entry
from tabard.storage.sqlite.store_keys import SQL

DAY_MS = 86_400_000
FIRST_YEAR = 2024
"""Bit 0 of `node.months` is January of this year; 62 months fit."""
_MONTHS = 62

Key = tuple[str, str, str]


class Books:
    """Counts of the current commit."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database
        self._counts: dict[Key, tuple[int, int | None]] = {}
        self._days: dict[int, tuple[str, int]] = {}

    def count(self, name: str, source: str, key: str = "", n: int = 1, sample: int | None = None) -> None:
        """Adds to one count; the first sample stays."""
        old = self._counts.get((name, source, key))
        if old is None:
            self._counts[name, source, key] = (n, sample)
        else:
            self._counts[name, source, key] = (old[0] + n, old[1] if old[1] is not None else sample)

    def add(self, counts: Iterable[Count]) -> None:
        """Adds what the resolver counted: quarantined records, say."""
        for one in counts:
            self.count(one.name, one.source, one.key, one.n, one.sample)

    def use(self, entry: Entry, new: New, changed: bool) -> None:
        """What a live fact says of its source's habits, and the month its subject was active in."""
        message = new.resolved.message
        if entry.subject is not None:
            entry.subject.months |= self._month(new.received_at // DAY_MS)[1]
        if entry.type == IDENTIFY:
            self.count("identify" if changed else "identify_unchanged", message.source)
            for name, key in new.resolved.oddities:
                self.count(name, message.source, key, sample=new.position)

    def batch(self, known: Sorted) -> Committed:
        """Counts what was stored and what were copies."""
        sources: dict[str, list[int]] = {}
        calls: dict[tuple[str, str, int], int] = {}
        for new in known.new:
            message = new.resolved.message
            call = (message.source, message.type, new.received_at // DAY_MS)
            calls[call] = calls.get(call, 0) + 1
            for warning in new.resolved.warnings:
                self.count("warning", message.source, warning, sample=new.position)
            if new.resolved.reading.ignored:
                self.count(f"{new.resolved.reading.ignored}_ignored", message.source, sample=new.position)
        for (source, kind, day), n in calls.items():
            sources.setdefault(source, [0, 0])[0] += n
            self.count("call", source, f"{kind}/{self._month(day)[0]}", n)
        for copy in known.duplicates:
            sources.setdefault(copy.message.source, [0, 0])[1] += 1
            self.count("duplicate", copy.message.source)
        for source, position in known.conflicting:
            self.count("conflicting_duplicate", source, sample=position)
        per_source = {source: (stored, copies) for source, (stored, copies) in sources.items()}
        return Committed(len(known.new), len(known.duplicates), len(known.conflicting), per_source)

    def flush(self) -> None:
        """Writes the counts."""
        rows = [(*key, n, sample) for key, (n, sample) in sorted(self._counts.items())]
        self._database.executemany(SQL["count"], rows)
        self._counts = {}

    def forget(self) -> None:
        """Drops what was not written."""
        self._counts = {}

    def _month(self, day: int) -> tuple[str, int]:
        known = self._days.get(day)
        if known is None:
            date = datetime.fromtimestamp(day * 86_400, UTC)
            known = f"{date:%Y-%m}", month_bit(date.year, date.month)
            if len(self._days) > 1000:  # noqa: PLR2004 - days of a backfill; any bound will do
                self._days.clear()
            self._days[day] = known
        return known


def month_bit(year: int, month: int) -> int:
    """The bit of a month in `node.months`; 0 outside the range it covers."""
    index = (year - FIRST_YEAR) * 12 + month - 1
    return 1 << index if 0 <= index < _MONTHS else 0
