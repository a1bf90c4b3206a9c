"""Reserved traits in both spellings, the e-mail test and the one date parser (identify-page.txt, wire.md §3.2-3.4)."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

RESERVED: Final = {
    "address": "address",
    "age": "age",
    "avatar": "avatar",
    "birthday": "birthday",
    "company": "company",
    "createdAt": "created_at",
    "description": "description",
    "email": "email",
    "firstName": "first_name",
    "gender": "gender",
    "id": "id",
    "lastName": "last_name",
    "name": "name",
    "phone": "phone",
    "title": "title",
    "username": "username",
    "website": "website",
}
"""Canonical (camelCase) name of each reserved trait of a person → its snake_case spelling."""

RESERVED_PARTS: Final = {
    "address": {
        "city": "city",
        "country": "country",
        "postalCode": "postal_code",
        "state": "state",
        "street": "street",
    },
    "company": {
        "name": "name",
        "id": "id",
        "industry": "industry",
        "employeeCount": "employee_count",
        "plan": "plan",
    },
}
"""Members of the reserved traits that are objects: camelCase → snake_case."""

DATE_TRAITS: Final = frozenset({"createdAt", "birthday"})

_CANONICAL: Final = {spelling: name for name, snake in RESERVED.items() for spelling in (name, snake)}
_OTHER_SPELLING: Final = {name: snake for name, snake in RESERVED.items() if name != snake} | {
    snake: name for name, snake in RESERVED.items() if name != snake
}

_EMAIL: Final = re.compile(r"[^\s@\"'<>(),;:\\]{1,64}@[^\s@\"'<>(),;:\\.]+(?:\.[^\s@\"'<>(),;:\\.]+)+")
_EMAIL_LENGTH_MAX: Final = 254

_DIGITS: Final = re.compile(r"[+-]?\d{9,13}(?:\.\d+)?")

# Epoch numbers from here on are milliseconds: as seconds it would be the year 5138.
_MILLISECONDS_FROM: Final = 100_000_000_000
_PLAIN: Final = len("2024-01-01T00:00:00.000Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT_MAX_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
INSTANT_MIN_MS: Final = -62_135_596_800_000  # 0001-01-01T00:00:00Z


def canonical_trait(key: str) -> str:
    """The one name a trait is kept under: camelCase for reserved traits in either spelling, `key` itself for all
    others.
    """
    return _CANONICAL.get(key, key)


def other_spelling(key: str) -> str | None:
    """The other spelling of a reserved trait that has two, else None."""
    return _OTHER_SPELLING.get(key)


def looks_like_email(text: str) -> bool:
    """Whether a text is an e-mail address for our purposes: one @, no spaces, a dotted domain, at most 254
    characters.
    """
    return len(text) <= _EMAIL_LENGTH_MAX and "@" in text and _EMAIL.fullmatch(text) is not None


def full_name(traits: dict[str, Any]) -> str | None:
    """The full name where only first and last were passed, in either spelling; None where `name` is there or a part
    is missing.
    """
    if traits.get("name") is not None:
        return None
    first = _text(traits.get("firstName", traits.get("first_name")))
    last = _text(traits.get("lastName", traits.get("last_name")))
    return f"{first} {last}" if first and last else None


def parse_instant(value: Any) -> int | None:
    """Milliseconds since the Unix epoch of an ISO-8601 text or an epoch number (seconds or milliseconds); None if
    it is neither.

    A text without a zone is UTC; a date alone is its midnight UTC; up to nine fraction digits; `Z`, `±hh:mm` and
    `±hhmm`.
    Epoch numbers may come as digits in a text. Below 1e11 in size they are seconds, from there on milliseconds.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_epoch(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text[4:5] == "-":
        return _from_iso(text)
    return _from_epoch(float(text)) if _DIGITS.fullmatch(text) else None


def iso_ms(instant_ms: int) -> str:
    """An instant as ISO-8601 UTC with milliseconds and `Z`, the one form in which we pass times on."""
    seconds, ms = divmod(instant_ms, 1000)
    return f"{_second_text(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    # Messages of one moment share their seconds, and a message has up to four times.
    return datetime.fromtimestamp(seconds, UTC).isoformat()[: len("2024-01-01T00:00:00")]


def _from_epoch(number: float) -> int | None:
    if number != number or abs(number) > _INSTANT_MAX_MS:  # noqa: PLR0124 - NaN is unequal to itself
        return None
    ms = round(number) if abs(number) >= _MILLISECONDS_FROM else round(number * 1000)
    return ms if INSTANT_MIN_MS <= ms <= _INSTANT_MAX_MS else None


def _from_iso(text: str) -> int | None:
    if len(text) < len("2024-01-01") or not text[:4].isdigit() or not text[5].isdigit():
        return None
    try:
        if _is_plain(text):
            second = _second_ms(text[:19])
            return None if second is None else second + int(text[20:23])
        return _ms(_moment(text))
    except (ValueError, OverflowError):
        return None


def _is_plain(text: str) -> bool:
    """Whether a text looks as `iso_ms` and JavaScript write times: `2024-01-01T00:00:00.000Z`."""
    return (
        len(text) == _PLAIN
        and text[13:20:3] == "::."
        and text[23] == "Z"
        and text[20:23].isdecimal()
        and text.isascii()
    )


@lru_cache(maxsize=1024)
def _second_ms(text: str) -> int | None:
    # As in `_second_text`: messages of one moment share their seconds.
    return _ms(_moment(text + "Z"))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ms(moment: datetime) -> int | None:
    """Whole milliseconds, the rest cut: a message must not move into the next millisecond by being parsed."""
    since = moment - _EPOCH
    ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    return ms if INSTANT_MIN_MS <= ms <= _INSTANT_MAX_MS else None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
