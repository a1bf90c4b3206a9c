"""Dead letters: what could not be delivered, and why."""

import re
from typing import Any, Final, NamedTuple

import msgspec

from tabard.delivery.lanes import KEY_BYTES, lane_key
from tabard.message.traits import iso_ms
from tabard.message.types import position_named, position_text
from tabard.storage.deliveries import Attempt, DeliveryReader, Erasure, ErasureState, Letters, Row

Json = dict[str, Any]

_FAILED_MAX: Final = 10_000
_PLACE: Final = re.compile(r"(deletion|row)-(\d{1,18})", re.ASCII)


class LetterSearch(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are looked for: those that meet all of it.

    consumer: a destination's id, or a replay's; None for all. text: stands in code, reason or message id. code: is
    the code. since: failing since then or later (ms). identifier: of the message as it was sent (a userId,
    anonymousId, previousId, or the e-mail where it has neither), also written `user:u1`, `anon:…`, `email:…`.
    """

    consumer: str | None = None
    text: str = ""
    code: str = ""
    since: int = 0
    identifier: str = ""

    @property
    def letters(self) -> Letters:
        """The rows that are meant."""
        value = _value_of(self.identifier)
        key = lane_key(value).to_bytes(KEY_BYTES, "big") if value else b""
        return Letters(consumer=self.consumer, text=self.text, code=self.code, since=self.since, key=key)

    def means(self, erasure: Erasure) -> bool:
        """Whether a deletion that was not carried out is meant."""
        value = _value_of(self.identifier)
        return (
            self.text in f"{erasure.code} {erasure.reason} {erasure.message_id}"
            and self.code in ("", erasure.code)
            and erasure.since >= self.since
            and (not value or value in map(_value_of, erasure.people))
        )


class Page(NamedTuple):
    """Some dead letters, and where to go on ('' at the end)."""

    letters: list[Json]
    next: str


class PlaceInvalid(ValueError):
    """Not the `next` of an earlier answer."""


def dead_letters(deliveries: DeliveryReader, search: LetterSearch, limit: int, place: str = "") -> Page:
    """Dead letters as JSON data, newest first, from a place on (the `next` of an earlier answer; '' for the first).

    Before them, as type `delete`, the deletions that a destination did not carry out. Raises `PlaceInvalid`.
    """
    kind, number = _place_of(place)
    failed = failed_erasures(deliveries, search)[number : number + limit] if kind == "deletion" else []
    found = [erasure_json(each) for each in failed]
    if len(found) == limit:
        return Page(found, f"deletion-{number + limit}")
    rows = deliveries.dead_letters(search.letters, limit - len(found), number if kind == "row" else 0)
    found += [row_json(row) for _, row in rows]
    return Page(found, f"row-{rows[-1][0]}" if rows and len(found) == limit else "")


def failed_erasures(deliveries: DeliveryReader, search: LetterSearch) -> list[Erasure]:
    """The deletions that a destination did not carry out and that are looked for."""
    failed = deliveries.erasures(ErasureState.FAILED, search.consumer, _FAILED_MAX)
    return [each for each in failed if search.means(each)]


def letter_id(consumer: str, place: int) -> str:
    """How one dead letter is named: its consumer and position, as in `dst_1f00:1:42`."""
    return f"{consumer}:{position_text(place)}"


def letter_named(text: str) -> tuple[str, int] | None:
    """The consumer and position of a dead letter's id; None for a text that is none."""
    consumer, _, written = text.partition(":")
    place = position_named(written)
    return None if place is None else (consumer, place)


def _place_of(place: str) -> tuple[str, int]:
    named = _PLACE.fullmatch(place or "deletion-0")
    if named is None:
        raise PlaceInvalid(f"{place!r} is not the `next` of an earlier answer")
    return named[1], int(named[2])


def _value_of(identifier: str) -> str:
    kind, colon, value = identifier.partition(":")
    return value if colon and kind in ("user", "anon", "email") else identifier


def erasure_json(erasure: Erasure) -> Json:
    """The erasure of deleted people at a destination, as JSON data with the keys of a dead letter."""
    return {
        "id": letter_id(erasure.destination, erasure.position),
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
        "id": letter_id(row.consumer, row.position),
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
