"""Hashes of texts as keys: of identifiers (keyed, so that an erased one is recognised, and only by us), of messages."""

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import apsw
import msgspec

from tabard.storage.sqlite.database import statements

SQL: Final = statements("store")
_encode_run: Final = msgspec.msgpack.Encoder().encode
_decode_run: Final = msgspec.msgpack.Decoder(list[int]).decode

KEY_BITS: Final = 63
KEY_MASK: Final = (1 << KEY_BITS) - 1
RANGES: Final = 64
"""Each commit moves what waits of one range of so many to the large table."""
_RANGE_SHIFT: Final = KEY_BITS - (RANGES - 1).bit_length()
_COMMIT_BITS: Final = 40


class Keys:
    """Keyed hashes of identifiers and of what messages held."""

    def __init__(self, secret: bytes) -> None:
        self._identifier = blake2b(key=secret[:64], digest_size=16, person=b"identifier")
        self._content = blake2b(key=secret[:64], digest_size=16, person=b"content")

    def hashed(self, text: str) -> bytes:
        """The 128-bit keyed hash of an identifier. That of a profile's canonical one is the profile's id (§3.3, 6)."""
        state = self._identifier.copy()
        state.update(text.encode())
        return state.digest()

    def content(self, content: bytes) -> bytes:
        """The 128-bit keyed hash of a message's content, all that an erasure leaves of it."""
        state = self._content.copy()
        state.update(content)
        return state.digest()

    def kept(self, text: str, *, is_erased: bool) -> bytes:
        """The keyed hash of an identifier as it is stored, the same by its text and by what an erasure left of that."""
        return bytes.fromhex(text.partition(":~")[2]) if is_erased else self.hashed(text)

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
    """Key → integer, as it stands in the file: in a large table, or in a run that waits to be moved there."""

    def __init__(self, database: apsw.Connection, name: str) -> None:
        self._database = database
        self._name = name

    def find(self, keys: Iterable[int]) -> dict[int, int]:
        """Those of the keys that are there."""
        wanted = set(keys)
        # First where they wait: another process may move them from there to the large table in between.
        found: dict[int, int] = {}
        for number in {key >> _RANGE_SHIFT for key in wanted}:
            for _, run in self._runs(number, number):
                found.update(pair for pair in run if pair[0] in wanted)
        found.update(self._database.execute(SQL[f"{self._name}_keys"], (ids(wanted - found.keys()),)))
        return found

    def probe(self, key: int) -> Iterator[int]:
        """The integers under a key and under the next ones, until one is free."""
        while (value := self.find((key,)).get(key)) is not None:
            yield value
            key = (key + 1) & KEY_MASK

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, Iterator[tuple[int, int]]]]:
        """The runs of these ranges: each one's id and its pairs."""
        for number, encoded in self._database.execute(SQL[f"{self._name}_key_runs"], _bounds(first, last)):
            run = _decode_run(encoded)
            yield number, zip(run[::2], run[1::2], strict=True)


class KeyWriter(KeyTable):
    """The table as its one writer sees it: what waits is in memory too.

    A large B-tree written at random costs a page a key. This way a commit dirties one range of it, in order, and for
    each range the end of its runs.
    """

    def __init__(self, database: apsw.Connection, name: str) -> None:
        super().__init__(database, name)
        self._waiting: list[dict[int, int]] | None = None
        self._next_commit = 0
        self._range = 0

    def find(self, keys: Iterable[int]) -> dict[int, int]:
        """Those of the keys that are there."""
        waiting = self._loaded()
        found: dict[int, int] = {}
        moved = []
        for key in keys:
            value = waiting[key >> _RANGE_SHIFT].get(key)
            if value is None:
                moved.append(key)
            else:
                found[key] = value
        found.update(self._database.execute(SQL[f"{self._name}_keys"], (ids(moved),)))
        return found

    def add(self, keys: Iterable[tuple[int, int]]) -> None:
        """Writes new keys, and moves one range on."""
        waiting, moving = self._loaded(), self._range
        runs: list[list[int]] = [[] for _ in range(RANGES)]
        for key, value in keys:
            number = key >> _RANGE_SHIFT
            waiting[number][key] = value
            runs[number] += (key, value)
        write = self._database.executemany
        write(
            SQL[f"add_{self._name}_key_run"],
            [
                (number << _COMMIT_BITS | self._next_commit, _encode_run(pairs))
                for number, pairs in enumerate(runs)
                if pairs and number != moving
            ],
        )
        write(SQL[f"add_{self._name}_key"], sorted(waiting[moving].items()))
        self._database.execute(SQL[f"drop_{self._name}_key_runs"], _bounds(moving, moving))
        waiting[moving] = {}
        self._next_commit += 1
        self._range = (moving + 1) % RANGES

    def forget(self) -> None:
        """To be called when a commit was undone: what waits is read from the file again."""
        self._waiting = None

    def _loaded(self) -> list[dict[int, int]]:
        if self._waiting is None:
            self._waiting = [{} for _ in range(RANGES)]
            for number, run in self._runs(0, RANGES - 1):
                self._waiting[number >> _COMMIT_BITS].update(run)
                self._next_commit = max(self._next_commit, (number & (1 << _COMMIT_BITS) - 1) + 1)
        return self._waiting


def _bounds(first: int, last: int) -> tuple[int, int]:
    """The ids that runs of these ranges may have."""
    return first << _COMMIT_BITS, (last + 1 << _COMMIT_BITS) - 1
