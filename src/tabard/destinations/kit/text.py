"""Values as text, the way the field's mappings write them: JavaScript's string and JSON forms. Pure."""

import json
from decimal import Decimal
from typing import Any

from tabard.destinations.kit.paths import MISSING

# From these powers of ten on a number is written with an exponent (ECMA-262, Number::toString).
_EXPONENT_FROM = 21
_EXPONENT_BELOW = -6


def text_of(value: Any) -> str:
    """A value inside a text: '' for null and absent, `1,two` for a list, `[object Object]` for an object."""
    if isinstance(value, str):
        return value
    if value is None or value is MISSING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, list):
        return ",".join(text_of(item) for item in value)
    return "[object Object]"


def number_text(number: float) -> str:
    """The shortest decimal form that reads back as the number: 1, 0.5, 1e-7, 1e+21. Integers keep every digit."""
    if isinstance(number, int):
        return str(number)
    if number.is_integer() and abs(number) < 10**_EXPONENT_FROM:
        return str(int(number))
    mantissa, mark, exponent = repr(number).partition("e")
    if not mark:
        return mantissa
    power = int(exponent)
    if power >= _EXPONENT_FROM or power < _EXPONENT_BELOW:
        return f"{mantissa}e{power:+d}"
    return format(Decimal(repr(number)), "f")


def json_text(value: Any) -> str:
    """Compact JSON with numbers as above; not escaped beyond what JSON asks for."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False)
