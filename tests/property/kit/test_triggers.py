"""Any trigger means what a plain reading of its tree says."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.destinations.kit.subscription import compile_node, compile_trigger, glob
from tabard.destinations.kit.trigger_syntax import (
    AllOf,
    AnyOf,
    Condition,
    Node,
    Not,
    Operator,
    TriggerInvalid,
    parse_trigger,
)

PATHS = st.sampled_from(
    [("type",), ("event",), ("userId",), ("properties", "plan"), ("traits", "a.b", "c d"), ("context", "and", "0")]
)
TEXTS = st.text(alphabet="ab*@ .é", max_size=4)
NUMBERS = st.integers(-99, 99).map(float) | st.sampled_from([0.5, -1.25])

FUNCTIONS: list[Operator] = ["contains", "!contains", "match", "!match"]
ORDERINGS: list[Operator] = ["<", "<=", ">", ">="]
EQUALITIES: list[Operator] = ["=", "!="]
CONDITIONS = st.one_of(
    st.builds(Condition, PATHS, st.sampled_from(EQUALITIES), TEXTS | NUMBERS | st.booleans() | st.none()),
    st.builds(Condition, PATHS, st.sampled_from(FUNCTIONS), TEXTS),
    st.builds(Condition, PATHS, st.sampled_from(ORDERINGS), NUMBERS),
)


def _groups(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.builds(AllOf, several) | st.builds(AnyOf, several) | st.builds(Not, children)


NODES: st.SearchStrategy[Node] = st.recursive(CONDITIONS, _groups, max_leaves=8)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none()
OBJECTS = st.dictionaries(st.sampled_from(["plan", "a.b", "and", "0"]), VALUES | st.just({"c d": "ab", "0": 1}))
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "type": VALUES,
        "event": VALUES,
        "userId": VALUES,
        "properties": OBJECTS | VALUES,
        "traits": OBJECTS,
        "context": OBJECTS,
    },
)


def written(node: Node) -> str:
    """A tree as text, every group in brackets."""
    if isinstance(node, Not):
        return f"not ({written(node.child)})"
    if isinstance(node, AllOf | AnyOf):
        word = " and " if isinstance(node, AllOf) else " or "
        return word.join(f"({written(child)})" for child in node.children)
    path = ".".join(re.sub(r"([^\w-])", r"\\\1", key) for key in node.path)
    if node.operator in FUNCTIONS:
        return f'{node.operator}({path}, "{node.value}")'
    values = {None: "null", True: "true", False: "false"}
    plain = values[node.value] if node.value is None or isinstance(node.value, bool) else node.value
    return f'{path} {node.operator} "{plain}"' if isinstance(node.value, str) else f"{path} {node.operator} {plain}"


def holds(node: Node, message: Any) -> bool:
    """The documented meaning, written down plainly."""
    if isinstance(node, AllOf | AnyOf):
        results = [holds(child, message) for child in node.children]
        return all(results) if isinstance(node, AllOf) else any(results)
    if isinstance(node, Not):
        return not holds(node.child, message)
    found = _found(message, node.path)
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    if node.operator in FUNCTIONS:
        part = str(node.value)
        if not isinstance(found, str):
            return False
        inside = part in found if "contains" in node.operator else _globs(part, found)
        return inside != node.operator.startswith("!")
    if node.operator in ORDERINGS:
        return is_number and bool(eval(f"{found!r} {node.operator} {node.value!r}"))
    if isinstance(node.value, float):
        return is_number and (found == node.value) == (node.operator == "=")
    same = type(found) is type(node.value) and found == node.value
    return same == (node.operator == "=")


def _found(message: Any, path: tuple[str, ...]) -> Any:
    for depth, key in enumerate(path):
        if not isinstance(message, dict):
            is_scalar_left = depth > 0 and message is not None and not message
            return message if is_scalar_left else None
        message = message.get(key)
    return message


def _globs(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_globs(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return text[:1] == pattern[0] and _globs(pattern[1:], text[1:])


@given(NODES)
def test_a_trigger_written_out_is_read_back_as_the_same_tree(node: Node) -> None:
    assert parse_trigger(written(node)) == node


@given(NODES, MESSAGES)
@settings(max_examples=300)
def test_a_compiled_trigger_matches_what_its_tree_says(node: Node, message: dict[str, Any]) -> None:
    assert compile_node(node)(message) is holds(node, message)


@given(st.text(alphabet="ab*", max_size=7), st.text(alphabet="ab", max_size=8))
@settings(max_examples=300)
def test_a_star_matches_like_the_plain_definition(pattern: str, text: str) -> None:
    assert glob(pattern)(text) is _globs(pattern, text)


@given(st.text(alphabet="typevn=!<>()\"' andor.1*\\,\n", max_size=40))
@settings(max_examples=300)
def test_any_text_is_a_trigger_or_refused_with_a_position_inside_it(text: str) -> None:
    position = 0
    try:
        compile_trigger(text).matches({"type": "track"})
    except TriggerInvalid as refused:
        position = refused.position
    assert 0 <= position <= len(text)
