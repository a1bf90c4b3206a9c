"""A record of the log as the message everybody works with: ids, times, context and integrations put where they belong.

Pure: the same record gives the same message, so a replay of the log changes nothing. What people sent in `traits` and
`properties` is passed on as sent: nothing is filled in, no date rewritten. A full name from first and last, or an
e-mail from the userId, is derived by whoever reads it (profiles, destinations/kit/reserved.py).
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from tabard.message.traits import INSTANT_MIN_MS, canonical_trait, iso_ms, parse_instant
from tabard.message.types import CALL_TYPES, CONTROL, Message, Record, StoredMessage, Trust

API_VERSION: Final = 1
"""What `version` says: the version of the API that received the call (identify-page.txt, "The full payload")."""

SKEW_WARNING_MS: Final = 24 * 3600 * 1000
CLOCK_SKEW: Final = "clock_skew"
SENT_AT_UNREADABLE: Final = "sent_at_unreadable"
DATE_UNREADABLE: Final = "date_unreadable:"
"""Warnings of this module; the last is followed by the trait as sent, `date_unreadable:created_at`."""

_ID_FIELDS: Final = ("userId", "anonymousId", "previousId", "groupId")
_OBJECT_FIELDS: Final = ("traits", "properties", "context", "integrations")
_TRANSPORT_FIELDS: Final = ("writeKey", "_metadata")
_DATES_AS_SENT: Final = ("createdAt", "created_at", "birthday")
_EXACT_FLOAT_MAX: Final = 2.0**53
_MOBILE: Final = ("android", "ios", "swift", "kotlin", "react-native", "flutter")

# A plain integer: an operation on an enum's flags costs as much as a whole step of this route.
_CLIENT: Final = int(Trust.CLIENT)
_TRUST: Final = tuple(Trust(bits) for bits in range(16))

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


class Unprocessable(ValueError):
    """The record can be no message; it goes to quarantine. `reason` is a short name, the text says what is wrong."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def normalize(record: Record, *, skew_correction: bool) -> Message:
    """The message of a record, controls included. Raises `Unprocessable`, never for what the door accepted.

    Times follow wire.md §2.2 and identity.md A2. The `context` and `integrations` that the request gave for all its
    items lie under those of the item, key by key.
    """
    body = _object(record.body, "body")
    shared = _object(record.shared, "shared") if record.shared is not None else {}
    warnings = list(record.warnings)
    _tidy(body)
    ids = [_identifier(body, field) for field in _ID_FIELDS]
    if record.type == CONTROL:
        body.setdefault("type", CONTROL)
    elif record.type in CALL_TYPES:
        body["type"] = record.type
        _put_context(body, shared, record)
        if record.type in ("identify", "group"):
            _warn_of_dates(body.get("traits"), warnings)
    else:
        raise Unprocessable("type_unknown", f"there is no call {record.type!r}; the calls are {', '.join(CALL_TYPES)}")
    message_id = _text(body.get("messageId")) or record.message_id
    if not message_id:
        raise Unprocessable("message_id_missing", "neither the body nor the record has a messageId")
    body["messageId"] = message_id
    timestamp = _put_times(body, shared, record.received_at, skew_correction, warnings)
    return Message(
        source=record.source,
        type=record.type,
        message_id=message_id,
        trust=_TRUST[record.trust & len(_TRUST) - 1],
        received_at=record.received_at,
        timestamp=timestamp,
        body=body,
        user_id=ids[0],
        anonymous_id=ids[1],
        previous_id=ids[2],
        group_id=ids[3],
        warnings=tuple(warnings),
    )


def stored(message: Message, position: int) -> StoredMessage:
    """The message as the store keeps it, its body as JSON."""
    return StoredMessage(
        position,
        message.source,
        message.type,
        message.message_id,
        message.received_at,
        message.timestamp,
        _encode(message.body),
        int(message.trust),
    )


def identifier_text(value: Any) -> str | None:
    """An identifier as text: texts as they are, whole numbers in digits; None where there is none (empty, null).

    Raises TypeError for what can be no identifier (identity.md A3): true, false, a list, an object, a number with a
    fraction, and one that a double does not hold exactly (1e300).
    """
    if isinstance(value, float) and not _is_whole(value):
        raise TypeError("fraction or too large a number")
    return message_id_text(value)


