"""What identifies somebody and what never does (identity.md A3, A4)."""

from typing import Any

import pytest

from tabard.identity.identifiers import Kind, anonymous, kind_of, named, parsed, usable


@pytest.mark.parametrize(
    ("value", "text"),
    [("u1", "u1"), ("  u1 ", "u1"), (42, "42"), ("Abc", "Abc"), (10**30, "1" + "0" * 30), ("a b", "a b")],
)
def test_texts_and_integers_identify_trimmed_and_with_their_case(value: Any, text: str) -> None:
    assert usable(value) == text


@pytest.mark.parametrize("value", [None, True, False, 1.5, [], {}, ["u"], "", "   ", 0, "000", "0-0"])
def test_anything_else_and_what_is_empty_or_zero_identifies_nobody(value: Any) -> None:
    assert usable(value) is None


@pytest.mark.parametrize(
    "value",
    [
        *["null", "NULL", "nil", "None", "NaN", "undefined", "void", "unknown", "Anonymous", "guest", "true", "false"],
        *["-1", "n/a", "NA", "id", "userId", "user_id", "anonymousId", "distinct_id", "email", "not_authenticated"],
        *["[object Object]", '"null"', "'undefined'", "00000000-0000-0000-0000-000000000000", "test@test.com"],
    ],
)
def test_blocked_values_identify_nobody_in_any_case_and_also_in_quotes(value: str) -> None:
    assert usable(value) is None
    assert named(value) is None
    assert anonymous(value) is None


def test_a_setting_blocks_further_values_on_top_of_the_built_in_ones() -> None:
    assert usable("Shared-TV", frozenset({"shared-tv"})) is None
    assert usable("null", frozenset({"shared-tv"})) is None


def test_a_user_id_that_looks_like_an_address_is_an_email_in_lower_case() -> None:
    assert named("Jane@Example.org") == "email:jane@example.org"
    assert named("jane@localhost") == "user:jane@localhost"
    assert anonymous("Jane@Example.org") == "anon:Jane@Example.org"


def test_the_kinds_rank_devices_below_emails_below_users() -> None:
    assert Kind.ANON < Kind.EMAIL < Kind.USER
    assert kind_of("email:a@b.c") is Kind.EMAIL


@pytest.mark.parametrize("text", ["u1", "phone:1", "", ":x"])
def test_a_text_without_a_known_prefix_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match="user:ID"):
        parsed(text)


def test_an_identifier_as_typed_is_brought_to_the_form_it_is_kept_in() -> None:
    assert parsed("email: A@B.c ") == "email:a@b.c"
    assert parsed("user:Abc") == "user:Abc"
    assert parsed("user: Bob@Mail.io ") == "email:bob@mail.io"
