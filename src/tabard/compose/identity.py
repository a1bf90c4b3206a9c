"""Questions about a person that go behind the profile row, as JSON data for web and CLI."""

from typing import Any

import msgspec

from tabard.message.traits import iso_ms
from tabard.profiles.profile import traits_of
from tabard.storage.interface import Behind, TraitWrite
from tabard.storage.sqlite.store_explain import Explainer
from tabard.storage.sqlite.store_history import History
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

Json = dict[str, Any]


class StoreIdentity:
    """Answers from the store (`web.deps.IdentityReader`). Raises ValueError for a text that is no identifier."""

    def __init__(self, profiles: SqliteProfileReader) -> None:
        self._profiles = profiles

    def identity(self, identifier: str) -> Json | None:
        """The identifiers of the profile and the evidence that touches them, each with the message behind it."""
        graph = Explainer(self._profiles).graph(identifier)
        if graph is None:
            return None
        evidence = [
            {"low": each.low, "high": each.high, "kind": each.kind, "message": _behind(each.message)}
            for each in graph.evidence
        ]
        return {"nodes": [{"identifier": node} for node in graph.nodes], "evidence": evidence}

    def explain(self, identifier: str) -> Json | None:
        """Why these identifiers are one person and near misses are not; `sentences` has it in plain words."""
        found = Explainer(self._profiles).explain(identifier)
        if found is None:
            return None
        document: Json = msgspec.to_builtins(found)
        return {**document, "sentences": [each.sentence for each in (*found.together, *found.apart)]}

    def traits(self, identifier: str, as_of: int | None = None) -> Json | None:
        """Trait → its value, event time, source, messageId and what it replaced; values alone as of an event time."""
        history = History(self._profiles)
        if as_of is not None:
            profile = history.as_of(identifier, as_of)
            return None if profile is None else {key: {"value": value} for key, value in profile.traits.items()}
        if self._profiles.profile(identifier) is None:
            return None
        return {
            key: {**_write(write), "replaced": _write(write.replaced) if write.replaced else None}
            for key, write in history.provenance(identifier).items()
        }

    def history(self, identifier: str, key: str) -> list[Json]:
        """Every write of one trait, newest by event time first."""
        return [_write(write) for write in History(self._profiles).writes(identifier, key)]

    def group(self, group_id: str) -> Json | None:
        """A group's traits."""
        node = self._profiles.nodes().find(f"group:{group_id}")
        if node is None:
            return None
        registers = self._profiles.registers([node]).get(node.id)
        return {"groupId": group_id, "traits": traits_of(registers) if registers else {}}


def _write(write: TraitWrite) -> Json:
    return {
        "value": write.value,
        "identifier": write.identifier,
        "timestamp": iso_ms(write.message.timestamp),
        "source": write.message.source,
        "messageId": write.message.message_id,
    }


def _behind(message: Behind | None) -> Json | None:
    if message is None:
        return None
    return {
        "messageId": message.message_id,
        "type": message.type,
        "source": message.source,
        "timestamp": iso_ms(message.timestamp),
    }
