"""What one commit brings: new messages, and copies of known ones, decided by rule A1 (identity.md §3.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from tabard.storage.interface import Resolved
from tabard.storage.sqlite.store_entry import Row
from tabard.storage.sqlite.store_keys import KEY_MASK, KeyWriter, message_key
from tabard.storage.sqlite.store_messages import Archive, content, decoded_body, message_name


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


class Copy(NamedTuple):
    """One of several copies of a message, with the message's position and name."""

    position: int
    resolved: Resolved
    m: str


class Sorted(NamedTuple):
    """A batch, told apart. `conflicting`: for each copy with other content its source and where the message is;
    `controls`: the copies that state controls, whichever copy is the message.
    """

    new: list[New]
    copies: list[Copies]
    keys: list[tuple[int, int]]
    duplicates: list[Resolved]
    conflicting: list[tuple[str, int]]
    controls: list[Copy]


class Deduplicator:
    """Tells new messages from copies, by a 64-bit hash that is verified against the stored row."""

    def __init__(self, database: apsw.Connection, archive: Archive) -> None:
        self._table = KeyWriter(database, "message")
        self._archive = archive

    def sort(self, batch: Sequence[Resolved]) -> Sorted:
        """Every message of the batch under what it is."""
        groups: dict[str, list[Resolved]] = {}
        for one in batch:
            groups.setdefault(message_name(one.message.message_id, one.message.source), []).append(one)
        keys = {m: message_key(m) for m in groups}
        stored = self._table.find(keys.values())
        found = Sorted([], [], [], [], [], [])
        taken: set[int] = set()
        for m, copies in groups.items():
            key = keys[m]
            row = self._verified(m, key) if key in stored else None
            if row is not None:
                found.duplicates.extend(copies)
                found.copies.append(self._against(row, copies, found))
                found.controls.extend(_stating(row.position, copies, m))
                continue
            while key in taken or key in stored:
                key = (key + 1) & KEY_MASK
                stored.update(self._table.find((key,)))
            taken.add(key)
            first = copies[0]
            if len(copies) > 1:
                found.duplicates.extend(copies[1:])
            best = self._smallest(copies, found) if len(copies) > 1 else first
            position = first.message.position
            if len(copies) > 1:
                found.controls.extend(_stating(position, copies, m))
            found.new.append(New(position, first.message.received_at, best, m))
            found.keys.append((key, position))
        return found

    def add(self, known: Sorted) -> None:
        """Writes the keys of the new messages."""
        if known.keys:
            self._table.add(known.keys)

    def forget(self) -> None:
        """To be called when a commit was undone."""
        self._table.forget()

    def _verified(self, m: str, key: int) -> Row | None:
        for position in self._table.probe(key):
            row = self._archive.row(position)
            if row is not None and self._archive.name(row) == m:
                return row
        return None

    def _smallest(self, copies: list[Resolved], found: Sorted) -> Resolved:
        first = _content(copies[0])
        ranked = [(one.message.timestamp, _content(one), at) for at, one in enumerate(copies)]
        found.conflicting.extend(
            (copies[0].message.source, copies[0].position) for _, what, _ in ranked if what != first
        )
        return copies[min(ranked)[2]]

    def _against(self, row: Row, copies: list[Resolved], found: Sorted) -> Copies:
        """Where the stored body is gone, its content can be recognised but not ordered: of equal times it stays."""
        held = content(decoded_body(row.body), row.trust) if row.body else None
        ranked = [(one.message.timestamp, _content(one), at) for at, one in enumerate(copies)]
        same = [what == held if held is not None else self._archive.is_content(row, what) for _, what, _ in ranked]
        found.conflicting.extend((copies[0].message.source, row.position) for alike in same if not alike)
        t, what, at = min(ranked)
        smaller = (t, what) < (row.timestamp, held) if held is not None else t < row.timestamp
        return Copies(row, copies[at] if smaller else None, same[at])


def _stating(position: int, copies: list[Resolved], m: str) -> list[Copy]:
    return [Copy(position, one, m) for one in copies if one.reading.controls]


def _content(one: Resolved) -> bytes:
    return content(decoded_body(one.message.body), one.message.trust)
