"""From the bytes of a call or a batch to items that are sound, or to the reason why they are not (wire.md §1.12, §2.1).

Pure. What passes here `normalize` turns into a message: the door accepts nothing that the resolver cannot decode.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from tabard.message.limits import MESSAGE_ID_CHARS_MAX, Limits
from tabard.message.normalize import identifier_text, message_id_text
from tabard.message.rejection import Reason, Rejection
from tabard.message.traits import parse_instant
from tabard.message.types import CALL_TYPES

NO_PERSON_EVENTS: Final = frozenset({"Report Delivery Event", "Report Content Event"})
"""Track calls that need no person (wire.md §2.1)."""

_CALL_TYPES: Final = frozenset(CALL_TYPES)
_ID_FIELDS: Final = ("userId", "anonymousId", "previousId", "groupId", "messageId")
_OBJECT_FIELDS: Final = {
    "traits": Reason.TRAITS_NOT_OBJECT,
    "properties": Reason.PROPERTIES_NOT_OBJECT,
    "context": Reason.CONTEXT_NOT_OBJECT,
    "integrations": Reason.INTEGRATIONS_NOT_OBJECT,
}
_NAME_FIELDS: Final = {"name": Reason.NAME_NOT_STRING, "category": Reason.CATEGORY_NOT_STRING}
_TIME_FIELDS: Final = ("timestamp", "originalTimestamp")

# A run of digits from here on is more than a double can hold (1.8e308). Such a run covers two neighbours of every
# 150th byte, so a look at those tells the usual message from one that deserves a full search.
_HUGE_INTEGER: Final = re.compile(rb"(?<![0-9.])[0-9]{309}")
_SAMPLE_STEP: Final = 150
_TWO_DIGITS: Final = re.compile(rb"[0-9][0-9]")

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

_decode: Final = msgspec.json.Decoder().decode


class Refused(Exception):
    """A call or an item is refused. `rejection` says why."""

    def __init__(self, reason: Reason, message: str, field: str = "") -> None:
        super().__init__(message)
        self.rejection = Rejection(reason=reason, message=message, field=field)


class Envelope(msgspec.Struct, gc=False):
    """A batch as sent: its items undecoded, and what it says for all of them."""

    batch: list[Raw]
    write_key: Any = msgspec.field(default=None, name="writeKey")
    sent_at: Any = msgspec.field(default=None, name="sentAt")
    context: Any = None
    integrations: Any = None


class _Keyed(msgspec.Struct, gc=False):
    write_key: Any = msgspec.field(default=None, name="writeKey")


_TRUNCATED: Final = "Input data was truncated"
"""What msgspec says of JSON without its end."""

_decode_keyed: Final = msgspec.json.Decoder(_Keyed).decode
_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


def open_envelope(body: bytes, limits: Limits) -> Envelope:
    """The batch in a body. Raises `Refused`, also for too many items and for a shared part that is no object."""
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise _unreadable_batch(body, problem) from problem
    if len(envelope.batch) > limits.batch_items_max:
        raise Refused(
            Reason.TOO_MANY_ITEMS,
            f"the batch has {len(envelope.batch)} items, at most {limits.batch_items_max} are taken: send smaller ones",
            "batch",
        )
    for field in ("context", "integrations"):
        value = getattr(envelope, field)
        if value is not None and not isinstance(value, dict):
            raise Refused(_OBJECT_FIELDS[field], f"the batch's {field} is {_kind(value)}, not an object", field)
    return envelope


def shared_part(envelope: Envelope, limits: Limits) -> bytes | None:
    """What the batch says for all its items as a JSON object, None where it says nothing. Raises `Refused`."""
    said = {
        name: value
        for name, value in (
            ("sentAt", envelope.sent_at), ("context", envelope.context), ("integrations", envelope.integrations)
        )
        if value is not None
    }  # fmt: skip
    if not said:
        return None
    encoded = msgspec.json.encode(said)
    _require_sane(encoded, limits)
    if len(encoded) > limits.message_bytes_max or len(encoded) * len(envelope.batch) > limits.expanded_bytes_max:
        raise Refused(
            Reason.BATCH_TOO_LARGE,
            f"the batch's context and integrations ({len(encoded)} bytes) are too large to stand in each of its "
            f"{len(envelope.batch)} items: send less of them or smaller batches",
            "context",
        )
    return encoded


def stated_key(body: bytes) -> Any:
    """The `writeKey` of a body that was refused, so that its source is known; None where it cannot be found."""
    try:
        return _decode_keyed(body).write_key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode_item(item: bytes, limits: Limits) -> dict[str, Any]:
    """The object an item is. Raises `Refused` for its size, its depth, and for what is no JSON object."""
    if len(item) > limits.message_bytes_max:
        raise Refused(
            Reason.MESSAGE_TOO_LARGE,
            f"the message has {len(item)} bytes, at most {limits.message_bytes_max} are taken: send less in it",
        )
    try:
        value = _decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise unreadable(problem) from problem
    if not isinstance(value, dict):
        raise Refused(Reason.NOT_OBJECT, f"a message is a JSON object, this is {_kind(value)}")
    _require_sane(item, limits)
    return value


def judge(item: Mapping[str, Any], call_type: str | None) -> str:
    """The type of a sound item: that of the path, or its own in a batch. Raises `Refused` with the first fault found.

    Texts and whole numbers are ids; null is the same as absent everywhere.
    """
    kind = call_type or _own_type(item)
    ids = {field: _identifier(item, field) for field in _ID_FIELDS if field in item}
    message_id = ids.get("messageId")
    if message_id and len(message_id) > MESSAGE_ID_CHARS_MAX:
        raise Refused(
            Reason.MESSAGE_ID_TOO_LONG,
            f"messageId has {len(message_id)} characters, at most {MESSAGE_ID_CHARS_MAX} are taken",
            "messageId",
        )
    for field, reason in _OBJECT_FIELDS.items():
        value = item.get(field)
        if value is not None and not isinstance(value, dict):
            raise Refused(reason, f"{field} is {_kind(value)}, not an object", field)
    for field in _TIME_FIELDS:
        value = item.get(field)
        if value is not None and value != "" and parse_instant(value) is None:
            raise Refused(
                Reason.TIMESTAMP_INVALID,
                f"{field} is no time: write ISO 8601, such as 2026-01-31T12:00:00Z, or an epoch number",
                field,
            )
    _RULES[kind](item, ids)
    return kind


def states_message_id(item: Mapping[str, Any]) -> bool:
    """Whether an item brings a messageId of its own; the door makes one for it otherwise."""
    value = item.get("messageId")
    return value is not None and not (isinstance(value, str) and (not value or value.isspace()))


def unreadable(problem: Exception) -> Refused:
    """The refusal for what a decoder raised."""
    if isinstance(problem, UnicodeDecodeError):
        return Refused(Reason.INVALID_UTF8, f"the text is not UTF-8: {problem.reason}")
    if isinstance(problem, RecursionError):
        return Refused(Reason.TOO_DEEP, "the JSON is nested far too deep: flatten it")
    if isinstance(problem, msgspec.ValidationError):
        return Refused(Reason.NUMBER_OUT_OF_RANGE, "a number is beyond what can be kept: send it as a text")
    if str(problem) == _TRUNCATED:
        return Refused(Reason.INVALID_JSON, "the body ends in the middle of the JSON: send the whole of it")
    return Refused(Reason.INVALID_JSON, str(problem))


def _unreadable_batch(body: bytes, problem: Exception) -> Refused:
    """What exactly is wrong with a batch that did not decode: its own shape, or the JSON as such."""
    if not isinstance(problem, msgspec.ValidationError):
        return unreadable(problem)
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as deeper:
        return unreadable(deeper)
    if not isinstance(value, dict):
        return Refused(Reason.NOT_OBJECT, f"the body is {_kind(value)}, not an object with an array `batch`")
    return Refused(
        Reason.BATCH_NOT_ARRAY,
        f"`batch` is {_kind(value['batch'])}, not an array" if "batch" in value else "the body has no array `batch`",
        "batch",
    )


def _require_sane(item: bytes, limits: Limits) -> None:
    """Raises `Refused` for what decodes here and fails later: too deep nesting, integers beyond any double."""
    opening = item.count(b"{") + item.count(b"[")
    if opening > limits.json_depth_max and _is_deeper(item, limits.json_depth_max):
        raise Refused(Reason.TOO_DEEP, f"the JSON is nested deeper than {limits.json_depth_max}: flatten it")
    if _TWO_DIGITS.search(item[::_SAMPLE_STEP]) and _HUGE_INTEGER.search(item) and _has_huge_integer(_decode(item)):
        raise Refused(Reason.NUMBER_OUT_OF_RANGE, "an integer is beyond ±1.8e308: send it as a text")


def _is_deeper(item: bytes, limit: int) -> bool:
    """Whether sound JSON is nested deeper than that. Takes the innermost level away as often as there may be levels:
    a walk in Python would let one body of brackets hold up the door for a tenth of a second.
    """
    brackets = _STRING.sub(b"", item).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    if isinstance(value, list):
        return any(map(_has_huge_integer, value))
    if not isinstance(value, int):
        return False
    try:
        float(value)
    except OverflowError:
        return True
    return False


def _own_type(item: Mapping[str, Any]) -> str:
    value = item.get("type")
    if value is None or value == "":
        raise Refused(Reason.TYPE_MISSING, f"an item of a batch needs a type: {', '.join(CALL_TYPES)}", "type")
    if not isinstance(value, str) or value not in _CALL_TYPES:
        raise Refused(Reason.TYPE_UNKNOWN, f"type is none of {', '.join(CALL_TYPES)}", "type")
    return value


def _identifier(item: Mapping[str, Any], field: str) -> str | None:
    value = item[field]
    try:
        return message_id_text(value) if field == "messageId" else identifier_text(value)
    except TypeError:
        is_number = isinstance(value, float)
        what = "no whole number: send it as a text" if is_number else f"{_kind(value)}, not a text or a whole number"
        raise Refused(Reason.ID_NOT_STRING, f"{field} is {what}", field) from None


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {str: "a text", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return names[type(value)]


_Ids = Mapping[str, str | None]


def _require_person(ids: _Ids) -> None:
    if not (ids.get("userId") or ids.get("anonymousId")):
        raise Refused(Reason.NO_USER_ANON_ID, "the call needs a userId or an anonymousId", "userId")


def _judge_identify(item: Mapping[str, Any], ids: _Ids) -> None:
    if ids.get("userId") or ids.get("anonymousId"):
        return
    traits = item.get("traits")
    if traits is None:
        traits = (item.get("context") or {}).get("traits")
    email = traits.get("email") if isinstance(traits, dict) else None
    if not isinstance(email, str) or not email.strip():
        raise Refused(
            Reason.NO_USER_ANON_ID, "an identify needs a userId, an anonymousId or an email in its traits", "userId"
        )


def _judge_track(item: Mapping[str, Any], ids: _Ids) -> None:
    event = item.get("event")
    if event is None or event == "":
        raise Refused(Reason.EVENT_NOT_DEFINED, "a track needs an event: the name of what happened", "event")
    if not isinstance(event, str):
        raise Refused(Reason.EVENT_NOT_STRING, f"event is {_kind(event)}, not a text", "event")
    if not ids.get("groupId") and event not in NO_PERSON_EVENTS:
        _require_person(ids)


def _judge_view(item: Mapping[str, Any], ids: _Ids) -> None:
    for field, reason in _NAME_FIELDS.items():
        value = item.get(field)
        if value is not None and not isinstance(value, str):
            raise Refused(reason, f"{field} is {_kind(value)}, not a text", field)
    _require_person(ids)


def _judge_group(_item: Mapping[str, Any], ids: _Ids) -> None:
    if not ids.get("groupId"):
        raise Refused(Reason.GROUP_ID_MISSING, "a group needs a groupId", "groupId")


def _judge_alias(_item: Mapping[str, Any], ids: _Ids) -> None:
    if not ids.get("previousId"):
        raise Refused(Reason.PREVIOUS_ID_MISSING, "an alias needs a previousId: the id used until now", "previousId")
    if not ids.get("userId"):
        raise Refused(Reason.USER_ID_MISSING, "an alias needs a userId: the id to be used from now on", "userId")


_RULES: Final[Mapping[str, Callable[[Mapping[str, Any], _Ids], None]]] = {
    "identify": _judge_identify,
    "track": _judge_track,
    "page": _judge_view,
    "screen": _judge_view,
    "group": _judge_group,
    "alias": _judge_alias,
}
