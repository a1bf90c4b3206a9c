"""What one commit brings: new messages, and copies of known ones, decided by rule A1 (identity.md §3.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from tabard.storage.interface import Resolved
from tabard.storage.sqlite.store_entry import Row
from tabard.storage.sqlite.store_messages import Archive, content, decoded_body, message_name
from tabard.storage.sqlite.store_nodes import SQL, ids, message_key

_KEYS = (1 << 63) - 1


class New(NamedTuple):
    """A message nobody had: it takes the position of its first copy and the content of its smallest."""

    position: int
    received_at: int
    resolved: Resolved
    m: str


class Copies(NamedTuple):
    """Copies of a stored message, and whether the smallest of them is now the message.

    `better` is None where the stored one stays; `same`: it differs from the stored one in its times only.
    """

    row: Row
    better: Resolved | None
    same: bool


class Sorted(NamedTuple):
    """A batch, told apart. `conflicting` holds a position for each copy with other content."""

    new: list[New]
    copies: list[Copies]
    keys: list[tuple[int, int]]
    duplicates: list[Resolved]
    conflicting: list[Resolved]


class Deduplicator:
    """Tells new messages from copies, by a 64-bit hash that is verified against the stored row."""

    def __init__(self, database: apsw.Connection, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    def sort(self, batch: Sequence[Resolved]) -> Sorted:
        """Every message of the batch under what it is."""
        groups: dict[str, list[Resolved]] = {}
        for one in batch:
            groups.setdefault(message_name(one.message.message_id, one.message.source), []).append(one)
        keys = {m: message_key(m) for m in groups}
        stored = dict(self._database.execute(SQL["known_messages"], (ids(keys.values()),)))
        found = Sorted([], [], [], [], [])
        taken: set[int] = set()
        for m, copies in groups.items():
            key = keys[m]
            row = self._verified(m, key, stored) if key in stored or key in taken else None
            if row is not None:
                found.duplicates.extend(copies)
                found.copies.append(self._against(row, copies, found))
                continue
            while key in stored or key in taken:
                key = (key + 1) & _KEYS
                if key not in stored and (at := self._at(key)) is not None:
                    stored[key] = at
            taken.add(key)
            first = copies[0]
            if len(copies) > 1:
                found.duplicates.extend(copies[1:])
            best = self._smallest(copies, found) if len(copies) > 1 else first
            found.new.append(New(first.position, first.message.received_at, best, m))
            found.keys.append((key, first.position))
        return found

    def _verified(self, m: str, key: int, stored: dict[int, int]) -> Row | None:
        at = stored.get(key)
        while at is not None:
            row = self._archive.row(at)
            if row is not None and self._archive.name(row) == m:
                return row
            key = (key + 1) & _KEYS
            at = self._at(key)
        return None

    def _at(self, key: int) -> int | None:
        row = self._database.execute(SQL["known_message"], (key,)).fetchone()
        return None if row is None else int(row[0])

    def _smallest(self, copies: list[Resolved], found: Sorted) -> Resolved:
        first = _content(copies[0])
        ranked = [(one.message.timestamp, _content(one), at) for at, one in enumerate(copies)]
        found.conflicting.extend(copies[at] for _, what, at in ranked if what != first)
        return copies[min(ranked)[2]]

    def _against(self, row: Row, copies: list[Resolved], found: Sorted) -> Copies:
        """Where the stored body is gone, only times can be compared; its content is then taken for the same."""
        held = content(decoded_body(row.body), row.trust) if row.body else None
        ranked = [(one.message.timestamp, _content(one), at) for at, one in enumerate(copies)]
        if held is not None:
            found.conflicting.extend(copies[at] for _, what, at in ranked if what != held)
        t, what, at = min(ranked)
        smaller = (t, what) < (row.timestamp, held) if held is not None else t < row.timestamp
        return Copies(row, copies[at] if smaller else None, held is None or what == held)


def _content(one: Resolved) -> bytes:
    return content(one.message.body, int(one.message.trust))
