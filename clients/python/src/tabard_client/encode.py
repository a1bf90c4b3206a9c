"""A message as one line of JSON, whatever Python values it holds.

The fast way is the standard library's C encoder with a hook for values JSON has no word for. What that
refuses (NaN, odd keys, lone surrogates, cycles) is cleaned value by value and encoded again.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from numbers import Real
from pathlib import PurePath
from uuid import UUID

from tabard_client.limits import DEPTH_MAX, MESSAGE_BYTES_MAX


class UnencodableError(ValueError):
    """A value that no JSON can hold: nested too deep, endless, or a number too long to print."""


def encode(message: Mapping[str, object]) -> bytes:
    """UTF-8 JSON without a newline in it.

    Dates become ISO 8601, Decimal and other numbers JSON numbers, UUID, path and any object with its own
    `__str__` text, Enum its value, dataclass an object, set and array a list; NaN and infinities become
    null (bare NaN is not JSON and poisons a batch), lone surrogates U+FFFD, keys text.
    Raises UnencodableError.
    """
    try:
        return _fast(message).encode()
    except (ValueError, TypeError, RecursionError):
        pass
    try:
        return _fast(_clean(message, 0)).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise UnencodableError(f"the message cannot be written as JSON: {error}") from error


def as_json(value: object) -> object:  # noqa: C901 - one flat table of types
    """One value JSON has no word for, as one it has; called by the encoder, so results may need it again."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return _finite(float(value))
        case Enum():
            return value.value
        case UUID() | PurePath():
            return str(value)
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode("utf-8", "replace")
        case Mapping():
            return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    # numpy, pandas, torch: their numbers and arrays know how to become Python's.
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    if isinstance(value, Real):
        return _finite(float(value))
    if isinstance(value, Iterable):
        # It may be endless; so many items are above the limit of a message in any case.
        return list(islice(value, MESSAGE_BYTES_MAX))
    if type(value).__str__ is not object.__str__:
        return str(value)
    return None


_fast = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=as_json).encode


def _clean(value: object, depth: int) -> object:
    if depth > DEPTH_MAX:
        raise UnencodableError(f"nested more than {DEPTH_MAX} deep")
    match value:
        case None | bool():
            return value
        case Enum():
            return _clean(value.value, depth + 1)
        case str():
            return _text(value)
        case int():
            return int(value)
        case float():
            return _finite(value)
        case Mapping():
            return {_key(key): _clean(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item, depth + 1) for item in value]
    return _clean(as_json(value), depth + 1)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _text(value: str) -> str:
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _key(key: object) -> str:
    if isinstance(key, Enum):
        return _key(key.value)
    if isinstance(key, str):
        return _text(key)
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    plain = key if isinstance(key, int | float) else as_json(key)
    return _text(str(plain))
