"""`@liquid` templates: python-liquid with tight limits, no loops, no clock, and nothing that can grow without bound.

Where it writes otherwise than the field's liquidjs is listed in docs/actions.md. The message is read by its own
keys: reserved traits are not looked up in their other spelling here. Pure.
"""

import functools
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from liquid import Environment
from liquid.exceptions import LiquidError

from tabard.destinations.kit.text import json_text, text_of
from tabard.message.traits import parse_instant

RESULT_LENGTH_MAX = 64_000
NUMBER_MAX = 10**300

DISABLED_TAGS = ("case", "for", "include", "layout", "render", "tablerow")
DISABLED_FILTERS = (
    "array_to_sentence_string", "concat", "find", "find_exp", "find_index", "find_index_exp", "group_by",
    "group_by_exp", "has", "has_exp", "map", "newline_to_br", "reject", "reject_exp", "reverse", "sort", "sort_natural",
    "type", "uniq", "where_exp",
)  # fmt: skip


_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})


class LiquidInvalid(ValueError):
    """A template that cannot be read or worked out."""


class _Limits(Environment):  # type: ignore[misc]  # the package is not type-checked (pyproject.toml)
    block_nesting_limit = 10
    context_depth_limit = 10
    loop_iteration_limit = 0
    local_namespace_limit = RESULT_LENGTH_MAX * 4
    output_stream_limit = RESULT_LENGTH_MAX


def compile_liquid(template: str) -> Callable[[Any], str]:
    """Renders that template for a message. LiquidInvalid, here and when it renders, says why not."""
    try:
        parsed = _ENVIRONMENT.from_string(template)
    except LiquidError as error:
        raise LiquidInvalid(str(error)) from error
    for name in parsed.filter_names():
        if name not in _ENVIRONMENT.filters:
            raise LiquidInvalid(f'filter "{name}" is {"disabled" if name in DISABLED_FILTERS else "unknown"}')

    def render(message: Any) -> str:
        try:
            return str(parsed.render(message if isinstance(message, dict) else {}))
        except (LiquidError, ArithmeticError) as error:
            raise LiquidInvalid(str(error)) from error

    return render


def _bounded(apply: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing values that have grown out of bounds: chained filters multiply."""

    @functools.wraps(apply)
    def bounded(*arguments: Any, **options: Any) -> Any:
        for argument in arguments:
            _check_size(argument)
        result = apply(*arguments, **options)
        _check_size(result)
        return result

    return bounded


def _check_size(value: Any) -> None:
    if isinstance(value, str | list | range) and len(value) > RESULT_LENGTH_MAX:
        raise LiquidError(f"a value is longer than {RESULT_LENGTH_MAX}", token=None)
    if isinstance(value, int | float) and abs(value) > NUMBER_MAX:
        raise LiquidError("a number is too large", token=None)


def _date(value: Any, form: Any) -> str:
    """A date in a strftime form, in UTC; what is no date is passed through. `now` is refused: no clock here."""
    if value in ("now", "today"):
        raise LiquidError('a mapping has no clock: map a timestamp of the message instead of "now"', token=None)
    instant_ms = parse_instant(value)
    if instant_ms is None:
        return str(value)
    seconds = instant_ms // 1000
    return datetime.fromtimestamp(seconds, UTC).strftime(str(form).replace("%s", str(seconds)))


def _join(value: Any, separator: str = " ") -> str:
    return separator.join(text_of(item) for item in value) if isinstance(value, list) else text_of(value)


def _escape(value: Any) -> str:
    return str(value).translate(_ENTITIES)


def _sha256(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def _environment() -> Environment:
    environment = _Limits(strict_filters=True, autoescape=False)
    for tag in DISABLED_TAGS:
        environment.tags.pop(tag, None)
    for name in DISABLED_FILTERS:
        environment.filters.pop(name, None)
    environment.filters |= {"date": _date, "escape": _escape, "join": _join, "json": json_text, "sha256": _sha256}
    environment.filters = {name: _bounded(apply) for name, apply in environment.filters.items()}
    return environment


_ENVIRONMENT = _environment()
