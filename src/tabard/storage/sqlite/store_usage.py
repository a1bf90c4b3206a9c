"""Usage, books and advice, from the counts the resolver keeps a source."""

from pathlib import Path
from typing import Any, Final

from tabard.message.traits import canonical_trait
from tabard.storage.interface import SourceAdvice, SourceBooks, UsageRow
from tabard.storage.sqlite.database import connect
from tabard.storage.sqlite.store_books import month_bit
from tabard.storage.sqlite.store_keys import SQL

IDENTIFIES_MIN: Final = 20
UNCHANGED_SHARE: Final = 0.5
PAGE_SHARE: Final = 0.5
"""A source identifies on each page view that has so many identify calls, at least one for every two page calls, half of
them without a change."""


class SqliteUsageReader:
    """Reads the counts of a store. One thread at a time; no transaction outlives a call."""

    def __init__(self, path: Path) -> None:
        """Opens an existing store. Raises `DatabaseMissing`."""
        self._database = connect(path, read_only=True)

    def usage(self, month: str | None = None) -> list[UsageRow]:
        """Calls a month, source and type, by when they were received; of one month (`2026-11`) or of all."""
        rows = []
        for _, source, key, n, _ in self._tallies("call"):
            kind, _, when = key.partition("/")
            if month is None or when == month:
                rows.append(UsageRow(when, source, kind, n))
        return sorted(rows, key=lambda row: (row.month, row.source, row.type))

    def people(self, month: str) -> int:
        """Distinct profiles with a message received in a month (`2026-11`); reads every identifier once."""
        year, _, number = month.partition("-")
        return int(self._database.execute(SQL["people_of_month"], (month_bit(int(year), int(number)),)).get)

    def advice(self) -> list[SourceAdvice]:
        """What the page of the identify call advises, a source."""
        changed, unchanged = self._sums("identify"), self._sums("identify_unchanged")
        pages: dict[str, int] = {}
        for row in self.usage():
            if row.type == "page":
                pages[row.source] = pages.get(row.source, 0) + row.calls
        spellings, types = self._keys("trait_spelling"), self._keys("trait_type")
        sources = sorted({*changed, *unchanged, *spellings, *types})
        return [
            _advice(
                source,
                changed.get(source, 0) + unchanged.get(source, 0),
                unchanged.get(source, 0),
                pages.get(source, 0),
                spellings.get(source, {}),
                types.get(source, {}),
            )
            for source in sources
        ]

    def books(self) -> list[SourceBooks]:
        """What became of the messages of each source; quarantined records have no source they could be asked for."""
        stored: dict[str, int] = {}
        for row in self.usage():
            stored[row.source] = stored.get(row.source, 0) + row.calls
        duplicates, conflicting = self._sums("duplicate"), self._sums("conflicting_duplicate")
        samples = {source: sample for _, source, _, _, sample in self._tallies("conflicting_duplicate")}
        quarantined = self._sums("quarantined")
        control, alias, claim = (self._sums(f"{each}_ignored") for each in ("control", "alias", "email_claim"))
        warnings = self._keys("warning")
        sources = sorted({*stored, *duplicates, *quarantined})
        return [
            SourceBooks(
                source,
                stored.get(source, 0),
                duplicates.get(source, 0),
                conflicting.get(source, 0),
                samples.get(source),
                quarantined.get(source, 0),
                control.get(source, 0),
                warnings.get(source, {}),
                alias.get(source, 0),
                claim.get(source, 0),
            )
            for source in sources
        ]

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _tallies(self, name: str) -> list[Any]:
        return list(self._database.execute(SQL["tallies"], (name,)))

    def _sums(self, name: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for _, source, _, n, _ in self._tallies(name):
            sums[source] = sums.get(source, 0) + n
        return sums

    def _keys(self, name: str) -> dict[str, dict[str, int]]:
        keys: dict[str, dict[str, int]] = {}
        for _, source, key, n, _ in self._tallies(name):
            keys.setdefault(source, {})[key] = n
        return keys


def _advice(
    source: str, identifies: int, unchanged: int, pages: int, spellings: dict[str, int], types: dict[str, int]
) -> SourceAdvice:
    names = [canonical_trait(spelling) for spelling in spellings]
    each_page = (
        identifies >= max(IDENTIFIES_MIN, pages * PAGE_SHARE)
        and pages > 0
        and unchanged >= identifies * UNCHANGED_SHARE
    )
    doubled = tuple(sorted({name for name in names if names.count(name) > 1}))
    return SourceAdvice(source, identifies, unchanged, pages, each_page, doubled, types)
