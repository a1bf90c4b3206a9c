"""Whether a message triggers an action. A trigger is compiled once; matching reads, it never fails.

A missing value and null are the same here. Text tests (`=`, contains, match) are true only for texts, number tests
only for numbers; `!=` against a text, true or false is true for anything else, also for a missing value; `!=` against
a number, `!contains` and `!match` ask for a value of the right type that differs. `not` in front of a condition is
plain negation. Pure.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tabard.destinations.kit.paths import MISSING
from tabard.destinations.kit.reserved import read_either_spelling
from tabard.destinations.kit.trigger_syntax import AllOf, AnyOf, Condition, Node, Not, parse_trigger

Match = Callable[[Any], bool]

_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A compiled trigger: `trigger.matches(message)`. Equal triggers have equal text."""

    text: str
    matches: Match = field(compare=False, repr=False)


@lru_cache(maxsize=4_096)
def compile_trigger(text: str) -> Trigger:
    """The trigger of that text; TriggerInvalid with a position where it cannot be read."""
    return Trigger(text, compile_node(parse_trigger(text)))


def compile_node(node: Node) -> Match:
    """The predicate of a trigger's tree."""
    if isinstance(node, Condition):
        return _condition(node)
    if isinstance(node, Not):
        child = compile_node(node.child)
        return lambda message: not child(message)
    children = [compile_node(child) for child in node.children]
    return _all(children) if isinstance(node, AllOf) else _any(node, children)


def _all(children: list[Match]) -> Match:
    if len(children) == 2:  # noqa: PLR2004 - the usual trigger: a type and one more
        first, second = children
        return lambda message: first(message) and second(message)

    def matches(message: Any) -> bool:
        for child in children:  # noqa: SIM110 - a loop costs half of all() with a generator
            if not child(message):
                return False
        return True

    return matches


def _any(node: AnyOf, children: list[Match]) -> Match:
    alternatives = _texts_of_one_field(node)
    if alternatives is not None:
        key, texts = alternatives
        return lambda message: _is_in(message.get(key), texts)

    def matches(message: Any) -> bool:
        for child in children:  # noqa: SIM110 - as above
            if child(message):
                return True
        return False

    return matches


def _texts_of_one_field(node: AnyOf) -> tuple[str, frozenset[str]] | None:
    """For `event = "A" or event = "B" …`: the field and the texts; None for anything else."""
    conditions = [child for child in node.children if isinstance(child, Condition) and child.operator == "="]
    texts = frozenset(condition.value for condition in conditions if isinstance(condition.value, str))
    paths = {condition.path for condition in conditions}
    if len(conditions) != len(node.children) or len(texts) != len(conditions) or len(paths) != 1:
        return None
    path = paths.pop()
    return (path[0], texts) if len(path) == 1 else None


def _is_in(value: Any, texts: frozenset[str]) -> bool:
    return isinstance(value, str) and value in texts


def _condition(condition: Condition) -> Match:
    if len(condition.path) == 1 and isinstance(condition.value, str):
        key, text = condition.path[0], condition.value
        if condition.operator == "=":
            return lambda message: bool(message.get(key) == text)
        if condition.operator == "!=":
            return lambda message: bool(message.get(key) != text)
    read, accepts = read_either_spelling(condition.path), _accepts(condition)
    return lambda message: accepts(read(message))


def _accepts(condition: Condition) -> Callable[[Any], bool]:
    """What the condition says of the value alone (MISSING, None or any JSON value)."""
    value = condition.value
    if condition.operator in _ORDERINGS:
        compare, bound = _ORDERINGS[condition.operator], float(value or 0)
        return lambda found: _is_number(found) and compare(found, bound)
    if condition.operator in ("contains", "!contains"):
        part, wanted = str(value), condition.operator == "contains"
        return lambda found: isinstance(found, str) and (part in found) is wanted
    if condition.operator in ("match", "!match"):
        pattern, wanted = glob(str(value)), condition.operator == "match"
        return lambda found: isinstance(found, str) and pattern(found) is wanted
    return _equality(value, equal=condition.operator == "=")


def _equality(value: str | float | bool | None, *, equal: bool) -> Callable[[Any], bool]:
    if value is None:
        return lambda found: (found is None or found is MISSING) is equal
    if isinstance(value, bool):
        return lambda found: (found is value) is equal
    if isinstance(value, str):
        return lambda found: (isinstance(found, str) and found == value) is equal
    return lambda found: _is_number(found) and (found == value) is equal


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def glob(pattern: str) -> Callable[[str], bool]:
    """A whole-text test where `*` stands for any characters, none included; all others are literal.

    Linear in the text: each part is looked for once, from left to right.
    """
    head, *parts = pattern.split("*")
    if not parts:
        return lambda text: text == head
    *middle, tail = parts
    length_min = len(head) + len(tail)

    def matches(text: str) -> bool:
        if len(text) < length_min or not text.startswith(head) or not text.endswith(tail):
            return False
        at, end = len(head), len(text) - len(tail)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return matches
