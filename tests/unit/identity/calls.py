"""Calls as the rules read them, for tests."""

from typing import Any

from tabard.message.types import SERVER_TRUST, Message, Trust


def message(kind: str, body: dict[str, Any], trust: Trust = SERVER_TRUST) -> Message:
    """A normalised message with these fields, at time 5."""
    return Message(
        source="s",
        type=kind,
        message_id="m",
        trust=trust,
        received_at=5,
        timestamp=5,
        body=body,
        user_id=body.get("userId"),
        anonymous_id=body.get("anonymousId"),
        previous_id=body.get("previousId"),
        group_id=body.get("groupId"),
    )
