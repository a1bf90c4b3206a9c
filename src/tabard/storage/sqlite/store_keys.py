"""Hashes of texts as keys: of identifiers (keyed, so that an erased one is recognised, and only by us), of messages."""

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import apsw

from tabard.storage.sqlite.database import statements

SQL: Final = statements("store")

KEY_BITS: Final = 63
KEY_MASK: Final = (1 << KEY_BITS) - 1
RANGES: Final = 64
"""Each commit moves one range of so many from a small table of new keys to the large one."""


class Keys:
    """Keyed hashes of identifiers and of what messages held."""

    def __init__(self, secret: bytes) -> None:
        self._identifier = blake2b(key=secret[:64], digest_size=16, person=b"identifier")
        self._content = blake2b(key=secret[:64], digest_size=16, person=b"content")

    def hashed(self, text: str) -> bytes:
        """The 128-bit keyed hash of an identifier. That of a profile's canonical identifier is the profile's id."""
        state = self._identifier.copy()
        state.update(text.encode())
        return state.digest()

    def content(self, content: bytes) -> bytes:
        """The 128-bit keyed hash of a message's content, all that an erasure leaves of it."""
        state = self._content.copy()
        state.update(content)
        return state.digest()

    def profile_id(self, canonical: str) -> bytes:
        """The id of the profile with this canonical identifier (§3.3, 6), also by what an erasure left of it."""
        _, _, value = canonical.partition(":~")
        return bytes.fromhex(value) if _is_erased(value) else self.hashed(canonical)

    def erased(self, text: str) -> str:
        """What stands for an identifier after its erasure."""
        return f"{text.partition(':')[0]}:~{self.hashed(text).hex()}"


def key_of(hashed: bytes) -> int:
    """The first key a hash may have."""
    return int.from_bytes(hashed[:8], "big") & KEY_MASK


def message_key(m: str) -> int:
    """The first key of a message, by its name in comparisons."""
    return key_of(blake2b(m.encode(), digest_size=8).digest())


def ids(numbers: Iterable[int]) -> Any:
    """Different integers as one bound array of a statement, sorted: `FROM carray(?) c CROSS JOIN … = c.value`.

    Such a join looks each up in the order of the tree; `IN carray(?)` would sort them into a tree of its own first.
    """
    # An empty array has no aligned address; no row has the number -1.
    return apsw.carray(array("q", sorted(numbers)) or array("q", (-1,)))


class KeyTable:
    """Key → integer, in two tables: new keys are written at random into a small one and moved on in order.

    A large B-tree written at random costs a page a key; this way a commit dirties a small one and a range of it.
    """

    def __init__(self, database: apsw.Connection, name: str) -> None:
        self._database = database
        self._name = name
        self._range = 0

    def find(self, keys: Iterable[int]) -> dict[int, int]:
        """Those of the keys that are there."""
        return dict(self._database.execute(SQL[f"{self._name}_keys"], (ids(keys),)))

    def probe(self, key: int) -> Iterator[int]:
        """The integers under a key and under the next ones, until one is free."""
        while (value := self.find((key,)).get(key)) is not None:
            yield value
            key = (key + 1) & KEY_MASK

    def add(self, keys: Iterable[tuple[int, int]]) -> None:
        """Writes new keys, and moves one range on."""
        self._database.executemany(SQL[f"add_{self._name}_key"], sorted(keys))
        width = 1 << KEY_BITS - RANGES.bit_length() + 1
        bounds = (self._range * width, (self._range + 1) * width - 1)
        self._database.execute(SQL[f"move_{self._name}_keys"], bounds)
        self._database.execute(SQL[f"moved_{self._name}_keys"], bounds)
        self._range = (self._range + 1) % RANGES


def _is_erased(value: str) -> bool:
    return len(value) == 32 and all(digit in "0123456789abcdef" for digit in value)  # noqa: PLR2004 - 16 bytes in hex
