"""Identifiers as rows: text ↔ integer, their counters and flags, kept in memory between batches and written sorted."""

import itertools
from collections.abc import Iterable
from enum import IntFlag
from operator import attrgetter
from typing import Any, Final

import apsw

from tabard.identity.identifiers import Kind, kind_of
from tabard.storage.sqlite.store_keys import KEY_MASK, SQL, Keys, KeyTable, KeyWriter, ids, key_of

ANCHOR_EVERY: Final = 64
"""Each so many messages of a subject one becomes an anchor, by which a walk back in time skips."""

NODES_CACHED_MAX: Final = 40_000


class Flag(IntFlag):
    """What is known of an identifier without reading another table. LOW, HIGH, EDGE and CUT may be set in vain."""

    SEEN = 1
    CONTROLLED = 2
    CUT = 4
    NAMED = 8
    LOW = 16
    HIGH = 32
    EDGE = 64
    LATE = 128
    ERASED = 256
    WRITES = 512


SEEN: Final = int(Flag.SEEN)
CONTROLLED: Final = int(Flag.CONTROLLED)
CUT: Final = int(Flag.CUT)
NAMED: Final = int(Flag.NAMED)
LOW: Final = int(Flag.LOW)
HIGH: Final = int(Flag.HIGH)
EDGE: Final = int(Flag.EDGE)
LATE: Final = int(Flag.LATE)
ERASED: Final = int(Flag.ERASED)
WRITES: Final = int(Flag.WRITES)


class Node:
    """One identifier. `mentions` and `newest`: how many messages mention it and the last of them; `owned`,
    `own_newest` and `own_anchor`: the same of those it is the subject of. `devices` and `emails`: how many of each it
    claims; `months` (bits): when it was active; `profile`: the root it was last published under.
    """

    __slots__ = (
        "devices", "emails", "events", "first_at", "flags", "id", "kind", "last_at", "mentions", "months",
        "newest", "own_anchor", "own_newest", "owned", "profile", "retexted", "stored", "text",
    )  # fmt: skip

    id: int
    kind: int
    text: str
    flags: int
    mentions: int
    newest: int
    owned: int
    own_newest: int
    own_anchor: int
    events: int
    first_at: int
    last_at: int
    devices: int
    emails: int
    months: int
    profile: int

    def __init__(self, row: tuple[Any, ...], *, stored: bool) -> None:
        """From the columns after the key, in their order."""
        (
            self.id, self.kind, self.text, self.flags, self.mentions, self.newest, self.owned, self.own_newest,
            self.own_anchor, self.events, self.first_at, self.last_at, self.devices, self.emails, self.months,
            self.profile,
        ) = row  # fmt: skip
        self.stored = stored
        self.retexted = False

    def row(self) -> tuple[Any, ...]:
        """All columns, as `add_node` takes them."""
        return (
            self.id, self.kind, self.text, self.flags, self.mentions, self.newest, self.owned, self.own_newest,
            self.own_anchor, self.events, self.first_at, self.last_at, self.devices, self.emails, self.months,
            self.profile,
        )  # fmt: skip

    def update(self) -> tuple[Any, ...]:
        """The columns that change, as `set_node` takes them."""
        return (
            self.id, self.flags, self.mentions, self.newest, self.owned, self.own_newest, self.own_anchor, self.events,
            self.first_at, self.last_at, self.devices, self.emails, self.months, self.profile,
        )  # fmt: skip

    def hashed(self, keys: Keys) -> bytes:
        """The keyed hash of the identifier, erased or not."""
        return keys.kept(self.text, is_erased=bool(self.flags & ERASED))

    def claims(self, kind: int) -> int:
        """How many identifiers of a kind this one claims."""
        return self.devices if kind == Kind.ANON else self.emails


_id: Final = attrgetter("id")


def drop_oldest(cache: dict[Any, Any], kept: int) -> None:
    """Takes the entries that came first out of a memory, all but so many."""
    for key in list(itertools.islice(cache, max(0, len(cache) - kept))):
        del cache[key]


