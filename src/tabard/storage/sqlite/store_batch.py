"""What one commit brings: new messages, and copies of known ones, decided by rule A1 (identity.md §3.1)."""

from collections.abc import Iterator, Sequence
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


class Better(NamedTuple):
    """A copy that is smaller than the stored message and so is the message now.

    `same`: it differs from the stored one in its times only. `last`: the last of the copies that came with it.
    """

    row: Row
    copy: Resolved
    same: bool
    last: Resolved


class Stating(NamedTuple):
    """Copies of one message that state controls, whichever copy is the message; the message's position and name.

    `last`: the last of all its copies in the batch.
    """

    position: int
    m: str
    copies: list[Resolved]
    last: Resolved


class Sorted(NamedTuple):
    """A batch, told apart. `conflicting`: for each copy with other content its source and where the message is."""

    new: list[New]
    better: list[Better]
    keys: list[tuple[int, int]]
    duplicates: list[Resolved]
    conflicting: list[tuple[str, int]]
    stating: list[Stating]


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
                found.better.extend(self._against(row, copies, found))
                found.stating.extend(_stating(row.position, m, copies))
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
                found.stating.extend(_stating(position, m, copies))
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

    def _against(self, row: Row, copies: list[Resolved], found: Sorted) -> Iterator[Better]:
        """Where the stored body is gone, its content can be recognised but not ordered: of equal times it stays."""
        held = content(decoded_body(row.body), row.trust) if row.body else None
        ranked = [(one.message.timestamp, _content(one), at) for at, one in enumerate(copies)]
        same = [what == held if held is not None else self._archive.is_content(row, what) for _, what, _ in ranked]
        found.conflicting.extend((copies[0].message.source, row.position) for alike in same if not alike)
        t, what, at = min(ranked)
        smaller = (t, what) < (row.timestamp, held) if held is not None else t < row.timestamp
        if smaller:
            yield Better(row, copies[at], same[at], copies[-1])


def _stating(position: int, m: str, copies: list[Resolved]) -> Iterator[Stating]:
    stating = [one for one in copies if one.reading.controls]
    if stating:
        yield Stating(position, m, stating, copies[-1])


def _content(one: Resolved) -> bytes:
    return content(decoded_body(one.message.body), one.message.trust)
