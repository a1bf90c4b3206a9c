"""On a server too, future calls reference the identified person: bound to the request, never to the process."""

import asyncio
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, cast
from uuid import UUID

import pytest

from tabard_client import Client, bind, set_user


@pytest.fixture
def client() -> Client:
    return Client("key", send=False)


def ids(message: dict[str, object]) -> tuple[object, object]:
    return message["userId"], message["anonymousId"]


def test_calls_within_a_bind_need_no_id(client: Client) -> None:
    with bind(user_id=7, anonymous_id="anon", context={"ip": "1.2.3.4", "page": {"path": "/"}}):
        message = client.track(event="a", context={"page": {"path": "/own"}}).message
    assert ids(message) == ("7", "anon")
    assert message["context"]["ip"] == "1.2.3.4"  # type: ignore[index]
    assert message["context"]["page"] == {"path": "/own"}  # type: ignore[index]
    assert not client.track(event="outside").success


def test_identify_makes_the_visitor_known_for_the_calls_that_follow(client: Client) -> None:
    with bind(anonymous_id="anon"):
        assert ids(client.page().message) == (None, "anon")
        assert ids(client.identify("u1", {"email": "a@b.c"}).message) == ("u1", "anon")
        assert ids(client.track(event="a").message) == ("u1", "anon")
        assert ids(client.group(group_id="acme").message) == ("u1", "anon")


def test_a_call_about_somebody_else_takes_nothing_from_the_bound_person(client: Client) -> None:
    with bind(user_id="admin", anonymous_id="admin-browser"):
        assert ids(client.identify("customer", {"plan": "pro"}).message) == ("customer", None)
        assert ids(client.track("customer", "Refunded").message) == ("customer", None)
        assert ids(client.track(event="a", anonymous_id="other-browser").message) == (None, "other-browser")
        assert ids(client.track(event="Logged in").message) == ("admin", "admin-browser")
        assert ids(client.track("admin", "a").message) == ("admin", "admin-browser")


def test_naming_a_user_in_a_track_does_not_join_an_unknown_visitor_to_them(client: Client) -> None:
    with bind(anonymous_id="visitor"):
        assert ids(client.track("inviter", "Invitation opened").message) == ("inviter", None)
        assert ids(client.track(event="a").message) == (None, "visitor")


def test_alias_takes_no_bound_ids(client: Client) -> None:
    with bind(user_id="u1", anonymous_id="anon"):
        assert not client.alias("old").success
        assert ids(client.alias("old", "new").message) == ("new", None)


def test_an_inner_bind_inherits_but_never_mixes_two_people(client: Client) -> None:
    with bind(anonymous_id="anon", context={"ip": "1.2.3.4"}):
        with bind(user_id="u1"):
            assert ids(client.track(event="a").message) == ("u1", "anon")
            with bind(user_id="u2", context={"locale": "de"}):
                message = client.track(event="a").message
                assert ids(message) == ("u2", None)
                assert message["context"]["ip"] == "1.2.3.4"  # type: ignore[index]
                assert message["context"]["locale"] == "de"  # type: ignore[index]
            with bind(anonymous_id="another-browser"):
                assert ids(client.track(event="a").message) == (None, "another-browser")
        assert ids(client.track(event="a").message) == (None, "anon")


def test_one_bind_entered_in_many_requests_gives_nobody_the_identity_of_another(client: Client) -> None:
    shop = bind(context={"app": "shop"})

    def request(user_id: str | None, anonymous_id: str) -> tuple[object, object]:
        with bind(user_id, anonymous_id), shop:
            message = client.track(event="a").message
            assert message["context"]["app"] == "shop"  # type: ignore[index]
            return ids(message)

    people = [("ann", "a1"), ("bob", "b1"), (None, "c1")]
    assert [request(*person) for person in people] == people
    assert not client.track(event="outside").success


def test_a_bind_entered_within_itself_ends_with_its_outermost_block(client: Client) -> None:
    person = bind(user_id="z")
    with person:
        with person:
            pass
        assert ids(client.track(event="a").message) == ("z", None)
    assert not client.track(event="a").success


def test_binds_left_out_of_turn_as_by_a_generator_leave_nobody_bound(client: Client) -> None:
    outer, inner = bind(user_id="outer"), bind(user_id="inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert not client.track(event="a").success
    inner.__exit__(None, None, None)
    assert not client.track(event="a").success


def test_set_user_is_for_the_rest_of_the_bind_also_from_a_worker_thread(client: Client) -> None:
    with bind(anonymous_id="anon"), ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, set_user, "u1").result()
        assert ids(client.track(event="a").message) == ("u1", "anon")
    set_user("nobody is bound: nothing happens")
    assert not client.track(event="a").success


def test_requests_answered_at_the_same_time_do_not_see_each_other(client: Client) -> None:
    async def request(number: int) -> tuple[object, object]:
        with bind(anonymous_id=f"anon{number}"):
            await asyncio.sleep(0.001 * (number % 3))
            client.identify(f"user{number}")
            await asyncio.sleep(0.001)
            return ids(client.track(event="a").message)

    async def all_requests() -> list[Any]:
        return await asyncio.gather(*(request(number) for number in range(50)))

    assert asyncio.run(all_requests()) == [(f"user{number}", f"anon{number}") for number in range(50)]


def test_a_new_thread_knows_nobody(client: Client) -> None:
    seen: list[bool] = []
    with bind(user_id="u1"):
        thread = threading.Thread(target=lambda: seen.append(client.track(event="a").success))
        thread.start()
        thread.join()
    assert seen == [False]


def test_leaving_in_another_copy_of_the_context_raises_nothing(client: Client) -> None:
    """FastAPI runs the two halves of a plain `yield` dependency in different contexts."""
    stack = ExitStack()
    copy_context().run(stack.enter_context, bind(user_id="u1"))
    copy_context().run(stack.close)
    assert not client.track(event="a").success


class Plan(str, Enum):  # noqa: UP042 - the older way, whose str() is its name
    PRO = "pro"


class Missing:
    """As pandas' NaT: a missing value is unlike itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return "NaT"


@pytest.mark.parametrize("missing", [math.nan, Decimal("NaN"), Missing(), "  ", None])
def test_a_missing_value_of_a_data_frame_is_nobody(client: Client, missing: Any) -> None:
    assert not client.track(missing, "a").success
    assert ids(client.track(missing, "a", anonymous_id="anon").message) == (None, "anon")


@pytest.mark.parametrize(("given", "sent"), [(Plan.PRO, "pro"), (Decimal(7), "7"), (UUID(int=1), str(UUID(int=1)))])
def test_an_id_is_the_value_of_what_stands_for_it(client: Client, given: Any, sent: str) -> None:
    assert ids(client.track(given, "a").message) == (sent, None)


@pytest.mark.parametrize("given", [1.5, 1e300, Decimal("1.5"), math.inf, Fraction(1, 2), 1j])
def test_a_number_that_is_no_whole_one_is_no_id_as_at_the_collector(client: Client, given: Any) -> None:
    assert not client.track(given, "a").success
    assert ids(client.track(cast("Any", Fraction(4, 2)), "a").message) == ("2", None)


def test_an_object_without_a_text_of_its_own_is_no_id(client: Client) -> None:
    receipt = client.track(cast("Any", object()), "a")
    assert not receipt.success


def test_binding_what_is_no_id_raises_nothing_and_binds_nobody(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (True, 1.5, Decimal("sNaN")):
        with bind(user_id={"id": 1}, anonymous_id=number):
            assert not client.track(event="a").success
    assert "an id must be text or a number, not dict" in caplog.text