class Nodes:
    """The identifiers in memory. The writer has one; it is emptied when it grows, never stale: nobody else writes.

    `writer`: the table their keys are written to; readers have none.
    """

    def __init__(self, database: apsw.Connection, keys: Keys, writer: KeyWriter | None = None) -> None:
        self._database = database
        self.keys = keys
        self._writer = writer
        self._table = writer or KeyTable(database, "node")
        self._by_text: dict[str, Node] = {}
        self._by_id: dict[int, Node] = {}
        self._next = int(database.execute(SQL["next_node"]).get)
        self._new_keys: dict[int, Node] = {}
        self._changed: set[Node] = set()

    def load(self, texts: Iterable[str]) -> None:
        """Brings identifiers into memory, in two queries; those nobody mentioned before are made."""
        missing = {text: key_of(self.keys.hashed(text)) for text in texts if text not in self._by_text}
        if not missing:
            return
        found = self._table.find(missing.values())
        self.load_ids(found.values())
        for text, first in missing.items():
            key = first
            node = self._at(key, found.get(key))
            while node is not None and not self._is(node, text):
                key = (key + 1) & KEY_MASK
                node = self._at(key, self._table.find((key,)).get(key))
            self._by_text[text] = node or self._made(text, key)

    def get(self, text: str) -> Node:
        """An identifier, made if it is new."""
        if text not in self._by_text:
            self.load((text,))
        return self._by_text[text]

    def named(self, text: str) -> Node:
        """An identifier that a stored body names: if its text was erased, it has it back."""
        node = self.get(text)
        if node.flags & ERASED:
            self._retext(node, text, node.flags & ~ERASED)
        return node

    def find(self, text: str) -> Node | None:
        """An identifier if anything ever mentioned it."""
        if text in self._by_text:
            return self._by_text[text]
        for number in self._table.probe(key_of(self.keys.hashed(text))):
            if self._is(self.by_id(number), text):
                return self.by_id(number)
        return None

    def hashed_as(self, hashed: bytes) -> Node | None:
        """The identifier with this keyed hash."""
        for number in self._table.probe(key_of(hashed)):
            if self.by_id(number).hashed(self.keys) == hashed:
                return self.by_id(number)
        return None

    def load_ids(self, numbers: Iterable[int]) -> None:
        """Brings identifiers into memory by their integers, in one query."""
        missing = [number for number in set(numbers) if number not in self._by_id]
        if missing:
            for _, *row in self._database.execute(SQL["nodes_by_id"], (ids(missing),)):
                self._known(tuple(row))

    def by_id(self, number: int) -> Node:
        """An identifier by its integer. Raises KeyError for one that does not exist."""
        if number not in self._by_id:
            self.load_ids((number,))
        return self._by_id[number]

    def erase(self, node: Node) -> None:
        """Takes the text of an identifier away; a keyed hash stays, by which later mentions are recognised."""
        if not node.flags & ERASED:
            self._by_text.pop(node.text, None)
            self._retext(node, self.keys.erased(node.text), node.flags | ERASED)

    def touch(self, node: Node) -> None:
        """To be called with every change of an identifier: the next flush writes it."""
        self._changed.add(node)

    def flush(self) -> None:
        """Writes what changed, in the order of the integers."""
        changed = sorted(self._changed, key=_id)
        self._changed.clear()
        run = self._database.executemany
        run(SQL["add_node"], [node.row() for node in changed if not node.stored])
        run(SQL["set_node"], [node.update() for node in changed if node.stored])
        run(SQL["set_node_text"], [(node.id, node.text) for node in changed if node.retexted and node.stored])
        if self._new_keys and self._writer is not None:
            self._writer.add((key, node.id) for key, node in self._new_keys.items())
            self._new_keys = {}
        for node in changed:
            node.stored = True
            node.retexted = False

    def forget(self, *, everything: bool = False) -> None:
        """Empties the memory when it has grown too large (or always). Only after a flush."""
        if everything:
            self._by_id.clear()
            self._by_text.clear()
            self._new_keys = {}
            self._changed.clear()
            if self._writer is not None:
                self._writer.forget()
            self._next = int(self._database.execute(SQL["next_node"]).get)
        elif len(self._by_id) > NODES_CACHED_MAX:
            drop_oldest(self._by_id, NODES_CACHED_MAX // 2)
            self._by_text = {text: node for text, node in self._by_text.items() if node.id in self._by_id}

    def _known(self, row: tuple[Any, ...]) -> Node:
        node = self._by_id.get(row[0])
        if node is None:
            node = self._by_id[row[0]] = Node(row, stored=True)
        return node

    def _is(self, node: Node, text: str) -> bool:
        return node.text == text or bool(node.flags & ERASED and node.text == self.keys.erased(text))

    def _at(self, key: int, number: int | None) -> Node | None:
        return self._new_keys.get(key) if number is None else self.by_id(number)

    def _made(self, text: str, key: int) -> Node:
        row = (self._next, int(kind_of(text)), text, 0, 0, -1, 0, -1, -1, 0, 0, 0, 0, 0, 0, 0)
        node = Node(row, stored=False)
        self._changed.add(node)
        self._by_id[node.id] = node
        self._new_keys[key] = node
        self._next += 1
        return node

    def _retext(self, node: Node, text: str, flags: int) -> None:
        node.text = text
        node.flags = flags
        node.retexted = True
        self._changed.add(node)
