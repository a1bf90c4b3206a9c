"""Customer.io Journeys against a local stand-in of its Track API."""

import pytest

from tabard.destinations.kit.errors import AuthenticationFailed, Filtered, HttpError, Unreachable
from tests.integration.destinations.sending import identify, sender, track
from tests.integration.destinations.vendors.customerio import TrackApi
from tests.integration.destinations.vendors.stand_in import TIMEOUT_S, Fault
from tests.unit.destinations.catalog.bench import bench


async def test_an_anonymous_visitor_who_identifies_later_keeps_the_events() -> None:
    api = TrackApi()
    async with api.running() as send:
        journeys = sender("customerio", send)
        await journeys.one(track(None, "Viewed", anonymousId="anon", messageId="m1"))
        with pytest.raises(Filtered):
            await journeys.one(identify(None, {"plan": "free"}, anonymousId="anon"))
        assert api.events == [("anon", "Viewed")]
        await journeys.one(identify("u1", {"email": "a@b.co"}, anonymousId="anon"))
    assert api.events == [("u1", "Viewed")]
    assert api.people == {"u1": {"email": "a@b.co", "anonymous_id": "anon"}}


async def test_a_life_of_a_person_with_device_object_and_farewell() -> None:
    api = TrackApi()
    phone = {"device": {"token": "T", "type": "ios"}}
    async with api.running() as send:
        journeys = sender("customerio", send)
        await journeys.one(identify("lead@example.com", {"firstName": "Cool", "lastName": "Person"}))
        await journeys.one({"type": "alias", "userId": "u1", "previousId": "lead@example.com"})
        assert api.people == {
            "u1": {"firstName": "Cool", "lastName": "Person", "name": "Cool Person", "email": "lead@example.com"}
        }
        await journeys.one(track("u1", "Application Opened", context=phone))
        await journeys.one({"type": "group", "userId": "u1", "groupId": "acme", "traits": {"name": "Acme"}})
        assert (api.devices, api.objects, api.relationships) == (
            {"u1": {"T"}},
            {"acme": {"name": "Acme"}},
            {("acme", "u1")},
        )
        await journeys.one(track("u1", "Device Deleted", context=phone))
        await journeys.one(track("u1", "Relationship Deleted", {"objectId": "acme"}))
        await journeys.one(track("u1", "Object Deleted", {"objectId": "acme"}))
        assert (api.devices, api.objects, api.relationships) == ({"u1": set()}, {}, set())
        await journeys.one(track("u1", "User Suppressed"))
        await journeys.one(identify("u1", {"plan": "pro"}))
        assert api.people == {}
        await journeys.one(track("u1", "User Unsuppressed"))
        await journeys.one(identify("u1", {"plan": "pro"}))
        await journeys.one({"type": "page", "userId": "u1", "properties": {"url": "https://a.b"}})
        await journeys.one({"type": "screen", "userId": "u1", "name": "Home", "properties": {}})
        await journeys.one(track("u1", "Report Delivery Event", {"deliveryId": "D", "metric": "opened"}))
        await journeys.one(track(None, "Report Content Event", {"actionType": "viewed_content"}, anonymousId="anon"))
        assert api.people == {"u1": {"plan": "pro"}}
        assert api.events == [("u1", "https://a.b"), ("u1", "Home"), ("anon", "viewed_content")]
        assert api.metrics[0]["metric"] == "opened"
        await journeys.delete("u1", "anon", "a@b.co")
    assert api.people == {}


async def test_a_batch_with_bad_items_delivers_the_good_ones_and_names_the_bad() -> None:
    api = TrackApi()
    many = {f"a{number}": number for number in range(301)}
    async with api.running() as send:
        outcomes = await sender("customerio", send).many(
            [
                identify("good", {"plan": "pro"}),
                identify("many", many),
                identify(None, anonymousId="anon"),
                identify("long", {"bio": "x" * 1_001}),
                identify("huge", {"bio": "x" * 40_000}),
                identify("also-good"),
            ]
        )
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "NoneType",
        "Rejected",
        "Filtered",
        "Rejected",
        "PayloadInvalid",
        "NoneType",
    ]
    assert "300 attributes" in str(outcomes[1])
    assert "1000 bytes" in str(outcomes[3])
    assert api.paths() == ["POST /api/v2/batch"]
    assert set(api.people) == {"good", "also-good"}


async def test_the_largest_batch_delivery_makes_is_within_the_vendors_limit() -> None:
    api = TrackApi()
    action = bench("customerio").destination.action("createUpdatePerson")
    bio = {f"p{number}": "x" * 900 for number in range(action.batch_bytes // action.batch_size // 930)}
    async with api.running() as send:
        outcomes = await sender("customerio", send).many(
            [identify(f"u{number}", bio) for number in range(action.batch_size)]
        )
    assert outcomes == [None] * action.batch_size
    assert api.paths() == ["POST /api/v2/batch"]


async def test_a_batch_that_is_refused_as_a_whole_finds_the_bad_item_by_itself() -> None:
    api = TrackApi()
    api.faults.append(Fault(400, body={"errors": [{"reason": "parse error"}]}))
    long_name = "x" * 151
    async with api.running() as send:
        outcomes = await sender("customerio", send).many([identify("a"), identify("b", {long_name: 1}), identify("c")])
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert set(api.people) == {"a", "c"}


async def test_an_event_whose_answer_was_lost_is_counted_once_when_it_is_sent_again() -> None:
    api = TrackApi()
    api.faults.append(Fault(is_carried_out=True, is_reset=True))
    event = track("u1", "Bought", messageId="m1")
    async with api.running() as send:
        journeys = sender("customerio", send)
        with pytest.raises(Unreachable):
            await journeys.one(event)
        await journeys.one(event)
    assert api.events == [("u1", "Bought")]


async def test_failures_of_the_vendor_are_told_apart() -> None:
    api = TrackApi()
    api.faults.extend([Fault(429, {"Retry-After": "7"}), Fault(503), Fault(hangs_s=TIMEOUT_S * 2)])
    async with api.running() as send:
        journeys = sender("customerio", send)
        with pytest.raises(HttpError) as busy:
            await journeys.one(identify("u1"))
        assert (busy.value.status, busy.value.retry_after) == (429, "7")
        with pytest.raises(HttpError, match="503"):
            await journeys.many([identify("u1"), identify("u2")])
        with pytest.raises(Unreachable):
            await journeys.one(identify("u1"))
        with pytest.raises(HttpError, match="platform"):
            await journeys.one(
                track("u1", "Device Created or Updated", context={"device": {"token": "T", "type": "web"}})
            )
    assert api.people == {}


async def test_credentials_count_in_their_own_region_only() -> None:
    api = TrackApi("eu")
    async with api.running() as send:
        await sender("customerio", send, accountRegion="eu").test()
        with pytest.raises(AuthenticationFailed):
            await sender("customerio", send, accountRegion="us").test()
        with pytest.raises(AuthenticationFailed):
            await sender("customerio", send, accountRegion="eu", apiKey="wrong").test()
        with pytest.raises(HttpError, match="401"):
            await sender("customerio", send, apiKey="wrong").one(identify("u1"))
