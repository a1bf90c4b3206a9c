"""Answers that no index gives: people by a trait, and who is in a group. Bounded, and looked up when asked for."""

from collections.abc import Iterator
from typing import Any, Final

from tabard.profiles.profile import traits_of
from tabard.storage.interface import Group, Profile
from tabard.storage.sqlite.database import statements
from tabard.storage.sqlite.store_entry import decode_links
from tabard.storage.sqlite.store_messages import numbers, walk
from tabard.storage.sqlite.store_nodes import Node
from tabard.storage.sqlite.store_profiles import SqliteProfileReader, is_subject

PROFILES_LOOKED_AT_MAX: Final = 5000
MESSAGES_LOOKED_AT_MAX: Final = 10_000
MEMBERS_MAX: Final = 1000

_SQL: Final = statements("search")


class Search:
    """Searches one store through its profile reader."""

    def __init__(self, reader: SqliteProfileReader) -> None:
        self._reader = reader

    def by_trait(self, key: str, value: str, limit: int, after: int = 0) -> tuple[list[Profile], int | None]:
        """Profiles whose trait, as text, equals `value`; and where to go on, None at the end of all profiles.

        One call looks at 5,000 profiles at most, so it may find few and still have a place to go on from.
        """
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
        """A group's traits and its members of now, of those who joined by its latest 10,000 messages; None if
        unknown.
        """
        node = self._reader.node(f"group:{group_id}")
        if node is None:
            return None
        registers = self._reader.registers([node]).get(node.id)
        members: dict[str, str] = {}
        for subject in self._subjects(node):
            profile = self._reader.profile(subject)
            if profile is not None and group_id in profile.groups:
                members.setdefault(profile.profile_id, profile.canonical)
            if len(members) == MEMBERS_MAX:
                break
        return Group(group_id, traits_of(registers) if registers else {}, tuple(sorted(members.values())))

    def _subjects(self, group: Node) -> Iterator[str]:
        """Each identifier that a message put into the group, once."""
        seen: set[int] = set()
        nodes = self._reader.nodes()
        for count, row in enumerate(walk(self._reader.database, group, _SQL["message_head"])):
            if count == MESSAGES_LOOKED_AT_MAX:
                return
            for number in decode_links(row.links)[3::3]:
                if number not in seen and is_subject(row, number):
                    seen.add(number)
                    yield nodes.by_id(number).text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
