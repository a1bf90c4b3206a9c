"""The whole derived state: as the worked examples show it, and as one digest, equal for any order of arrival."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import apsw
import msgspec

from tabard.profiles.profile import fold, groups_of, traits_of
from tabard.profiles.registers import Registers
from tabard.storage.sqlite.store_entry import TYPES, Row
from tabard.storage.sqlite.store_keys import SQL, Keys, ids
from tabard.storage.sqlite.store_messages import Sources, message_name
from tabard.storage.sqlite.store_nodes import ERASED, SEEN, WRITES, Node
from tabard.storage.sqlite.store_projector import decode_members

_HASH_BITS: Final = 256
_canonical: Final = msgspec.json.Encoder(order="sorted").encode


class State:
    """Reads all of a store. Meant for tests, dry runs and comparisons, not for a running page."""

    def __init__(self, database: apsw.Connection, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def dump(self) -> dict[str, Any]:
        """The profiles and groups in the shape and order of spec/identity/examples.json. Every mark must be done."""
        profiles = [self._profile(root, decode_members(members)) for root, members in self._roots()]
        profiles.sort(key=lambda one: str(one["canonical"]))
        return {"profiles": profiles, "groups": self._groups()}

    def digest(self) -> str:
        """A digest of the derived state: the sum of the digests of its parts, so that their order plays no part.

        Positions, times of arrival and integers of identifiers are no part of it; neither are the books.
        """
        total = 0
        for part in self._parts():
            total += int.from_bytes(blake2b(_canonical(part), digest_size=_HASH_BITS // 8).digest(), "big")
        return f"{total % (1 << _HASH_BITS):064x}"

    def _roots(self) -> Iterator[tuple[int, bytes]]:
        yield from self._database.execute(SQL["all_profiles"])

    def _profile(self, root: int, members: list[int]) -> dict[str, Any]:
        rows = self._database.execute(SQL["nodes_by_id"], (ids(members),))
        nodes = {row[1]: Node(row[1:], stored=True) for row in rows}
        folded = fold(Registers.decoded(w) for _, w in self._database.execute(SQL["registers"], (ids(members),)))
        return {
            "canonical": nodes[root].text,
            "ids": sorted(node.text for node in nodes.values()),
            "traits": traits_of(folded),
            "groups": groups_of(folded),
            "events": sum(node.events for node in nodes.values()),
        }

    def _groups(self) -> dict[str, dict[str, Any]]:
        groups = {}
        for text, writes in self._database.execute(SQL["group_registers"]):
            traits = traits_of(Registers.decoded(writes))
            if traits:
                groups[str(text).removeprefix("group:")] = traits
        return dict(sorted(groups.items()))

    def _parts(self) -> Iterator[Any]:
        texts: dict[int, str] = {0: "*"}
        profile_ids: dict[int, str] = {}
        for node in self._nodes():
            # What is not seen (any more) goes by its keyed hash, so that its erasure changes nothing.
            hidden = not node.flags & (SEEN | ERASED)
            texts[node.id] = self._keys.erased(node.text) if hidden else node.text
            if node.profile == node.id:
                profile_ids[node.id] = node.hashed(self._keys).hex()
            if node.flags & SEEN:
                yield "node", node.text, node.events, node.first_at, node.last_at
            if node.flags & WRITES:
                yield from self._registers(node)
        for low, high, t, m in self._database.execute(SQL["all_claims"]):
            yield "claim", texts[low], texts[high], t, m
        for x, y, t, m in self._database.execute(SQL["all_edges"]):
            yield "edge", texts[x], texts[y], t, m
        for node, kind, other, t, m, until in self._database.execute(SQL["all_controls"]):
            yield "control", texts[node], kind, texts[other], t, m, until
        for root, members in self._database.execute(SQL["all_profiles"]):
            yield "profile", texts[root], profile_ids[root], sorted(texts[one] for one in decode_members(members))
        yield from self._messages()

    def _nodes(self) -> Iterator[Node]:
        for row in self._database.execute(SQL["all_nodes"]):
            yield Node(row[1:], stored=True)

    def _registers(self, node: Node) -> Iterator[Any]:
        for _, writes in self._database.execute(SQL["registers"], (ids((node.id,)),)):
            held = Registers.decoded(writes)
            for key, ((t, m, _), value) in held.traits.items():
                yield "trait", node.text, key, t, m, value
            for group, ((t, m, _), inside) in held.groups.items():
                yield "member", node.text, group, t, m, inside

    def _messages(self) -> Iterator[Any]:
        sources = Sources(self._database)
        for values in self._database.execute(SQL["all_messages"]):
            row = Row(*values)
            name = message_name(row.message_id, sources.name(row.source))
            yield "message", name, row.timestamp, TYPES[row.type]