def message_id_text(value: Any) -> str | None:
    """A messageId as text: as `identifier_text`, but of any number."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(type(value).__name__)
    return str(int(value)) if isinstance(value, float) and _is_whole(value) else str(value)


def _is_whole(number: float) -> bool:
    return number.is_integer() and abs(number) <= _EXACT_FLOAT_MAX


def _object(encoded: bytes, what: str) -> dict[str, Any]:
    try:
        value = _decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Unprocessable("invalid_json", f"{what}: {problem}") from problem
    if not isinstance(value, dict):
        raise Unprocessable("not_object", f"{what} is no JSON object")
    return value


def _tidy(body: dict[str, Any]) -> None:
    """Takes out what was sent for the way only, and objects that were sent as null."""
    for field in _TRANSPORT_FIELDS:
        body.pop(field, None)
    for field in _OBJECT_FIELDS:
        if field in body and body[field] is None:
            del body[field]


def _identifier(body: dict[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is None:
        return None
    try:
        text = identifier_text(value)
    except TypeError as problem:
        raise Unprocessable("id_not_string", f"{field} is a {problem}, not a text or a whole number") from problem
    if text is not None:
        body[field] = text
    return text


def _text(value: Any) -> str | None:
    try:
        return message_id_text(value)
    except TypeError:
        return None


def _put_context(body: dict[str, Any], shared: dict[str, Any], record: Record) -> None:
    context: dict[str, Any] = _under(shared.get("context"), body.get("context"), "context")
    integrations = shared.get("integrations")
    if integrations is not None:
        body["integrations"] = _under(integrations, body.get("integrations"), "integrations")
    if record.type == "identify" and "traits" not in body and isinstance(context.get("traits"), dict):
        context = dict(context)
        body["traits"] = context.pop("traits")
    channel = _channel(body, context, record)
    body.setdefault("channel", channel)
    context.setdefault("channel", channel)
    # A browser sends Origin, so what calls itself one without it is a server that passes its calls on.
    is_of_person = channel == "mobile" or (channel != "server" and record.trust & _CLIENT)
    if is_of_person or context.get("direct") is True:
        if record.ip is not None:
            context.setdefault("ip", record.ip)
        if record.user_agent is not None:
            context.setdefault("userAgent", record.user_agent)
    body["context"] = context


def _under(lower: Any, upper: Any, field: str) -> dict[str, Any]:
    """The keys of both objects, those of the item (`upper`) winning. The result may be changed."""
    for value in (lower, upper):
        if value is not None and not isinstance(value, dict):
            raise Unprocessable(f"{field}_not_object", f"{field} is a {type(value).__name__}, not an object")
    if not lower:
        return upper or {}
    return {**lower, **upper} if upper else dict(lower)


def _channel(body: dict[str, Any], context: dict[str, Any], record: Record) -> str:
    """What the client says of itself, else mobile by its device or library, else by how the call came."""
    for stated in (body.get("channel"), context.get("channel")):
        if isinstance(stated, str) and stated:
            return stated
    device, library = context.get("device"), context.get("library")
    if isinstance(device, dict) and device.get("type") in ("ios", "android"):
        return "mobile"
    name = library.get("name") if isinstance(library, dict) else None
    if isinstance(name, str) and _is_mobile(name):
        return "mobile"
    return "browser" if record.trust & _CLIENT else "server"


@lru_cache(maxsize=1024)
def _is_mobile(library: str) -> bool:
    return any(part in library for part in _MOBILE)


def _put_times(
    body: dict[str, Any], shared: dict[str, Any], received_at: int, skew_correction: bool, warnings: list[str]
) -> int:
    """Sets the four times and gives the corrected one: received − (sent − original), never later than received.

    A `timestamp` is the original time unless `originalTimestamp` is there too and differs: then it was corrected
    before, by whoever exported it, and only the clamp applies. Without sentAt there is no shift.
    """
    stated, original = _instant(body, "timestamp"), _instant(body, "originalTimestamp")
    corrected_before = stated is not None and original is not None and stated != original
    if original is None:
        original = stated
    sent_as = body.get("sentAt") or shared.get("sentAt")
    sent = parse_instant(sent_as)
    if sent is not None:
        body["sentAt"] = iso_ms(sent)
        if abs(received_at - sent) > SKEW_WARNING_MS:
            warnings.append(CLOCK_SKEW)
    elif sent_as:
        warnings.append(SENT_AT_UNREADABLE)
    timestamp = stated if stated is not None else original
    if timestamp is None or original is None:
        timestamp = original = received_at
    elif sent is not None and skew_correction and not corrected_before:
        timestamp = received_at - (sent - original)
    timestamp = max(min(timestamp, received_at), INSTANT_MIN_MS)
    body["originalTimestamp"] = original_text = iso_ms(original)
    body["receivedAt"] = iso_ms(received_at)
    body["timestamp"] = original_text if timestamp == original else iso_ms(timestamp)
    body["version"] = API_VERSION
    return timestamp


def _instant(body: dict[str, Any], field: str) -> int | None:
    value = body.get(field)
    if value is None or value == "":
        return None
    instant = parse_instant(value)
    if instant is None:
        raise Unprocessable("timestamp_invalid", f"{field} is no ISO-8601 time and no epoch number")
    return instant


def _warn_of_dates(traits: Any, warnings: list[str]) -> None:
    if not isinstance(traits, dict):
        return
    for name in _DATES_AS_SENT:
        value = traits.get(name)
        if value is not None and value != "" and parse_instant(value) is None:
            warnings.append(DATE_UNREADABLE + canonical_trait(name))
