"""The message at its three stations: a `Record` in the log, a `Message` in the resolver, a `StoredMessage` in the
store.
"""

import re
from enum import IntFlag
from typing import Any, Final

import msgspec

CALL_TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
"""The six calls of the protocol (wire.md §2.1)."""

CONTROL: Final = "control"
"""Type of a record that states a control (delete, suppress, unsuppress, cut, uncut, ungroup) instead of a call."""

RECORD_VERSION: Final = 1

_OFFSET_BITS: Final = 48
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1
_PARTITION_BITS: Final = 15
_WRITTEN: Final = re.compile(r"(\d{1,5}):(\d{1,15})", re.ASCII)


class Trust(IntFlag):
    """What a record may do, decided once at the door from its source and its request (design.md §2.13).

    Kept in the record, so that trust is a function of the message and the order of arrival cannot change it.
    """

    NONE = 0
    CONTROL = 1  # may delete and suppress: a server source, no Origin header, no pixel
    ALIAS = 2  # may join two identifiers of one rank
    EMAIL_CLAIM = 4  # may claim the e-mail in its traits for its userId
    CLIENT = 8  # came from a browser or a mobile device: context.ip and userAgent are the person's


SERVER_TRUST: Final = Trust.CONTROL | Trust.ALIAS | Trust.EMAIL_CLAIM


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One accepted message as the log keeps it: the item as sent and what only the door could know of it.

    `body` is the JSON object of the item as sent (repaired where the door says so), never re-encoded for its own sake.
    `shared` is a JSON object with what the request said for all its items (`sentAt`, `context`, `integrations`), or
    None.
    `message_id` is set only if the body has none. Times are milliseconds since the Unix epoch.
    """

    version: int
    source: str
    type: str
    trust: int
    received_at: int
    body: bytes
    message_id: str | None = None
    shared: bytes | None = None
    ip: str | None = None
    user_agent: str | None = None
    warnings: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True, gc=False):
    """A decoded, normalised message: what the resolver works on.

    `timestamp` is the corrected event time (identity.md A2), never later than `received_at`; both in milliseconds.
    `body` is the whole call as it is passed on to destinations (wire.md §2.1), with ISO-8601 UTC times and without
    transport
    fields. Identifiers are as sent, made text; empty ones are None.
    """

    source: str
    type: str
    message_id: str
    trust: Trust
    received_at: int
    timestamp: int
    body: dict[str, Any]
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    warnings: tuple[str, ...] = ()


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as the store keeps it, at its log position. `body` is the encoded JSON of `Message.body`.

    `trust`: `Trust` as a plain integer, what the message may ask for at destinations as well.
    """

    position: int
    source: str
    type: str
    message_id: str
    received_at: int
    timestamp: int
    body: bytes
    trust: int = 0


def position(partition: int, offset: int) -> int:
    """Partition (below 2^15) and offset (below 2^48) as one integer; positions of one partition sort by offset."""
    return partition << _OFFSET_BITS | offset


def position_named(text: str) -> int | None:
    """The position that is written `partition:offset`; None for a text that is none."""
    written = _WRITTEN.fullmatch(text)
    partition, offset = map(int, written.groups()) if written else (1 << _PARTITION_BITS, 0)
    return position(partition, offset) if partition >> _PARTITION_BITS == 0 and offset <= _OFFSET_MASK else None


def partition_of(packed: int) -> int:
    """The partition of a packed position."""
    return packed >> _OFFSET_BITS


def offset_of(packed: int) -> int:
    """The offset of a packed position."""
    return packed & _OFFSET_MASK


def position_text(packed: int) -> str:
    """A position as people and headers see it: `partition:offset`."""
    return f"{partition_of(packed)}:{offset_of(packed)}"
