"""The one date parser, the e-mail test and the full name."""

from typing import Any

import pytest

from tabard.message.traits import full_name, iso_ms, looks_like_email, parse_instant


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05.000Z"),
        ("2024-01-02T03:04", "2024-01-02T03:04:00.000Z"),
        ("1990-05-01", "1990-05-01T00:00:00.000Z"),
        ("2026-11-23T20:00:58.889+00:00", "2026-11-23T20:00:58.889Z"),
        ("2026-11-23T20:00:58.123456789+01:00", "2026-11-23T19:00:58.123Z"),
        ("2026-11-23T20:00:58.1234567-0700", "2026-11-24T03:00:58.123Z"),
        ("2026-11-23 20:00:58Z", "2026-11-23T20:00:58.000Z"),
        (" 2026-11-23T20:00:58.5Z ", "2026-11-23T20:00:58.500Z"),
        (1700000000, "2023-11-14T22:13:20.000Z"),
        (1700000000123, "2023-11-14T22:13:20.123Z"),
        ("1700000000", "2023-11-14T22:13:20.000Z"),
        ("1700000000123", "2023-11-14T22:13:20.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_read_in_every_form_clients_send(value: Any, shown: str) -> None:
    instant = parse_instant(value)
    assert instant is not None
    assert iso_ms(instant) == shown


@pytest.mark.parametrize(
    "value",
    ["yesterday", "", "2024-13-01", "2024-W01-1", "05/01/1990", "12345678", True, None, [], {}, float("nan"), 10**400,
     float("inf"), "²024-01-01", "2024-01-01T25:00:00Z", "0001-01-01T00:00:00+01:00"],
)  # fmt: skip
def test_what_is_no_time_is_none(value: Any) -> None:
    assert parse_instant(value) is None


def test_a_full_name_needs_both_parts_and_no_name() -> None:
    assert full_name({"firstName": "Cool", "last_name": "Person"}) == "Cool Person"
    assert full_name({"firstName": "Cool"}) is None
    assert full_name({"firstName": "Cool", "lastName": "Person", "name": "Other"}) is None


@pytest.mark.parametrize(
    ("text", "is_one"), [("a@b.co", True), ("A.b+c@x-y.example.org", True), ("a@b", False), ("a b@c.de", False),
                         ("@b.co", False), ("a@b..co", False), ("u1", False), ("a@" + "b" * 260 + ".co", False)],
)  # fmt: skip
def test_an_e_mail_is_told_from_other_ids(text: str, is_one: bool) -> None:
    assert looks_like_email(text) is is_one
