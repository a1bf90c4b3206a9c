"""The tolerant second parse: JSON as some published clients send it, made JSON by changing only what is not.

Python clients write bare `NaN` and `Infinity`, every client passes lone surrogates on (sdks.md §7). Both fail a whole
body, so one message would take the other 99 of its batch along. Pure.
"""

import re
from typing import Final

NUMBER_REPAIRED: Final = "number_repaired"
TEXT_REPAIRED: Final = "text_repaired"
"""The warnings of a repaired item."""

# White space between tokens marks what was repaired, so that the items that a repair touched can be told after the
# body is split. Inside a JSON text these bytes cannot stand, so taking the marks out again changes nothing else.
_MARKS: Final = {NUMBER_REPAIRED: b"\t\r\n\r\t\t\n", TEXT_REPAIRED: b"\r\t\t\n\r\n\t"}

_SUSPECT: Final = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?Infinity|NaN', re.DOTALL)
_ESCAPE: Final = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def repair(body: bytes) -> bytes | None:
    """The body with NaN and ±Infinity as null and lone surrogates as U+FFFD; None where there is nothing of the kind.

    The places are marked for `unmark`. What else is wrong with the body stays so.
    """
    if not _SUSPECT.search(body):
        return None
    repaired = _TOKEN.sub(_repaired_token, body)
    return repaired if repaired != body else None


def unmark(item: bytes) -> tuple[bytes, tuple[str, ...]]:
    """An item of a repaired body without the marks, and the warnings they stood for."""
    warnings = tuple(warning for warning, mark in _MARKS.items() if mark in item)
    for warning in warnings:
        item = item.replace(_MARKS[warning], b"")
    return item, warnings


def _repaired_token(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if not token.startswith(b'"'):
        return b"null" + _MARKS[NUMBER_REPAIRED]
    if b"\\u" not in token:
        return token
    text = _ESCAPE.sub(lambda escape: b"\\ufffd" if escape["lone"] else escape[0], token)
    return token if text == token else text + _MARKS[TEXT_REPAIRED]
