"""Dead letters: what could not be delivered, and why."""

from typing import Any

from tabard.message.traits import iso_ms
from tabard.message.types import position_text
from tabard.storage.deliveries import Attempt, DeliveryReader, Row

Json = dict[str, Any]


def dead_letters(deliveries: DeliveryReader, consumer: str | None, limit: int, text: str = "") -> list[Json]:
    """Dead letters as JSON data, newest first; of one consumer (a destination's id, or a replay's) if given.

    `text` is looked for in code, reason and message id.
    """
    return [row_json(row) for row in deliveries.dead_letters(consumer, limit, text=text)]


def dead_letter(deliveries: DeliveryReader, consumer: str, position: int) -> Json | None:
    """One delivery that has a row, with its attempts: request and answer, secrets cut out, bodies capped."""
    row = deliveries.row(consumer, position)
    if row is None:
        return None
    return {**row_json(row), "tries": [attempt_json(each) for each in deliveries.attempts(consumer, position)]}


def row_json(row: Row) -> Json:
    """A row as JSON data: times in ISO 8601, the position as people see it."""
    return {
        "destination": row.consumer,
        "position": position_text(row.position),
        "state": row.state,
        "source": row.source,
        "type": row.type,
        "messageId": row.message_id,
        "receivedAt": iso_ms(row.received_at),
        "failingSince": iso_ms(row.since) if row.since else None,
        "nextAttempt": iso_ms(row.due) if row.due and row.state == "parked" else None,
        "attempts": row.attempts,
        "late": row.late,
        "code": row.code,
        "reason": row.reason,
    }


def attempt_json(attempt: Attempt) -> Json:
    """An attempt as JSON data."""
    return {
        "at": iso_ms(attempt.at),
        "tookMs": attempt.took_ms,
        "subscription": attempt.subscription,
        "outcome": attempt.verdict,
        "code": attempt.code,
        "reason": attempt.reason,
        "request": attempt.request,
        "answer": attempt.answer,
    }
