"""Identifiers: what names somebody, of which kind, and which values never do (identity.md §3.1, A3 and A4)."""

import re
from enum import IntEnum
from typing import Any, Final

from tabard.message.normalize import identifier_text
from tabard.message.traits import looks_like_email


class Kind(IntEnum):
    """The kinds of identifiers; for the first three the number is the rank: a device yields to an e-mail, that to a
    user.

    A group is no person and never links people; it is kept beside them because groups have traits and can be deleted.
    """

    ANON = 0
    EMAIL = 1
    USER = 2
    GROUP = 3


_PREFIXES: Final = {"anon": Kind.ANON, "email": Kind.EMAIL, "user": Kind.USER, "group": Kind.GROUP}
_ONLY_ZEROS: Final = re.compile(r"[0-]*")

BLOCKED: Final = frozenset(
    {
        *("null", "nil", "none", "nan", "undefined", "void", "unknown", "anonymous", "guest", "true", "false", "-1"),
        *("n/a", "na", "id", "userid", "user_id", "anonymousid", "anonymous_id", "distinctid", "distinct_id", "email"),
        *("not_authenticated", "[object object]"),
        *("test@test.com", "example@example.com", "email@email.com", "none@none.com"),
    }
)
"""Values that identify nobody, in lower case; besides them whatever consists of zeros and dashes only."""


NONE: Final[frozenset[str]] = frozenset()


def usable(value: Any, blocked: frozenset[str] = NONE) -> str | None:
    """The trimmed text of an identifying value; None for what is no text or whole number, empty, or blocked.

    `blocked` (lower case) comes on top of the built-in list, here and below.
    """
    try:
        text = identifier_text(value)
    except TypeError:
        return None
    if text is None:
        return None
    text = text.strip()
    bare = text.strip("\"'").lower()
    return None if _ONLY_ZEROS.fullmatch(bare) or bare in BLOCKED or bare in blocked else text


def named(value: Any, blocked: frozenset[str] = NONE) -> str | None:
    """The identifier that a userId names: `email:` in lower case if it looks like an address, else `user:`."""
    text = usable(value, blocked)
    if text is None:
        return None
    return f"email:{text.lower()}" if looks_like_email(text) else f"user:{text}"


def anonymous(value: Any, blocked: frozenset[str] = NONE) -> str | None:
    """The identifier that an anonymousId names."""
    text = usable(value, blocked)
    return None if text is None else f"anon:{text}"


def kind_of(identifier: str) -> Kind:
    """The kind of an identifier as text. Raises ValueError for a text without a known prefix."""
    prefix, colon, _ = identifier.partition(":")
    if not colon or prefix not in _PREFIXES:
        raise ValueError(f"{identifier!r} is no identifier; write user:ID, email:ADDRESS, anon:ID or group:ID")
    return _PREFIXES[prefix]


def parsed(identifier: str) -> str:
    """An identifier as people type it, brought to the form it is kept in: trimmed, addresses in lower case, and a
    user id that is an address as that address (A4), for that is whom it names in a call.

    Raises ValueError as `kind_of` does.
    """
    kind = kind_of(identifier)
    prefix, _, value = identifier.partition(":")
    text = value.strip()
    if kind is Kind.EMAIL or (kind is Kind.USER and looks_like_email(text)):
        return f"email:{text.lower()}"
    return f"{prefix}:{text}"
