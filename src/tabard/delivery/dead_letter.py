"""Dead letters: what could not be delivered, and why."""

from typing import Any, Final

from tabard.message.traits import iso_ms
from tabard.message.types import position_text
from tabard.storage.deliveries import Attempt, DeliveryReader, Erasure, ErasureState, Row

Json = dict[str, Any]

_FAILED_MAX: Final = 10_000


def dead_letters(deliveries: DeliveryReader, consumer: str | None, limit: int, text: str = "") -> list[Json]:
    """Dead letters as JSON data, newest first; of one consumer (a destination's id, or a replay's) if given.

    Before them, as type `delete`, the deletions that a destination did not carry out. `text` is looked for in code,
    reason and message id.
    """
    failed = [erasure_json(each) for each in failed_erasures(deliveries, consumer, text)]
    return (failed + [row_json(row) for row in deliveries.dead_letters(consumer, limit, text=text)])[:limit]


def failed_erasures(deliveries: DeliveryReader, destination: str | None, text: str = "") -> list[Erasure]:
    """Deletions that a destination did not carry out, with this text in code, reason or message id."""
    failed = deliveries.erasures(ErasureState.FAILED, destination, _FAILED_MAX)
    return [each for each in failed if text in f"{each.code} {each.reason} {each.message_id}"]


def erasure_json(erasure: Erasure) -> Json:
    """The erasure of deleted people at a destination, as JSON data with the keys of a dead letter."""
    return {
        "destination": erasure.destination,
        "position": position_text(erasure.position),
        "state": "dead" if erasure.state is ErasureState.FAILED else erasure.state,
        "type": "delete",
        "messageId": erasure.message_id,
        "people": list(erasure.people),
        "askedAt": iso_ms(erasure.asked_at),
        "failingSince": iso_ms(erasure.since) if erasure.since else None,
        "attempts": erasure.attempts,
        "code": erasure.code,
        "reason": erasure.reason,
    }


def dead_letter(deliveries: DeliveryReader, consumer: str, position: int) -> Json | None:
    """One delivery that has a row, with its attempts: request and answer, secrets cut out, bodies capped."""
    row = deliveries.row(consumer, position)
    if row is None:
        erasure = deliveries.erasure(consumer, position)
        return {**erasure_json(erasure), "tries": []} if erasure else None
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
