"""One value to the type its field declares, as the field's engine does it (actions.md §7.3): '5' is a number, 5 a text.

Each function returns the value in its type, or raises WrongValue. Pure.
"""

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.field import DateForm, Field
from tabard.destinations.kit.text import number_text
from tabard.message.traits import looks_like_email

_NUMERAL = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_DIGITS_MAX = 400


class WrongValue(ValueError):
    """The value cannot be taken for its field's type; the message is the reason and never holds the value."""


def coercion(field: Field) -> Callable[[Any], Any]:
    """The function that takes one value of a scalar field to its declared type, format, range and choices."""
    coerce = _date(field.date_form) if field.type == "datetime" else _SCALARS[field.type]
    checks = [check for check in (_format(field), _range(field), _choices(field)) if check]
    if not checks:
        return coerce

    def checked(value: Any) -> Any:
        result = coerce(value)
        for check in checks:
            check(result)
        return result

    return checked


def kind_of(value: Any) -> str:
    """What a value is, in words for a reason."""
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


def _only_item(value: Any) -> Any:
    """A list of one counts as its item."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _text(value: Any) -> str:
    value = _only_item(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if value is None:
        return ""
    raise WrongValue(f"should be a text but it is {kind_of(value)}")


def _number(value: Any) -> int | float:
    value = _only_item(value)
    if isinstance(value, bool) or value is None:
        return int(value or 0)
    if isinstance(value, str) and len(value) < _DIGITS_MAX and _NUMERAL.fullmatch(value):
        value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise WrongValue(f"should be a number but it is {kind_of(value)}")


def _integer(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise WrongValue("should be a whole number")
    return int(number)


def _truth(value: Any) -> bool:
    value = _only_item(value)
    if isinstance(value, bool):
        return value
    if value in ("true", 1):
        return True
    if value in ("false", 0) or value is None:
        return False
    raise WrongValue(f"should be true or false but it is {kind_of(value)}")


def _date(form: DateForm) -> Callable[[Any], Any]:
    def coerce(value: Any) -> Any:
        value = _only_item(value)
        date = date_in_form(value, form)
        if date is None:
            raise WrongValue("should be a date: ISO 8601, or epoch seconds or milliseconds")
        return date

    return coerce


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "text": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _truth,
}


def _format(field: Field) -> Callable[[Any], None] | None:
    if field.format == "email":
        return _require("should be an e-mail address", looks_like_email)
    if field.format == "uri":
        return _require("should be an address such as https://example.com/path", _is_uri)
    return None


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and not re.search(r"\s", text)


def _range(field: Field) -> Callable[[Any], None] | None:
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    if low == -math.inf and high == math.inf:
        return None
    return _require(f"should be from {low:g} to {high:g}", lambda number: low <= number <= high)


def _choices(field: Field) -> Callable[[Any], None] | None:
    if not field.choices:
        return None
    names = ", ".join(str(choice) for choice in field.choices)
    return _require(f"should be one of {names}", lambda value: value in field.choices)


def _require(reason: str, holds: Callable[[Any], bool]) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not holds(value):
            raise WrongValue(reason)

    return check
