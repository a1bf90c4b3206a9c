"""What one identifier said, last write wins: registers of traits and memberships (identity.md §3.4). Pure."""

import hashlib
from functools import lru_cache
from typing import Any, Final

import msgspec

from tabard.message.traits import RESERVED

Held = tuple[int, str, int]
"""Who holds a register: (event time, message, log position). The first two are a total order; the last says where."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Registers:
    """The traits and memberships asserted under one identifier: key → (holder, value). A null is a write like any.

    Kept as the writes that still hold something, so that a message's id is stored once for all the keys it set.
    """

    __slots__ = ("groups", "traits")

    def __init__(self) -> None:
        self.traits: dict[str, tuple[Held, Any]] = {}
        self.groups: dict[str, tuple[Held, bool]] = {}

    @classmethod
    def decoded(cls, encoded: bytes | None) -> "Registers":
        """The registers that `encoded` made these bytes from; empty ones from None."""
        found = cls()
        if encoded:
            for t, m, position, traits, groups in _decode(encoded):
                held = (t, m, position)
                for key, value in traits.items():
                    found.traits[key] = (held, value)
                for group, inside in groups.items():
                    found.groups[group] = (held, inside)
        return found

    def encoded(self) -> bytes:
        """The registers as JSON: a list of [time, message, position, {trait: value}, {group: inside}]."""
        writes: dict[Held, tuple[dict[str, Any], dict[str, bool]]] = {}
        for key, (held, value) in self.traits.items():
            writes.setdefault(held, ({}, {}))[0][key] = value
        for group, (holder, inside) in self.groups.items():
            writes.setdefault(holder, ({}, {}))[1][group] = inside
        return _encode([(*held, *parts) for held, parts in writes.items()])

    def __bool__(self) -> bool:
        return bool(self.traits or self.groups)

    def write(self, held: Held, traits: dict[str, Any]) -> bool:
        """Writes traits where they are the newest. Whether any value a reader sees changed."""
        changed = False
        kept = self.traits
        for key, value in traits.items():
            old = kept.get(key)
            if old is None:
                kept[key] = (held, value)
                changed = changed or value is not None
            elif old[0] < held:
                kept[key] = (held, value)
                changed = changed or old[1] != value or type(old[1]) is not type(value)
        return changed

    def place(self, held: Held, group: str, inside: bool) -> bool:
        """Writes a membership where it is the newest. Whether the answer changed."""
        old = self.groups.get(group)
        if old is not None and old[0] >= held:
            return False
        self.groups[group] = (held, inside)
        return (old is not None and old[1]) != inside

    def trim(self, most: int) -> None:
        """Keeps so many traits, and so many memberships: those that come first by `_preference`.

        Which ones does not depend on the order of arrival: whatever else is ever written, those before them stay.
        """
        if len(self.traits) > most:
            self.traits = _first(self.traits, most)
        if len(self.groups) > most:
            self.groups = _first(self.groups, most)

    def holds(self, position: int) -> bool:
        """Whether the message at this position holds any register."""
        return any(held[2] == position for held, _ in self.traits.values()) or any(
            held[2] == position for held, _ in self.groups.values()
        )


def _first(kept: dict[str, tuple[Held, Any]], most: int) -> dict[str, tuple[Held, Any]]:
    return {key: kept[key] for key in sorted(kept, key=_preference)[:most]}


@lru_cache(65_536)
def _preference(key: str) -> tuple[bool, bytes]:
    """Reserved traits, then the others by a hash: any order that only the key decides would do."""
    return key not in RESERVED, hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
