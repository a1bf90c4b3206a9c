"""Python values become sensible JSON, and nothing a program holds can break the line."""

import itertools
import json
import math
from collections import UserDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard_client import Client, DropReason
from tabard_client.encode import UnencodableError, encode
from tabard_client.limits import MESSAGE_BYTES_MAX


class Plan(Enum):
    PRO = "pro"


class Level(IntEnum):
    HIGH = 3


class Colour(str, Enum):  # noqa: UP042 - the older form of a text enum is what many programs have
    RED = "red"


@dataclass
class Basket:
    total: Decimal
    on: date


class NumpyNumber:
    """As numpy's scalars: no Python number, but `tolist` gives one."""

    def tolist(self) -> float:
        return 2.5


class NumpyArray:
    def tolist(self) -> list[float]:
        return [1.0, math.nan]


class Lazy:
    """As Django's translated strings."""

    def __str__(self) -> str:
        return "Hello"


class Opaque:
    pass


def encoded(value: object) -> Any:
    return json.loads(encode({"value": value}))["value"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05+00:00"),
        (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),  # noqa: DTZ001 - as the published SDKs write it
        (date(1990, 5, 1), "1990-05-01"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=2), 120.0),
        (Decimal("10.10"), 10.1),
        (Decimal("NaN"), None),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Plan.PRO, "pro"),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (Basket(Decimal("9.5"), date(2024, 1, 2)), {"total": 9.5, "on": "2024-01-02"}),
        ({"a"}, ["a"]),
        (frozenset({1}), [1]),
        ((1, 2), [1, 2]),
        (deque([1]), [1]),
        (NumpyNumber(), 2.5),
        (NumpyArray(), [1.0, None]),
        (Fraction(1, 2), 0.5),
        (b"abc", "abc"),
        (PurePosixPath("/tmp/x"), "/tmp/x"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        (Lazy(), "Hello"),
        (Opaque(), None),
        (math.nan, None),
        ([math.inf, {"x": -math.inf}], [None, {"x": None}]),
        ("\ud83d alone", "\ufffd alone"),
        ("\U0001f600 \u2028 \x00 line\nend", "\U0001f600 \u2028 \x00 line\nend"),
        ({UUID(int=1): 1}, {"00000000-0000-0000-0000-000000000001": 1}),
        ({Plan.PRO: 1, 2: 2, None: 3, True: 4, "\ud83d": 5}, {"pro": 1, "2": 2, "null": 3, "true": 4, "\ufffd": 5}),
        (10**30, 10**30),
    ],
)
def test_a_value_becomes(value: object, expected: object) -> None:
    assert encoded(value) == expected


def test_an_endless_iterable_is_cut_where_the_message_is_too_large_anyway() -> None:
    assert len(encoded(itertools.count())) == MESSAGE_BYTES_MAX
    client = Client("key", send=False)
    assert client.track("u", "e", {"ids": itertools.count()}) == (False, ANY)
    assert client.counts().dropped == {DropReason.TOO_LARGE: 1}


def test_a_cycle_and_a_bottomless_nesting_are_refused_by_name() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(UnencodableError, match="nested more than 64 deep"):
        encode({"cycle": cycle})
    with pytest.raises(UnencodableError):
        encode({"number": 10**5000})


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(nested)
def test_whatever_the_values_the_line_is_strict_json_without_a_newline(value: object) -> None:
    line = encode({"value": value})
    assert b"\n" not in line
    json.loads(line, parse_constant=lambda name: pytest.fail(f"bare {name} is not JSON"))
