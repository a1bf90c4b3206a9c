"""A stored message as people and programs see it, on the command line and over HTTP alike."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tabard.message.traits import iso_ms
from tabard.message.types import StoredMessage, position_text

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_TRAITS_NAMED: Final = 5


def gist(body: dict[str, Any]) -> str:
    """What a call is about, in a few words: its event or name, else whom or what it names, else its traits."""
    said = body.get("event") or body.get("name") or body.get("groupId") or body.get("previousId")
    traits = body.get("traits")
    return str(said or (", ".join(list(traits)[:_TRAITS_NAMED]) if isinstance(traits, dict) else ""))


def message_document(message: StoredMessage, source_names: Mapping[str, str] = _NO_NAMES) -> dict[str, Any]:
    """A stored message with its position and times as text; an erased one says so, its `message` is None.

    `source_names`: by id; a source that is gone is named by its id.
    """
    return {
        "position": position_text(message.position),
        "source": message.source,
        "sourceName": source_names.get(message.source, message.source),
        "type": message.type,
        "messageId": message.message_id,
        "receivedAt": iso_ms(message.received_at),
        "timestamp": iso_ms(message.timestamp),
        "message": msgspec.json.decode(message.body) if message.body else None,
        "erased": not message.body,
    }
