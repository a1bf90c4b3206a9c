"""Registers: last write wins by event time and message, a null is a write (identity.md §3.4)."""

from itertools import permutations
from typing import Any

import pytest

from tabard.profiles.advice import oddities
from tabard.profiles.profile import fold, groups_of, shown, traits_of
from tabard.profiles.registers import Held, Registers

WRITES: list[tuple[Held, dict[str, Any]]] = [
    ((1, "a", 10), {"plan": "free", "name": "Ann"}),
    ((5, "b", 11), {"plan": None}),
    ((5, "a", 12), {"plan": "tie", "city": {"zip": 1}}),
]


@pytest.mark.parametrize("order", list(permutations(WRITES)))
def test_the_newest_write_by_time_then_message_holds_whatever_the_order(
    order: tuple[tuple[Held, dict[str, Any]], ...],
) -> None:
    registers = Registers()
    for held, traits in order:
        registers.write(held, traits)
    assert traits_of(registers) == {"city": {"zip": 1}, "name": "Ann"}


def test_a_write_says_whether_a_reader_sees_a_difference() -> None:
    registers = Registers()
    assert registers.write((1, "a", 1), {"n": 1})
    assert not registers.write((2, "b", 2), {"n": 1})
    assert registers.write((3, "c", 3), {"n": True})
    assert not registers.write((1, "a", 1), {"n": 5})
    assert not registers.write((4, "d", 4), {"unset": None})


def test_registers_come_back_from_their_bytes_as_they_were() -> None:
    registers = Registers()
    for held, traits in WRITES:
        registers.write(held, traits)
    registers.write((9, "big", 13), {"n": 10**30, "text": "\u00e9\U0001f600", "list": [1, {"a": None}]})
    registers.place((2, "a", 14), "acme", True)
    back = Registers.decoded(registers.encoded())
    assert back.traits == registers.traits
    assert back.groups == registers.groups
    assert not Registers.decoded(None)


def test_leaving_a_group_is_a_write_that_an_older_joining_does_not_undo() -> None:
    registers = Registers()
    assert not registers.place((5, "b", 1), "acme", False)
    assert not registers.place((3, "a", 2), "acme", True)
    assert groups_of(registers) == []
    assert registers.place((6, "a", 3), "acme", True)
    assert groups_of(registers) == ["acme"]


def test_a_profile_shows_the_newest_write_over_all_its_identifiers() -> None:
    device, user = Registers(), Registers()
    user.write((1, "a", 1), {"plan": "free", "phone": "1"})
    device.write((5, "b", 2), {"plan": "pro", "phone": None})
    assert traits_of(fold([user, device])) == {"plan": "pro"}
    assert fold([device, user]).traits == fold([user, device]).traits


def test_the_name_is_filled_in_where_only_its_parts_are_known() -> None:
    assert shown({"firstName": "Ada", "lastName": "L"})["name"] == "Ada L"
    assert shown({"firstName": "Ada", "lastName": "L", "name": "Countess"})["name"] == "Countess"


def test_odd_traits_are_named_by_their_one_spelling() -> None:
    found = oddities({"age": "9", "email": "nobody", "address": "Rome", "first_name": "A", "own": 1, "phone": None})
    assert sorted(found) == [
        ("trait_spelling", "first_name"),
        ("trait_type", "address"),
        ("trait_type", "age"),
        ("trait_type", "email"),
    ]
    assert oddities("no object") == ()
