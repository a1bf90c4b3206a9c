"""Answers that no index gives: people by a trait, and who is in a group. Bounded, and looked up when asked for."""

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any, Final

from tabard.message.traits import canonical_trait
from tabard.message.types import CONTROL, StoredMessage
from tabard.profiles.profile import fold, traits_of
from tabard.storage.interface import Group, Profile
from tabard.storage.sqlite.database import statements
from tabard.storage.sqlite.store_entry import NO_LINK, TYPES, UNCHAINED, Role, Row, decode_links
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_messages import late, numbers, one
from tabard.storage.sqlite.store_nodes import Node
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

PROFILES_LOOKED_AT_MAX: Final = 5000
MESSAGES_LOOKED_AT_MAX: Final = 5000

_SQL: Final = statements("search")
_NOWHERE: Final = ((0, "", NO_LINK), False)


class Search:
    """Searches one store through its profile reader."""

    def __init__(self, reader: SqliteProfileReader) -> None:
        self._reader = reader

    def by_trait(self, key: str, value: str, limit: int, after: int = 0) -> tuple[list[Profile], int | None]:
        """Profiles whose trait, as text, equals `value`; and where to go on, None at the end of all profiles.

        One call looks at 5,000 profiles at most, so it may find few and still have a place to go on from.
        """
        key = canonical_trait(key)
        found: list[Profile] = []
        roots = numbers(self._reader.database, _SQL["profiles_after"], (after, PROFILES_LOOKED_AT_MAX))
        nodes = self._reader.nodes()
        for root in roots:
            profile = self._reader.profile(nodes.by_id(root).text)
            if profile is not None and _text(profile.traits.get(key)) == value:
                found.append(profile)
                if len(found) == limit:
                    return found, root
        return found, roots[-1] if len(roots) == PROFILES_LOOKED_AT_MAX else None

    def group(self, group_id: str) -> Group | None:
        """A group's traits; None for a group that no message names."""
        node = self._reader.node(f"group:{group_id}")
        if node is None:
            return None
        registers = self._reader.registers([node]).get(node.id)
        return Group(group_id, traits_of(registers) if registers else {})

    def members(self, group_id: str, limit: int, after: int | None = None) -> tuple[list[str], int | None]:
        """The canonical identifiers of who is in a group, and where to go on, None at the end.

        Who joined by the message that was resolved last stands first. One call looks at 5,000 messages at most, so it
        may find few and still have a place to go on from. Each profile stands at the one message that holds its
        membership, so it comes once, whatever page that is on.
        """
        group = self._reader.node(f"group:{group_id}")
        found: list[str] = []
        if group is None:
            return found, None
        last = after
        for looked_at, row in enumerate(self._naming(group, after)):
            member = self._member(row, group.text.removeprefix("group:"))
            if looked_at == MESSAGES_LOOKED_AT_MAX or (member is not None and len(found) == limit):
                return found, last
            if member is not None:
                found.append(member)
            last = row.position
        return found, None

    def timeline(self, group_id: str, limit: int, before: int | None = None) -> list[StoredMessage]:
        """The messages that name a group, the latest resolved first, behind one of them."""
        group = self._reader.node(f"group:{group_id}")
        if group is None:
            return []
        positions = islice(self._positions(group, before), limit)
        rows = (Row(*one(self._reader.database, SQL["message"], position)) for position in positions)
        return [self._reader.stored(row) for row in rows]

    def positions(self, group_id: str, limit: int, after: int | None = None) -> list[int]:
        """The positions of the messages that name a group, oldest first, behind one of them; the latest `limit`."""
        group = self._reader.node(f"group:{group_id}")
        if group is None:
            return []
        newer = takewhile(lambda position: position != after, self._positions(group, None))
        return list(islice(newer, limit))[::-1]

    def _positions(self, group: Node, before: int | None) -> Iterator[int]:
        """Where the messages are that name a group, each once, the latest resolved first."""
        seen: set[int] = set()
        for row in self._naming(group, before):
            if row.position not in seen and _is_call_of(row, group):
                seen.add(row.position)
                yield row.position

    def _member(self, row: Row, group_id: str) -> str | None:
        """Whose membership a message holds, by canonical identifier; None where nobody's, or that is over."""
        links = decode_links(row.links)
        subject = next((links[at + 1] for at in range(2, len(links), 3) if links[at] & Role.SUBJECT), None)
        if subject is None:
            return None
        node = self._reader.nodes().by_id(subject)
        profile = self._reader.profile(node.text) if self._holds([node], row, group_id) else None
        return profile.canonical if profile and self._holds(self._reader.members(node), row, group_id) else None

    def _holds(self, members: list[Node], row: Row, group_id: str) -> bool:
        (_, _, position), inside = fold(self._reader.registers(members).values()).groups.get(group_id, _NOWHERE)
        return inside and position == row.position

    def _naming(self, group: Node, after: int | None) -> Iterator[Row]:
        """The messages that name a group, the latest resolved first, behind one of them; then its late mentions."""
        database = self._reader.database
        position, late_after = group.newest, NO_LINK
        if after is not None:
            behind = database.execute(_SQL["message_head"], (after,)).fetchone()
            position = NO_LINK if behind is None else _older(Row(*behind), group)
            if position == UNCHAINED:
                position, late_after = NO_LINK, after
        while position != NO_LINK:
            row = Row(*one(database, _SQL["message_head"], position))
            yield row
            position = _older(row, group)
        for row in late(database, group, _SQL["message_head"]):
            if row.position > late_after:
                yield row


def _is_call_of(row: Row, group: Node) -> bool:
    """Whether a message is a call that names a group, and no control."""
    links = decode_links(row.links)
    named = any(links[at + 1] == group.id and links[at] & Role.GROUP for at in range(2, len(links), 3))
    return named and TYPES[row.type] != CONTROL


def _older(row: Row, group: Node) -> int:
    """The next place in a group's chain behind a row; `NO_LINK` at its end, or where the row does not name it."""
    links = decode_links(row.links)
    return next((links[at + 2] for at in range(2, len(links), 3) if links[at + 1] == group.id), NO_LINK)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
