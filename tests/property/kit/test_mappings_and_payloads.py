"""Whatever a message holds and whatever a mapping says: data stays data, nothing is changed, nothing else is raised."""

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.destinations.kit.describe import example_values
from tabard.destinations.kit.directives import DIRECTIVES, MappingFailed
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.mapping import MappingInvalid, compile_mapping
from tabard.destinations.kit.payload import PayloadRefused, Problem, compile_fields

KEYS = st.sampled_from(["a", "b", "firstName", "first_name", "@path", "@template", "traits", "0"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(
    [10**400, 10**21, "", "x", "{{userId}}", "$.userId", "5", "true", "2024-03-05"]
)  # fmt: skip
JSON = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each, max_size=3))
MESSAGES = st.fixed_dictionaries(
    {"userId": st.just("secret"), "type": st.sampled_from(["identify", "track"])},
    optional={"traits": JSON, "properties": JSON},
)
ARGUMENT_KEYS = st.sampled_from(
    ["exists", "blank", "then", "else", "value", "operator", "pattern", "replacement", "direction", "objects", "apply",
     "mapping", "separator", "mode", "omitArrays"]
)  # fmt: skip
WORDS = st.sampled_from(["$.traits", "$.traits.firstName", "lower", "left", "encode", "decode", "x{{traits.a}}", "."])


def _mapping(each: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arguments = each | st.dictionaries(ARGUMENT_KEYS, each, max_size=4) | st.lists(each, max_size=2)
    directives = st.builds(lambda name, argument: {name: argument}, st.sampled_from(sorted(DIRECTIVES)), arguments)
    return directives | st.dictionaries(st.sampled_from(["k", "l"]), each, max_size=2) | st.lists(each, max_size=2)


MAPPINGS = st.recursive(SCALARS | WORDS, _mapping, max_leaves=6)

FIELDS = st.recursive(
    st.builds(
        Field,
        label=st.just("-"),
        type=st.sampled_from(["string", "text", "number", "integer", "boolean", "datetime"]),
        multiple=st.booleans(),
        allow_null=st.booleans(),
        # The texts read back as the same instant; an epoch number may not (5 ms is 5 s).
        date_form=st.sampled_from(["as_given", "iso", "date"]),
    ),
    lambda each: st.builds(
        Field,
        label=st.just("-"),
        type=st.just("object"),
        multiple=st.booleans(),
        properties=st.dictionaries(st.sampled_from(["a", "b", "0"]), each, max_size=2),
        additional_properties=st.none() | st.booleans(),
    ),
    max_leaves=4,
)
FIELD_SETS = st.dictionaries(st.sampled_from(["a", "b", "firstName"]), FIELDS, max_size=3)


@given(MAPPINGS, MESSAGES)
@settings(max_examples=400)
def test_any_mapping_is_refused_or_applied_and_leaves_the_message_alone(mapping: Any, message: Any) -> None:
    before = copy.deepcopy(message)
    with suppress(MappingInvalid, MappingFailed):
        compile_mapping(mapping)(message)
    assert message == before


@given(MESSAGES)
def test_what_is_read_whole_comes_out_as_it_went_in(message: dict[str, Any]) -> None:
    out = compile_mapping({"t": {"@path": "$.traits"}, "l": [{"@path": "$.traits"}]})(message)
    if "traits" in message:
        assert out == {"t": message["traits"], "l": [message["traits"]]}
    else:
        assert out == {"l": [None]}


@given(FIELD_SETS, st.dictionaries(st.sampled_from(["a", "b", "firstName", "other"]), JSON))
@settings(max_examples=300)
def test_a_payload_is_refused_or_stays_the_same_when_coerced_again(fields: dict[str, Field], values: Any) -> None:
    coerce = compile_fields(fields)
    before = copy.deepcopy(values)
    problems: list[Problem] = []
    try:
        payload = coerce(values)
    except PayloadRefused as refused:
        problems = refused.problems
    else:
        assert set(payload) <= set(fields)
        assert coerce(payload) == {key: value for key, value in payload.items() if value != ""}
    assert all(problem.field and problem.reason for problem in problems)
    assert values == before


@given(FIELD_SETS)
def test_example_values_are_accepted_as_they_are(fields: dict[str, Field]) -> None:
    examples = example_values(fields)
    assert compile_fields(fields)(examples) == examples
