"""The store's answers that go behind the profile row (`web.deps.IdentityReader`)."""

from tabard.identity.rules import Ignored, Rules, read
from tabard.message.types import StoredMessage
from tabard.storage.interface import AsOf, Explanation, Group, IdentityGraph, Profile, TraitHistory, TraitWrite
from tabard.storage.sqlite.store_explain import Explainer
from tabard.storage.sqlite.store_history import History
from tabard.storage.sqlite.store_profiles import SqliteProfileReader
from tabard.storage.sqlite.store_reader import message_in
from tabard.storage.sqlite.store_search import Search


def ignored_in(stored: StoredMessage, rules: Rules) -> Ignored | None:
    """What a stored message states that its source may not; None where there is nothing, or no body any more."""
    message = message_in(stored)
    return None if message is None else read(message, rules).ignored


class StoreIdentity:
    """One thread's answers. Raises ValueError for a text that is no identifier."""

    def __init__(self, profiles: SqliteProfileReader) -> None:
        self._profiles = profiles

    def identity(self, identifier: str) -> IdentityGraph | None:
        """The identifiers of a profile and the evidence that touches them, each with the message behind it."""
        return Explainer(self._profiles).graph(identifier)

    def explain(self, identifier: str) -> Explanation | None:
        """Why these identifiers are one person, in sentences, and why near misses are not."""
        return Explainer(self._profiles).explain(identifier)

    def ignored(self, message: StoredMessage) -> Ignored | None:
        """What a message states that its source may not; None where there is nothing, or no body any more."""
        return ignored_in(message, self._profiles.rules)

    def provenance(self, identifier: str) -> dict[str, TraitWrite]:
        """Trait → the write that is shown, with what it replaced."""
        return History(self._profiles).provenance(identifier)

    def history(self, identifier: str, key: str) -> TraitHistory:
        """Every write of one trait, newest by event time first."""
        return History(self._profiles).writes(identifier, key)

    def as_of(self, identifier: str, instant_ms: int) -> AsOf | None:
        """The profile as the events up to an event time make it, and where its traits came from."""
        return History(self._profiles).as_of(identifier, instant_ms)

    def group(self, group_id: str) -> Group | None:
        """A group's traits."""
        return Search(self._profiles).group(group_id)

    def group_timeline(self, group_id: str, limit: int, before: int | None = None) -> list[StoredMessage]:
        """The calls that name a group, the latest resolved first, behind the position `before`."""
        return Search(self._profiles).timeline(group_id, limit, before)

    def group_positions(self, group_id: str, limit: int, after: int | None = None) -> list[int]:
        """The positions of these calls, oldest first, behind the position `after`; the latest `limit`."""
        return Search(self._profiles).positions(group_id, limit, after)

    def members(self, group_id: str, limit: int, after: int | None = None) -> tuple[list[str], int | None]:
        """Who is in a group, and where to go on (None at the end)."""
        return Search(self._profiles).members(group_id, limit, after)

    def by_trait(self, key: str, value: str, limit: int, after: int = 0) -> tuple[list[Profile], int | None]:
        """Profiles with a trait of that value, and where to go on (None at the end)."""
        return Search(self._profiles).by_trait(key, value, limit, after)
