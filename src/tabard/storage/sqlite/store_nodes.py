"""Identifiers as rows: text ↔ integer, their counters and flags, kept in memory between batches and written sorted."""

from array import array
from collections.abc import Iterable
from enum import IntFlag
from hashlib import blake2b
from typing import Any, Final

import apsw

from tabard.identity.identifiers import Kind, kind_of
from tabard.storage.sqlite.database import statements

SQL: Final = statements("store")

ANCHOR_EVERY: Final = 64
"""Each so many messages of a subject one becomes an anchor, by which a walk back in time skips."""

NODES_CACHED_MAX: Final = 60_000
_KEY_MASK: Final = (1 << 63) - 1


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
        "changed", "devices", "emails", "events", "first_at", "flags", "id", "kind", "last_at", "mentions", "months",
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
        self.changed = False
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

    def claims(self, kind: int) -> int:
        """How many identifiers of a kind this one claims."""
        return self.devices if kind == Kind.ANON else self.emails


class Keys:
    """Keyed hashes: of identifiers (so that an erased one is recognised, and only by us) and of messages."""

    def __init__(self, secret: bytes) -> None:
        self._identifier = blake2b(key=secret[:64], digest_size=16, person=b"identifier")
        self._profile = blake2b(key=secret[:64], digest_size=16, person=b"profile")

    def hashed(self, text: str) -> bytes:
        """The 128-bit keyed hash of an identifier."""
        state = self._identifier.copy()
        state.update(text.encode())
        return state.digest()

    def profile_id(self, canonical: str) -> bytes:
        """The id of the profile whose canonical identifier this is (identity.md §3.3, 6): the same after a rebuild."""
        state = self._profile.copy()
        state.update(canonical.encode())
        return state.digest()

    def erased(self, text: str) -> str:
        """What stands for an identifier after its erasure."""
        return f"{text.partition(':')[0]}:~{self.hashed(text).hex()}"


def message_key(m: str) -> int:
    """The first key a message may have in `seen_message`."""
    return int.from_bytes(blake2b(m.encode(), digest_size=8).digest(), "big") & _KEY_MASK


def ids(numbers: Iterable[int]) -> Any:
    """Integers as one bound array of a statement (`IN carray(?)`)."""
    # An empty array has no aligned address; no row has the number -1.
    return apsw.carray(array("q", numbers) or array("q", (-1,)))


class Nodes:
    """The identifiers in memory. The writer has one; it is emptied when it grows, never stale: nobody else writes."""

    def __init__(self, database: apsw.Connection, keys: Keys) -> None:
        self._database = database
        self._keys = keys
        self._by_text: dict[str, Node] = {}
        self._by_id: dict[int, Node] = {}
        self._next = int(database.execute(SQL["next_node"]).get)
        self._new_keys: list[tuple[int, int]] = []

    def load(self, texts: Iterable[str]) -> None:
        """Brings identifiers into memory, in one query; those nobody mentioned before are made."""
        missing = {text: self._key(text) for text in texts if text not in self._by_text}
        if not missing:
            return
        found: dict[int, Node] = {}
        for key, *row in self._database.execute(SQL["nodes_by_key"], (ids(missing.values()),)):
            found[key] = self._known(tuple(row))
        taken = {key for key, _ in self._new_keys}
        for text, first in missing.items():
            key = first
            node = found.get(key)
            while node is not None and not self._is(node, text):
                key, node = self._probe(key)
            while node is None and key in taken:
                key, node = self._probe(key)
            if node is None:
                node = self._made(text, key)
                taken.add(key)
                found[key] = node
            self._by_text[text] = node

    def get(self, text: str) -> Node:
        """An identifier, made if it is new."""
        if text not in self._by_text:
            self.load((text,))
        return self._by_text[text]

    def find(self, text: str) -> Node | None:
        """An identifier if anything ever mentioned it."""
        if text in self._by_text:
            return self._by_text[text]
        key = self._key(text)
        while True:
            rows = list(self._database.execute(SQL["nodes_by_key"], (ids((key,)),)))
            if not rows:
                return None
            node = self._known(rows[0][1:])
            if self._is(node, text):
                return node
            key = (key + 1) & _KEY_MASK

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
            self._retext(node, self._keys.erased(node.text), node.flags | ERASED)

    def restore(self, node: Node, text: str) -> None:
        """Gives an erased identifier its text back: it was seen alive again."""
        if node.flags & ERASED:
            self._retext(node, text, node.flags & ~ERASED)

    def flush(self) -> None:
        """Writes what changed, in the order of the integers."""
        changed = [node for node in self._by_id.values() if node.changed]
        changed.sort(key=lambda node: node.id)
        run = self._database.executemany
        run(SQL["add_node"], [node.row() for node in changed if not node.stored])
        run(SQL["set_node"], [node.update() for node in changed if node.stored])
        run(SQL["set_node_text"], [(node.id, node.text) for node in changed if node.retexted and node.stored])
        run(SQL["add_node_key"], sorted(self._new_keys))
        self._new_keys = []
        for node in changed:
            node.stored = True
            node.changed = node.retexted = False

    def forget(self, *, everything: bool = False) -> None:
        """Empties the memory when it has grown too large (or always). Only after a flush."""
        if everything or len(self._by_id) > NODES_CACHED_MAX:
            self._by_id.clear()
            self._by_text.clear()
            self._new_keys = []
            self._next = int(self._database.execute(SQL["next_node"]).get)

    def _key(self, text: str) -> int:
        return int.from_bytes(self._keys.hashed(text)[:8], "big") & _KEY_MASK

    def _known(self, row: tuple[Any, ...]) -> Node:
        node = self._by_id.get(row[0])
        if node is None:
            node = self._by_id[row[0]] = Node(row, stored=True)
        return node

    def _is(self, node: Node, text: str) -> bool:
        return node.text == text or bool(node.flags & ERASED and node.text == self._keys.erased(text))

    def _probe(self, key: int) -> tuple[int, Node | None]:
        following = (key + 1) & _KEY_MASK
        rows = list(self._database.execute(SQL["nodes_by_key"], (ids((following,)),)))
        return following, self._known(rows[0][1:]) if rows else None

    def _made(self, text: str, key: int) -> Node:
        node = Node((self._next, int(kind_of(text)), text, 0, 0, -1, 0, -1, -1, 0, 0, 0, 0, 0, 0, 0), stored=False)
        node.changed = True
        self._by_id[node.id] = node
        self._new_keys.append((key, node.id))
        self._next += 1
        return node

    def _retext(self, node: Node, text: str, flags: int) -> None:
        self._by_text = {known: one for known, one in self._by_text.items() if one is not node}
        node.text = text
        node.flags = flags
        node.changed = node.retexted = True
