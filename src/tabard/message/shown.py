"""A stored message as people and programs see it, on the command line and over HTTP alike."""

from typing import Any

import msgspec

from tabard.message.traits import iso_ms
from tabard.message.types import StoredMessage, position_text


def message_document(message: StoredMessage) -> dict[str, Any]:
    """A stored message with its position and times as text; an erased one says so, its `message` is None."""
    return {
        "position": position_text(message.position),
        "source": message.source,
        "type": message.type,
        "messageId": message.message_id,
        "receivedAt": iso_ms(message.received_at),
        "timestamp": iso_ms(message.timestamp),
        "message": msgspec.json.decode(message.body) if message.body else None,
        "erased": not message.body,
    }
