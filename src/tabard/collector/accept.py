"""From the body of a call to records for the log: what is kept, and what is refused and why."""

from collections.abc import Callable
from typing import Any

import msgspec

from tabard.log.codec import encode
from tabard.message.limits import Limits
from tabard.message.parse import Refused, decode_item, judge, open_envelope, shared_part, states_message_id
from tabard.message.rejection import Reason, Rejection
from tabard.message.repair import repair, unmark
from tabard.message.types import RECORD_VERSION, Record


class Parcel(msgspec.Struct, gc=False):
    """An opened body: its items as sent, what the request says for all of them, and the write keys it states.

    `only` is the decoded item of a single call. `marked`: items carry the marks of a repair.
    """

    items: list[bytes]
    stated_keys: tuple[Any, ...]
    shared: bytes | None = None
    only: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    marked: bool = False


class Sender(msgspec.Struct, frozen=True, gc=False):
    """What only the door knows of a request's items. `call_type`: from the path, None where each item names its own."""

    source: str
    trust: int
    received_at: int
    ip: str | None
    user_agent: str | None
    call_type: str | None


class RefusedItem(msgspec.Struct, frozen=True, gc=False):
    """One refused item: why, and its bytes."""

    rejection: Rejection
    raw: bytes


class Accepted(msgspec.Struct, gc=False):
    """What became of the items: encoded records, their types in the same order, and the refused ones."""

    values: list[bytes]
    types: list[str]
    refused: list[RefusedItem]


def open_call(body: bytes, limits: Limits) -> Parcel:
    """The one message of a body, repaired if it needs it. Raises `Refused`."""
    warnings: tuple[str, ...] = ()
    try:
        item = decode_item(body, limits)
    except Refused as refusal:
        body, warnings = unmark(_repaired(body, refusal))
        item = decode_item(body, limits)
    return Parcel(items=[body], stated_keys=(item.get("writeKey"),), only=item, warnings=warnings)


def open_batch(body: bytes, limits: Limits) -> Parcel:
    """The items of a batch, repaired if one of them spoils the whole. Raises `Refused`."""
    marked = False
    try:
        envelope = open_envelope(body, limits)
    except Refused as refusal:
        envelope = open_envelope(_repaired(body, refusal), limits)
        marked = True
    return Parcel(
        items=[bytes(item) for item in envelope.batch],
        stated_keys=(envelope.write_key,),
        shared=shared_part(envelope, limits),
        marked=marked,
    )


def accept(parcel: Parcel, sender: Sender, limits: Limits, new_id: Callable[[], str]) -> Accepted:
    """Judges every item by itself: the sound ones become records, the others are listed with their index."""
    accepted = Accepted(values=[], types=[], refused=[])
    for index, sent in enumerate(parcel.items):
        raw, warnings = unmark(sent) if parcel.marked else (sent, parcel.warnings)
        try:
            item = parcel.only if parcel.only is not None else decode_item(raw, limits)
            call_type = judge(item, sender.call_type)
        except Refused as refusal:
            accepted.refused.append(_refused(refusal, raw, None if parcel.only is not None else index))
            continue
        record = Record(
            RECORD_VERSION,
            sender.source,
            call_type,
            sender.trust,
            sender.received_at,
            raw,
            None if states_message_id(item) else new_id(),
            parcel.shared,
            sender.ip,
            sender.user_agent,
            warnings,
        )
        accepted.values.append(encode(record))
        accepted.types.append(call_type)
    return accepted


def first_item_key(parcel: Parcel, limits: Limits) -> Any:
    """The `writeKey` of a batch's first item, None where it has none: the last place clients put it."""
    if parcel.only is not None or not parcel.items:
        return None
    try:
        return decode_item(unmark(parcel.items[0])[0], limits).get("writeKey")
    except Refused:
        return None


def _repaired(body: bytes, refusal: Refused) -> bytes:
    """The repaired body. Raises the refusal where nothing can be repaired."""
    repaired = repair(body) if refusal.rejection.reason is Reason.INVALID_JSON else None
    if repaired is None:
        raise refusal
    return repaired


def _refused(refusal: Refused, raw: bytes, index: int | None) -> RefusedItem:
    found = refusal.rejection
    return RefusedItem(
        rejection=Rejection(reason=found.reason, message=found.message, field=found.field, index=index), raw=raw
    )
