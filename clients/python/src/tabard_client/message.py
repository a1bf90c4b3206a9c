"""A call's arguments as the message the wire wants. Pure: time and new ids are handed in."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tabard_client.identity import as_id, fill_in
from tabard_client.limits import MESSAGE_ID_CHARS_MAX
from tabard_client.version import VERSION

LIBRARY: Mapping[str, object] = {"name": "tabard-python", "version": VERSION}

# Track calls about a delivery or a piece of content, which have no person (wire rules of Customer.io).
_NO_PERSON_EVENTS = frozenset({"Report Delivery Event", "Report Content Event"})
# A naive time this near to now was made by `datetime.now()`, so it is local; an older one is taken for UTC.
_LOCAL_WITHIN = timedelta(seconds=5)
# Python also reads 20260131T120000 and 2026-W05-6, which few servers do.
_EXTENDED = re.compile(r"\d{4}-\d")


class InvalidCallError(ValueError):
    """The call cannot become a message; says what is missing and how to give it."""


def complete(message: dict[str, object], *, now: datetime, new_id: str) -> None:
    """Fill in identity, context, time and messageId, and check what the collector would refuse.

    `message` holds the caller's arguments under their wire names. Raises InvalidCallError.
    """
    for key in ("context", "integrations"):
        _must_be(message, key, Mapping, "a dict")
    message["userId"] = _id(message, "userId")
    message["anonymousId"] = _id(message, "anonymousId")
    fill_in(message)
    context = message["context"]
    message["context"] = {**context, "library": dict(LIBRARY)} if isinstance(context, Mapping) else {}
    message["timestamp"] = _timestamp(message["timestamp"], now)
    message["messageId"] = _id(message, "messageId") or new_id
    _check(message)


def _check(message: dict[str, object]) -> None:
    match message["type"]:
        case "identify":
            _must_be(message, "traits", Mapping, "a dict")
            if not _is_lead(message["traits"]):
                _must_name_someone(message)
        case "track":
            _must_be(message, "properties", Mapping, "a dict")
            _must_be(message, "event", str, "the event's name")
            if not message["event"]:
                raise InvalidCallError("event must be the event's name, not empty")
            if message["event"] not in _NO_PERSON_EVENTS:
                _must_name_someone(message)
        case "page" | "screen":
            _must_be(message, "properties", Mapping, "a dict")
            for key in ("category", "name"):
                _must_be(message, key, str | None, "text")
            _must_name_someone(message)
        case "group":
            _must_be(message, "traits", Mapping, "a dict")
            message["groupId"] = _required_id(message, "groupId")
        case "alias":
            message["previousId"] = _required_id(message, "previousId")
            _required_id(message, "userId")


def _must_be(message: Mapping[str, object], key: str, kind: object, words: str) -> None:
    if not isinstance(message[key], kind):  # type: ignore[arg-type]
        raise InvalidCallError(f"{key} must be {words}, not {type(message[key]).__name__}")


def _must_name_someone(message: Mapping[str, object]) -> None:
    if message["userId"] is None and message["anonymousId"] is None:
        raise InvalidCallError("give user_id or anonymous_id, or make the call within `bind(…)`")


def _is_lead(traits: object) -> bool:
    """Whether the traits name a person by e-mail alone."""
    email = traits.get("email") if isinstance(traits, Mapping) else None
    return isinstance(email, str) and bool(email.strip())


def _id(message: Mapping[str, object], key: str) -> str | None:
    given = message[key]
    if key == "messageId" and isinstance(given, float) and math.isfinite(given):
        given = repr(given).removesuffix(".0")  # the name of a call may be any number
    try:
        value = as_id(given)
    except TypeError as error:
        raise InvalidCallError(f"{key}: {error}") from error
    if key == "messageId" and value is not None and len(value) > MESSAGE_ID_CHARS_MAX:
        raise InvalidCallError(f"messageId must have at most {MESSAGE_ID_CHARS_MAX} characters")
    return value


def _required_id(message: Mapping[str, object], key: str) -> str:
    value = _id(message, key)
    if value is None:
        raise InvalidCallError(f"{key} is required")
    return value


def _timestamp(value: object, now: datetime) -> str:
    if value is None:
        return now.isoformat(timespec="milliseconds")
    if isinstance(value, str):
        try:
            read = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidCallError("timestamp must be a datetime or ISO 8601 text") from error
        return value if _EXTENDED.match(value) else read.isoformat(timespec="milliseconds")
    if not isinstance(value, datetime):
        raise InvalidCallError(f"timestamp must be a datetime or ISO 8601 text, not {type(value).__name__}")
    if value.utcoffset() is None:
        value = value.replace(tzinfo=None)
        is_local = abs(value - now.astimezone().replace(tzinfo=None)) < _LOCAL_WITHIN
        value = value.astimezone() if is_local else value.replace(tzinfo=UTC)
    return value.isoformat(timespec="milliseconds")
