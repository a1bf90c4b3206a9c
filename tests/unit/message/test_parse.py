"""The checks that look at the bytes of an item, against what a plain walk over its values says."""

import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.message import parse
from tabard.message.limits import Limits
from tabard.message.parse import Refused, decode_item, open_envelope

LIMITS = Limits(json_depth_max=6)
BRACKETS = st.recursive(
    st.one_of(st.integers(), st.text(alphabet='[]{}"\\ab', max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(alphabet='[]{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if below is None else 1 + max(map(depth, below), default=0)


@given(BRACKETS, st.integers(0, 8))
@settings(max_examples=300, deadline=None)
def test_nesting_is_measured_as_a_walk_would_whatever_stands_in_texts(value: Any, more: int) -> None:
    item: dict[str, Any] = {"a": value, "wide": [[]] * 10}
    for _ in range(more):
        item = {"a": item}
    try:
        decode_item(json.dumps(item).encode(), LIMITS)
        is_refused = False
    except Refused as refusal:
        is_refused = refusal.rejection.reason == "too_deep"
    assert is_refused == (depth(item) > LIMITS.json_depth_max)


@pytest.mark.parametrize("digits", [1, 20, 308, 309, 310, 400, 2000])
@pytest.mark.parametrize("before", [0, 1, 149, 150, 151, 700])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_that_no_double_holds_is_found_wherever_it_stands(digits: int, before: int, sign: str) -> None:
    item = f'{{"t":"{"x" * before}","n":{sign}{"9" * digits}}}'.encode()
    if digits < 309:
        assert decode_item(item, Limits())["n"] == int(sign + "9" * digits)
        return
    with pytest.raises(Refused) as refusal:
        decode_item(item, Limits())
    assert refusal.value.rejection.reason == "number_out_of_range"


def test_long_runs_of_digits_in_texts_and_fractions_are_no_integers() -> None:
    item = f'{{"t":"{"9" * 1000}","f":0.{"9" * 1000}}}'.encode()
    assert decode_item(item, Limits())["f"] == 1.0


def test_a_body_of_brackets_is_not_walked_bracket_by_bracket() -> None:
    item = b'{"a":[' + b"[]," * 10_000 + b"[]]}"
    calls = []

    def note(frame: FrameType, event: str, _: object) -> None:
        # What the collector of garbage runs meanwhile is not ours.
        if frame.f_code.co_filename == parse.__file__:
            calls.append(event)

    sys.setprofile(note)
    try:
        found = decode_item(item, Limits())
    finally:
        sys.setprofile(None)
    assert len(found["a"]) == 10_001
    assert len(calls) < 1_000


@pytest.mark.parametrize("body", [b"", b'{"userId":"u', b'{"batch":[{"userId":"u"}'])
def test_a_body_without_its_end_is_said_to_be_one(body: bytes) -> None:
    for take in (decode_item, open_envelope):
        with pytest.raises(Refused) as refusal:
            take(body, Limits())
        assert refusal.value.rejection.reason == "invalid_json"
        assert refusal.value.rejection.message == "the body ends in the middle of the JSON: send the whole of it"
