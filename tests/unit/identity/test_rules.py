"""What a message asserts and which evidence it gives, by its trust (identity.md §3, design.md §2.13)."""

from typing import Any

import pytest

from tabard.identity.rules import Fact, Ignored, Rules, owner, read, survivor
from tabard.message.types import SERVER_TRUST, Trust
from tests.unit.identity.calls import message


def fact(kind: str, trust: Trust = SERVER_TRUST, **body: Any) -> Fact:
    found = read(message(kind, body, trust), Rules()).fact
    assert found is not None
    return found


def test_the_subject_is_the_user_else_an_identifys_address_else_the_device() -> None:
    assert fact("track", userId="u", anonymousId="d").subject == "user:u"
    assert fact("identify", anonymousId="d", traits={"email": "A@x.io"}).subject == "email:a@x.io"
    assert fact("track", anonymousId="d", traits={"email": "a@x.io"}).subject == "anon:d"
    assert fact("track", userId="null").subject is None


def test_reserved_traits_are_kept_under_one_spelling_and_the_camel_case_one_counts() -> None:
    said = fact("identify", userId="u", traits={"first_name": "old", "firstName": "new", "last_name": "L", "x_y": 1})
    assert said.traits == {"firstName": "new", "lastName": "L", "x_y": 1}


def test_an_identify_about_an_address_asserts_it_unless_it_says_otherwise() -> None:
    assert fact("identify", userId="Jane@x.io", traits={}).traits == {"email": "jane@x.io"}
    assert fact("identify", userId="Jane@x.io", traits={"email": None}).traits == {"email": None}


def test_the_reserved_traits_id_username_and_company_never_identify() -> None:
    said = fact("identify", anonymousId="d", traits={"id": "u9", "username": "ann", "company": {"id": "c"}})
    assert (said.subject, said.email, said.group) == ("anon:d", None, None)


def test_a_browser_makes_no_alias_and_claims_no_address_unless_it_may() -> None:
    page = Trust.CLIENT
    assert fact("alias", page, userId="u", previousId="d").previous == ()
    assert not fact("identify", page, userId="u", traits={"email": "v@x.io"}).claims_email
    may = Trust.CLIENT | Trust.ALIAS | Trust.EMAIL_CLAIM
    assert fact("alias", may, userId="u", previousId="d").previous == ("anon:d", "user:d")
    assert fact("identify", may, userId="u", traits={"email": "v@x.io"}).claims_email


def test_what_a_browser_may_not_state_is_named_and_the_rest_of_the_call_counts() -> None:
    def ignored(kind: str, trust: Trust, **body: Any) -> Ignored | None:
        return read(message(kind, body, trust), Rules()).ignored

    page, claim = Trust.CLIENT, {"email": "v@x.io"}
    assert ignored("alias", page, userId="u", previousId="d") is Ignored.ALIAS
    assert ignored("identify", page, userId="u", traits=claim) is Ignored.EMAIL_CLAIM
    assert ignored("identify", page, anonymousId="d", traits=claim) is None
    assert ignored("identify", page, userId="u", traits={"email": "no address"}) is None
    assert ignored("alias", page | Trust.ALIAS, userId="u", previousId="d") is None
    assert ignored("identify", SERVER_TRUST, userId="u", traits=claim) is None


def test_an_alias_of_a_blocked_or_the_same_text_names_nobody_before_it() -> None:
    assert fact("alias", userId="u", previousId="undefined").previous == ()
    assert fact("alias", userId="u", previousId="u").previous == ("anon:u",)


def test_an_object_in_the_traits_is_a_membership() -> None:
    assert fact("identify", userId="u", traits={"objectId": "acme"}).group == "group:acme"
    assert fact("group", userId="u", groupId="acme", traits={"object_type_id": "3"}).group == "group:3/acme"


@pytest.mark.parametrize("kind", ["identify", "page", "screen", "group", "alias"])
@pytest.mark.parametrize("event", [["User Deleted"], {"a": 1}, 7, True])
def test_an_event_that_is_no_text_means_nothing_on_any_call(kind: str, event: Any) -> None:
    said: dict[str, Any] = {"userId": "u", "groupId": "g", "previousId": "p"}
    assert fact(kind, **said, event=event) == fact(kind, **said)


def test_an_inactive_call_says_so() -> None:
    assert not fact("track", userId="u", context={"active": False}).active
    assert fact("track", userId="u", context={"active": "no"}).active


def test_the_owner_is_of_the_highest_rank_then_the_earliest_and_nobody_above_the_limit() -> None:
    ranks = {"lead": 1, "ann": 2, "bob": 2}
    claims = {"lead": (1, "a"), "bob": (3, "c"), "ann": (3, "b")}
    assert owner(claims, ranks.__getitem__, 5) == "ann"
    assert owner(claims, ranks.__getitem__, 2) is None
    assert owner({}, ranks.__getitem__, 5) is None


def test_the_survivor_was_never_a_previous_id_else_it_was_named_last() -> None:
    assert survivor("abc", [("a", "b", (9, "m")), ("b", "c", (1, "m"))]) == "c"
    assert survivor("puv", [("p", "u", (1, "m")), ("p", "v", (2, "m"))]) == "v"
    assert survivor("ab", [("a", "b", (1, "m")), ("b", "a", (2, "m"))]) == "a"
    assert survivor("a", []) == "a"
