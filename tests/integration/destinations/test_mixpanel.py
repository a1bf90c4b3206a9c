"""Mixpanel against a local stand-in of its Ingestion API."""

import pytest

from tabard.destinations.kit.errors import AuthenticationFailed, HttpError, Unreachable
from tests.integration.destinations.sending import identify, sender, track
from tests.integration.destinations.vendors.mixpanel import IngestionApi
from tests.integration.destinations.vendors.stand_in import Fault

LONG_ID = "ajs-next-1709634030123-13c0b661-f48b-51cd-ba54-97c5999169c0"


async def test_a_visitor_becomes_a_user_with_profile_events_and_group() -> None:
    api = IngestionApi()
    async with api.running() as send:
        mixpanel = sender("mixpanel", send)
        await mixpanel.one(track(None, "Viewed", anonymousId="visitor-1", messageId=LONG_ID))
        await mixpanel.one(identify(None, {"plan": "free"}, anonymousId="visitor-1"))
        await mixpanel.one(identify("u1", {"first_name": "Cool", "last_name": "Person"}, anonymousId="visitor-1"))
        await mixpanel.one(track("u1", "Order Completed", {"products": [{"sku": "a"}, {"sku": "b"}]}, messageId="m2"))
        await mixpanel.one({"type": "group", "groupId": "g1", "traits": {"name": "Acme"}})
        await mixpanel.one({"type": "alias", "userId": "u1", "previousId": "old"})
        await mixpanel.one({"type": "page", "name": "Pricing", "userId": "u1", "messageId": "m3"})
    assert [key[0] for key in api.events] == [
        "Viewed",
        "Order Completed",
        "Product Purchased",
        "Product Purchased",
        "Viewed Pricing",
    ]
    assert api.profiles == {
        "visitor-1": {"plan": "free"},
        "u1": {"$first_name": "Cool", "$last_name": "Person", "$name": "Cool Person"},
    }
    assert api.linked == {("u1", "visitor-1"), ("u1", "old")}
    assert api.groups == {("$group_id", "g1"): {"$name": "Acme"}}


async def test_a_batch_with_bad_events_delivers_the_good_ones_and_names_the_bad() -> None:
    api = IngestionApi()
    many = {f"p{number}": number for number in range(255)}
    async with api.running() as send:
        outcomes = await sender("mixpanel", send).many(
            [
                track("u1", "good", messageId="m1"),
                track("anonymous", "bad id", messageId="m2"),
                track("u1", "too old", messageId="m3", timestamp="1970-01-02T00:00:00Z"),
                track("u1", "too wide", many, messageId="m4"),
                track(None, "of nobody", messageId="m5"),
            ]
        )
    assert [outcome is None for outcome in outcomes] == [True, False, False, False, True]
    assert "distinct_id" in str(outcomes[1])
    assert "properties.time" in str(outcomes[2])
    assert [key[0] for key in api.events] == ["good", "of nobody"]


async def test_an_event_whose_answer_was_lost_is_counted_once_when_it_is_sent_again() -> None:
    api = IngestionApi()
    api.faults.append(Fault(is_carried_out=True, is_reset=True))
    order = track("u1", "Order Completed", {"products": [{"sku": "a"}]}, messageId=LONG_ID)
    async with api.running() as send:
        mixpanel = sender("mixpanel", send)
        with pytest.raises(Unreachable):
            await mixpanel.one(order)
        await mixpanel.one(order)
    assert len(api.events) == 2  # the order and its product


async def test_a_batch_too_large_for_the_vendor_goes_through_item_by_item() -> None:
    api = IngestionApi()
    api.faults.append(Fault(413, body={"code": 413, "error": "request exceeds max limit"}))
    async with api.running() as send:
        outcomes = await sender("mixpanel", send).many(
            [track("u1", "a", messageId="1-a"), track("u1", "b", messageId="b")]
        )
    assert outcomes == [None, None]
    assert api.paths() == ["POST /import?strict=1"] * 3


async def test_profiles_of_many_people_go_in_one_request() -> None:
    api = IngestionApi()
    async with api.running() as send:
        outcomes = await sender("mixpanel", send).many([identify(f"u{n}", {"n": n}) for n in range(1_000)])
    assert outcomes == [None] * 1_000
    assert api.paths() == ["POST /engage?ip=0&strict=1"]
    assert len(api.profiles) == 1_000


async def test_a_wrong_token_is_a_refusal_of_the_record_and_wrong_credentials_fail_the_test() -> None:
    api = IngestionApi()
    async with api.running() as send:
        wrong = sender("mixpanel", send, projectToken="wrong", apiSecret="wrong")
        with pytest.raises(AuthenticationFailed):
            await wrong.test()
        with pytest.raises(HttpError, match="401"):
            await wrong.one(track("u1", "x", messageId="m"))
        with pytest.raises(Exception, match=r"\$token"):
            await wrong.one(identify("u1", {"plan": "x"}))
        await sender("mixpanel", send).test()
        await sender("mixpanel", send, apiSecret="").test()
    assert not api.events


async def test_failures_of_the_vendor_are_told_by_their_status() -> None:
    api = IngestionApi()
    api.faults.extend([Fault(429, body={"code": 429}), Fault(502)])
    async with api.running() as send:
        mixpanel = sender("mixpanel", send)
        with pytest.raises(HttpError, match="429"):
            await mixpanel.many([track("u1", "a"), track("u1", "b")])
        with pytest.raises(HttpError, match="502"):
            await mixpanel.one(track("u1", "a"))


async def test_a_persons_deletion_removes_the_profiles() -> None:
    api = IngestionApi()
    async with api.running() as send:
        mixpanel = sender("mixpanel", send)
        await mixpanel.many(
            [identify("u1", {"a": 1}), identify(None, {"a": 1}, anonymousId="visitor-1"), identify("u2", {"a": 1})]
        )
        await mixpanel.delete("u1", "visitor-1")
    assert set(api.profiles) == {"u2"}
