"""What pages and twins have in common: query parameters with limits."""

from typing import Final

from starlette.requests import Request

from tabard.message.traits import parse_instant
from tabard.web.errors import Refused

LIMIT_MAX: Final = 200
_DIGITS_MAX: Final = 18


def number_of(text: str) -> int | None:
    """A whole number in decimal digits, None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None


def limit_of(request: Request, default: int = 50) -> int:
    """The `limit` parameter. Raises `Refused` if it is no number from 1 to 200."""
    text = request.query_params.get("limit", str(default))
    limit = number_of(text)
    if limit is None or not 1 <= limit <= LIMIT_MAX:
        raise Refused("bad_request", f"limit must be a whole number from 1 to {LIMIT_MAX}, not {text!r}")
    return limit


def place_of(request: Request, name: str) -> int | None:
    """A parameter that holds the `next` of an earlier answer, None where absent. Raises `Refused`."""
    text = request.query_params.get(name)
    if not text:
        return None
    place = number_of(text)
    if place is None:
        raise Refused("bad_request", f"{name} must be the `next` value of an earlier answer")
    return place


def instant_of(request: Request, name: str) -> int | None:
    """A time parameter in milliseconds, None where absent. Raises `Refused` for what is no time."""
    text = request.query_params.get(name)
    if not text:
        return None
    instant = parse_instant(text)
    if instant is None:
        raise Refused("bad_request", f"{name} must be an ISO-8601 time or an epoch number, not {text!r}")
    return instant
