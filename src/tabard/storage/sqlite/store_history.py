"""What was said of a person, when, by which message: trait history, provenance, and the profile as of a time."""

import contextlib
import tempfile
from collections import deque
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final

import msgspec

from tabard.identity.controls import ControlUnreadable
from tabard.identity.rules import asserted_by, read
from tabard.message.traits import canonical_trait
from tabard.profiles.registers import Held
from tabard.storage.interface import AsOf, Consumed, Resolved, TraitHistory, TraitWrite
from tabard.storage.sqlite.store import SqliteStore
from tabard.storage.sqlite.store_entry import TYPES, Row, decode_links
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_messages import decoded_body, message_name, message_of, one, walk
from tabard.storage.sqlite.store_nodes import Node
from tabard.storage.sqlite.store_profiles import SqliteProfileReader
from tabard.storage.sqlite.store_reader import row_is_dead

MESSAGES_MAX: Final = 10_000
"""So many of a profile's latest messages are read for a history, and of a neighbourhood for an answer as of a time."""
NODES_MAX: Final = 500
_IDENTIFY: Final = TYPES.index("identify")

Order = tuple[int, str]


class History:
    """Looks back, in the archive: what is past its horizon, or erased, is not seen."""

    def __init__(self, reader: SqliteProfileReader) -> None:
        self._reader = reader

    def writes(self, identifier: str, key: str) -> TraitHistory:
        """Every write of a trait to the identifier's profile, the newest by event time first: that one is shown.

        It looks at the profile's latest 10,000 messages.
        """
        name = canonical_trait(key)
        found, since = self._all(identifier)
        return TraitHistory(_chained([write for write in found if write[1].key == name], since), since)

    def provenance(self, identifier: str) -> dict[str, TraitWrite]:
        """Trait → the write that is shown, also of a message past the horizon, and what it replaced if that is seen."""
        node = self._reader.node(identifier)
        if node is None:
            return {}
        earlier: dict[str, list[tuple[Order, TraitWrite]]] = {}
        found, since = self._all(identifier)
        for order, write in found:
            earlier.setdefault(write.key, []).append((order, write))
        shown: dict[str, tuple[Held, TraitWrite]] = {}
        for held, write in self._held(self._reader.members(node)):
            if write.key not in shown or shown[write.key][0] < held:
                shown[write.key] = (held, write)
        return {
            key: _over(write, _before(held[:2], earlier.get(key, [])), since)
            for key, (held, write) in sorted(shown.items())
            if write.value is not None
        }

    def _held(self, members: list[Node]) -> Iterator[tuple[Held, TraitWrite]]:
        """The writes that hold the registers of these identifiers."""
        texts = {member.id: member.text for member in members}
        for number, registers in self._reader.registers(members).items():
            for key, (held, value) in registers.traits.items():
                row = Row(*one(self._reader.database, SQL["message_head"], held[2]))
                yield held, TraitWrite(key, value, texts[number], self._reader.behind(row))

    def as_of(self, identifier: str, t: int) -> AsOf | None:
        """The profile as the events and controls up to an event time (ms) make it, by the engine itself, and the write
        behind each trait.

        It looks at the messages of the identifier's neighbourhood, at most 10,000 of 500 identifiers; where there
        are more, the profile and each write say that they are truncated.
        """
        node = self._reader.node(identifier)
        if node is None:
            return None
        rows, truncated = self._neighbourhood(node)
        with self._fed([row for row in rows if row.timestamp <= t]) as reader:
            profile = reader.profile(identifier)
            if profile is None:
                return None
            provenance = History(reader).provenance(identifier)
        if not truncated:
            return AsOf(profile, provenance)
        part = {key: msgspec.structs.replace(write, truncated=True) for key, write in provenance.items()}
        return AsOf(msgspec.structs.replace(profile, truncated=True), part)

    @contextlib.contextmanager
    def _fed(self, rows: list[Row]) -> Iterator[SqliteProfileReader]:
        """A reader of a store of its own that has resolved these messages and nothing else."""
        secret, rules = self._reader.secret, self._reader.rules
        batch = [one for row in rows for one in self._resolved(row)]
        with tempfile.TemporaryDirectory(prefix="tabard-as-of-") as folder:
            path = Path(folder) / "store.db"
            with contextlib.closing(SqliteStore(path, secret, rules)) as store:
                store.begin("as-of")
                store.apply(batch, [Consumed(0, 0, len(batch), 0)])
                while store.project(NODES_MAX):
                    pass
                with contextlib.closing(SqliteProfileReader(path, secret, rules)) as reader:
                    yield reader

    def _all(self, identifier: str) -> tuple[list[tuple[Order, TraitWrite]], int | None]:
        """The writes in the profile's latest messages; the event time of the last of these where there are more."""
        node = self._reader.node(identifier)
        found: list[tuple[Order, TraitWrite]] = []
        if node is None:
            return found, None
        members = {member.id: member for member in self._reader.members(node)}
        since = 0
        for looked_at, row in enumerate(self._reader.latest(list(members.values()), MESSAGES_MAX + 1)):
            if looked_at == MESSAGES_MAX:
                return found, since
            since = row.timestamp
            if row.type == _IDENTIFY and row.body and not row_is_dead(self._reader.database, row):
                subject = next(number for role, number in _mentions(row) if role & 1)
                found += self._writes_of(row, members[subject])
        return found, None

    def _writes_of(self, row: Row, subject: Node) -> list[tuple[Order, TraitWrite]]:
        behind = self._reader.behind(row)
        order = (row.timestamp, message_name(row.message_id, behind.source))
        traits = asserted_by("identify", decoded_body(row.body), subject.text)
        return [(order, TraitWrite(key, value, subject.text, behind)) for key, value in traits.items()]

    def _neighbourhood(self, start: Node) -> tuple[list[Row], bool]:
        """All messages that mention whoever shares messages with the identifier, and so on; whether a bound cut it."""
        nodes = self._reader.nodes()
        rows: dict[int, Row] = {}
        known = {start.id}
        queue = deque([start])
        truncated = False
        while queue and len(rows) <= MESSAGES_MAX:
            for row in walk(self._reader.database, queue.popleft(), SQL["message"]):
                rows[row.position] = row
                new = [number for _, number in _mentions(row) if number not in known]
                for number in new[: NODES_MAX - len(known)]:
                    known.add(number)
                    queue.append(nodes.by_id(number))
                truncated = truncated or not known.issuperset(new)
                if len(rows) > MESSAGES_MAX:
                    break
        kept = sorted(list(rows.values())[:MESSAGES_MAX], key=lambda row: row.position)
        return kept, truncated or len(rows) > MESSAGES_MAX

    def _resolved(self, row: Row) -> list[Resolved]:
        message = message_of(row, self._reader.sources.name(row.source))
        if message is None:
            return []
        try:
            return [Resolved(self._reader.stored(row), read(message, self._reader.rules))]
        except ControlUnreadable:
            return []


def _mentions(row: Row) -> list[tuple[int, int]]:
    links = decode_links(row.links)
    return [(links[at], links[at + 1]) for at in range(2, len(links), 3) if links[at]]


def _chained(writes: list[tuple[Order, TraitWrite]], since: int | None) -> tuple[TraitWrite, ...]:
    """Newest first, each with the one before it in `replaced`."""
    ordered = [write for _, write in sorted(writes, key=lambda one: one[0], reverse=True)]
    return tuple(_over(write, before, since) for write, before in zip_longest(ordered, ordered[1:]))


def _over(write: TraitWrite, before: TraitWrite | None, since: int | None) -> TraitWrite:
    return msgspec.structs.replace(write, replaced=before, truncated=before is None and since is not None)


def _before(order: Order, writes: list[tuple[Order, TraitWrite]]) -> TraitWrite | None:
    earlier = [write for write in writes if write[0] < order]
    return max(earlier, key=lambda write: write[0])[1] if earlier else None
