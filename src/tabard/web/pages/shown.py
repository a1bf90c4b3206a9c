"""What pages and twins have in common: reading query parameters with limits, and messages as people see them."""

from typing import Any, Final

import msgspec
from starlette.requests import Request

from tabard.message.traits import iso_ms, parse_instant
from tabard.message.types import StoredMessage, position_text
from tabard.web.errors import Refused

LIMIT_MAX: Final = 200


def limit_of(request: Request, default: int = 50) -> int:
    """The `limit` parameter. Raises `Refused` if it is no number from 1 to 200."""
    text = request.query_params.get("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= LIMIT_MAX:
        raise Refused("bad_request", f"limit must be a whole number from 1 to {LIMIT_MAX}, not {text!r}")
    return int(text)


def instant_of(request: Request, name: str) -> int | None:
    """A time parameter in milliseconds, None where absent. Raises `Refused` for what is no time."""
    text = request.query_params.get(name)
    if not text:
        return None
    instant = parse_instant(text)
    if instant is None:
        raise Refused("bad_request", f"{name} must be an ISO-8601 time or an epoch number, not {text!r}")
    return instant


def message_json(message: StoredMessage) -> dict[str, Any]:
    """A stored message with its position; an erased one says so and has no body."""
    return {
        "position": position_text(message.position),
        "source": message.source,
        "type": message.type,
        "messageId": message.message_id,
        "receivedAt": iso_ms(message.received_at),
        "timestamp": iso_ms(message.timestamp),
        "erased": not message.body,
        "message": msgspec.json.decode(message.body) if message.body else None,
    }
