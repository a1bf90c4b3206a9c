"""Customer.io Journeys: what goes to the Track API for each call, by the page and the vendor's documents."""

import base64
from typing import Any

import pytest

from tabard.destinations.catalog.customerio.track_api import ITEM_BYTES_MAX
from tabard.destinations.kit.destination import Subject
from tabard.destinations.kit.errors import AuthenticationFailed, Filtered, HttpError, PayloadInvalid, Rejected
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tests.unit.destinations.catalog.bench import answer, bench

JOURNEYS = bench("customerio")
AT = "2024-03-05T10:20:30.123Z"
AT_S = 1709634030


def identify(traits: dict[str, Any], **call: Any) -> dict[str, Any]:
    return {"type": "identify", "messageId": "m1", "timestamp": AT, "userId": "u1", "traits": traits, **call}


def track(event: str, properties: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    who = {"userId": "u1"} if "userId" not in call and "anonymousId" not in call else {}
    return (
        {"type": "track", "messageId": "m1", "timestamp": AT, "event": event, "properties": properties or {}}
        | who
        | call
    )


async def test_requests_are_signed_with_site_id_and_api_key_and_go_to_the_accounts_region() -> None:
    for region, host in (("us", "https://track.customer.io"), ("eu", "https://track-eu.customer.io")):
        [request] = (await bench("customerio", accountRegion=region).preview(identify({}))).requests
        assert (request.method, request.url) == ("POST", f"{host}/api/v2/entity")
        assert request.headers["authorization"] == "Basic " + base64.b64encode(b"site:key").decode()
        assert request.headers["content-type"] == "application/json"


async def test_an_identify_creates_or_updates_the_person_with_all_traits() -> None:
    body = await JOURNEYS.body(identify({"email": "a@b.co", "plan": "pro"}, anonymousId="anon"))
    assert body == {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": "u1"},
        "timestamp": AT_S,
        "attributes": {"email": "a@b.co", "plan": "pro", "anonymous_id": "anon"},
    }


@pytest.mark.parametrize("key", ["createdAt", "created_at"])
@pytest.mark.parametrize(
    "given", ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", 1700000000, 1700000000000, "1700000000"]
)
async def test_created_at_goes_out_once_as_epoch_seconds_whatever_its_spelling_and_form(key: str, given: Any) -> None:
    attributes = (await JOURNEYS.body(identify({key: given})))["attributes"]
    assert attributes == {"created_at": 1700000000}


async def test_a_created_at_that_is_no_date_does_not_hold_the_person_back() -> None:
    assert (await JOURNEYS.body(identify({"createdAt": "yesterday"})))["attributes"] == {"created_at": "yesterday"}


async def test_iso_dates_become_seconds_also_inside_objects_but_not_in_lists_and_digits_stay() -> None:
    traits = {
        "birthday": "1990-05-17",
        "trial": {"ends": "2024-03-05T10:20:30Z"},
        "visits": ["2024-03-05"],
        "code": "1700000000",
        "note": "2024-03-05 is a date",
    }
    attributes = (await JOURNEYS.body(identify(traits)))["attributes"]
    assert attributes == traits | {"birthday": 642902400, "trial": {"ends": AT_S}}


async def test_a_birthday_in_epoch_milliseconds_becomes_seconds() -> None:
    assert (await JOURNEYS.body(identify({"birthday": 642902400000})))["attributes"] == {"birthday": 642902400}


@pytest.mark.parametrize(
    "traits", [{"firstName": "Cool", "lastName": "Person"}, {"first_name": "Cool", "last_name": "Person"}]
)
async def test_the_full_name_is_filled_in_and_its_parts_stay_as_they_came(traits: dict[str, Any]) -> None:
    assert (await JOURNEYS.body(identify(traits)))["attributes"] == traits | {"name": "Cool Person"}


async def test_an_email_as_user_id_identifies_by_email_and_is_set_as_the_attribute() -> None:
    body = await JOURNEYS.body(identify({"plan": "pro"}, userId="cool@example.com"))
    assert body["identifiers"] == {"email": "cool@example.com"}
    assert body["attributes"] == {"plan": "pro", "email": "cool@example.com"}


@pytest.mark.parametrize("user_id", ["", None])
async def test_with_an_empty_user_id_the_email_trait_identifies(user_id: str | None) -> None:
    body = await JOURNEYS.body(identify({"email": "a@b.co"}, userId=user_id, anonymousId="anon"))
    assert body["identifiers"] == {"email": "a@b.co"}
    assert body["attributes"]["anonymous_id"] == "anon"


async def test_an_id_that_begins_with_cio_is_a_cio_id() -> None:
    assert (await JOURNEYS.body(identify({}, userId="cio_abc")))["identifiers"] == {"cio_id": "abc"}


async def test_anonymous_identify_calls_are_ignored() -> None:
    call = identify({"subscriptionStatus": "inactive"}, userId=None, anonymousId="anon")
    assert await JOURNEYS.refusal(call) == (
        "filtered: Journeys ignores anonymous identify calls: there is neither a userId nor an e-mail address"
    )


async def test_a_person_is_related_to_the_object_its_traits_name() -> None:
    traits = {"objectId": "acme", "object_type_id": 2, "relationshipAttributes": {"since": "2024-03-05"}}
    body = await JOURNEYS.body(identify(traits))
    assert body["cio_relationships"] == [
        {
            "identifiers": {"object_type_id": "2", "object_id": "acme"},
            "relationship_attributes": {"since": 1709596800},
        }
    ]
    assert body["attributes"] == {"objectId": "acme"}


async def test_a_null_trait_is_passed_on_as_null() -> None:
    assert (await JOURNEYS.body(identify({"plan": None})))["attributes"] == {"plan": None}


async def test_an_event_carries_its_name_id_time_and_properties() -> None:
    body = await JOURNEYS.body(track(" Order Completed ", {"total": 5, "at": AT}))
    assert body == {
        "type": "person",
        "action": "event",
        "identifiers": {"id": "u1"},
        "name": "Order Completed",
        "id": "m1",
        "timestamp": AT_S,
        "attributes": {"total": 5, "at": AT_S},
    }


async def test_an_event_of_nobody_known_is_an_anonymous_event() -> None:
    assert (await JOURNEYS.body(track("Viewed", anonymousId="anon")))["identifiers"] == {"anonymous_id": "anon"}


async def test_an_event_of_a_known_person_names_the_person_only() -> None:
    body = await JOURNEYS.body(track("Viewed", anonymousId="anon", userId="a@b.co"))
    assert body["identifiers"] == {"email": "a@b.co"}
    assert body["attributes"] == {}


async def test_an_event_that_names_no_person_is_left_out_and_a_blank_name_is_refused() -> None:
    assert "names no person" in await JOURNEYS.refusal(track("Viewed", userId=None, groupId="g"))
    assert await JOURNEYS.refusal(track("  ")) == "invalid name: is blank"


async def test_pages_are_named_by_url_and_screens_by_name() -> None:
    page = {"type": "page", "userId": "u1", "properties": {"url": "https://a.b/c"}, "timestamp": AT}
    body = await JOURNEYS.body(page)
    assert (body["action"], body["name"]) == ("page", "https://a.b/c")
    body = await JOURNEYS.body(page | {"properties": {}, "context": {"page": {"url": "https://a.b/d"}}})
    assert body["name"] == "https://a.b/d"
    assert (await JOURNEYS.body(page | {"properties": {}, "name": "Pricing"}))["name"] == "Pricing"
    body = await JOURNEYS.body({"type": "screen", "userId": "u1", "name": "Home", "properties": {"x": 1}})
    assert (body["action"], body["name"], body["attributes"]) == ("screen", "Home", {"x": 1})


DEVICE = {"device": {"token": "T", "type": "iOS"}, "app": {"version": "1.2"}}


@pytest.mark.parametrize("event", ["Device Created or Updated", "Application Installed", "Application Opened"])
async def test_a_device_is_added_with_the_properties_as_its_attributes(event: str) -> None:
    body = await JOURNEYS.body(track(event, {"color": "red"}, context=DEVICE))
    assert body == {
        "type": "person",
        "action": "add_device",
        "identifiers": {"id": "u1"},
        "device": {
            "token": "T",
            "platform": "ios",
            "last_used": AT_S,
            "attributes": {"color": "red", "app_version": "1.2"},
        },
    }


async def test_a_device_of_another_apple_platform_gets_its_pushes_as_ios() -> None:
    body = await JOURNEYS.body(track("Device Created or Updated", context={"device": {"token": "T", "type": "iPadOS"}}))
    assert body["device"]["platform"] == "ios"


async def test_a_device_among_the_properties_is_found_as_well() -> None:
    body = await JOURNEYS.body(track("Device Created or Updated", {"device": {"token": "T", "type": "android"}}))
    assert body["device"] == {"token": "T", "platform": "android", "last_used": AT_S}


@pytest.mark.parametrize("event", ["Device Deleted", "Application Uninstalled"])
async def test_a_device_is_deleted(event: str) -> None:
    body = await JOURNEYS.body(track(event, context=DEVICE))
    assert (body["action"], body["device"]) == ("delete_device", {"token": "T"})


async def test_an_app_that_starts_without_a_push_token_is_an_ordinary_event() -> None:
    body = await JOURNEYS.body(track("Application Opened", context={"device": {"type": "ios"}}))
    assert (body["action"], body["name"]) == ("event", "Application Opened")


async def test_a_device_event_without_a_token_is_refused_with_the_field() -> None:
    call = track("Device Created or Updated", context={"device": {"type": "ios"}})
    assert await JOURNEYS.refusal(call) == "invalid device_id: is required"


@pytest.mark.parametrize(
    ("event", "action"),
    [
        ("User Deleted", "delete"),
        ("Delete Person", "delete"),
        ("User Suppressed", "suppress"),
        ("Suppress Person", "suppress"),
        ("User Unsuppressed", "unsuppress"),
        ("Unsuppress Person", "unsuppress"),
    ],
)
async def test_semantic_events_act_on_the_person(event: str, action: str) -> None:
    body = await JOURNEYS.body(track(event, userId="a@b.co"))
    assert body == {"type": "person", "action": action, "identifiers": {"email": "a@b.co"}}


@pytest.mark.parametrize(
    ("event", "action"),
    [
        ("Create or Update Device", "add_device"),
        ("Delete Device", "delete_device"),
        ("Delete Object", "delete"),
        ("Delete Relationship", "delete_relationships"),
    ],
)
async def test_the_titles_of_semantic_events_are_taken_for_their_names(event: str, action: str) -> None:
    call = track(event, {"objectId": "acme"}, context={"device": {"token": "T", "type": "ios"}})
    assert (await JOURNEYS.body(call))["action"] == action


async def test_an_identify_with_a_stray_event_name_is_still_an_identify() -> None:
    assert (await JOURNEYS.body(identify({}, event="User Deleted")))["action"] == "identify"


async def test_an_alias_merges_the_previous_person_into_the_user() -> None:
    call = {"type": "alias", "userId": "u1", "previousId": "lead@example.com"}
    assert await JOURNEYS.body(call) == {
        "type": "person",
        "action": "merge",
        "primary": {"id": "u1"},
        "secondary": {"email": "lead@example.com"},
    }
    assert "is the same person" in await JOURNEYS.refusal({"type": "alias", "userId": "u1", "previousId": "u1"})


async def test_a_group_saves_its_flat_traits_as_an_object_and_relates_the_person() -> None:
    traits = {
        "name": "Acme",
        "createdAt": "2023-11-14T22:13:20Z",
        "objectTypeId": "2",
        "relationshipAttributes": {"role": "admin"},
        "objectAttributes": {"seats": 5},
    }
    body = await JOURNEYS.body({"type": "group", "groupId": "g1", "userId": "u1", "anonymousId": "a", "traits": traits})
    assert body == {
        "type": "object",
        "action": "identify",
        "identifiers": {"object_type_id": "2", "object_id": "g1"},
        "attributes": {"name": "Acme", "seats": 5, "created_at": 1700000000},
        "cio_relationships": [{"identifiers": {"id": "u1"}, "relationship_attributes": {"role": "admin"}}],
    }


async def test_a_group_of_an_anonymous_person_is_related_to_the_anonymous_id() -> None:
    body = await JOURNEYS.body({"type": "group", "groupId": "g1", "anonymousId": "a", "traits": {}})
    assert (body["action"], body["identifiers"]["object_type_id"]) == ("identify_anonymous", "1")
    assert body["cio_relationships"] == [{"identifiers": {"anonymous_id": "a"}}]


async def test_a_group_without_a_person_is_the_object_alone() -> None:
    body = await JOURNEYS.body({"type": "group", "groupId": "g1", "traits": {"name": "Acme"}})
    assert (body["action"], "cio_relationships" in body) == ("identify", False)


async def test_objects_and_relationships_are_deleted_by_their_events() -> None:
    body = await JOURNEYS.body(track("Object Deleted", {"objectId": "acme"}, anonymousId="x"))
    assert body == {
        "type": "object",
        "action": "delete",
        "identifiers": {"object_type_id": "1", "object_id": "acme"},
    }
    body = await JOURNEYS.body(track("Relationship Deleted", {"objectId": "acme", "objectTypeId": 3}))
    assert body == {
        "type": "object",
        "action": "delete_relationships",
        "identifiers": {"object_type_id": "3", "object_id": "acme"},
        "cio_relationships": [{"identifiers": {"id": "u1"}}],
    }
    refusal = await JOURNEYS.refusal(track("Relationship Deleted", {"objectId": "acme"}, userId=None))
    assert refusal == "invalid person_id: is required where there is no anonymous id"


async def test_a_delivery_event_is_reported_to_the_metrics_endpoint() -> None:
    properties = {"deliveryId": "D", "metric": "clicked", "href": "https://a.b", "actionName": "buy"}
    [request] = (await JOURNEYS.preview(track("Report Delivery Event", properties, userId=None))).requests
    assert request.url == "https://track.customer.io/api/v1/metrics"
    assert await JOURNEYS.body(track("Report Delivery Event", properties, userId=None)) == {
        "delivery_id": "D",
        "metric": "clicked",
        "timestamp": AT_S,
        "href": "https://a.b",
        "metadata": {"action_name": "buy"},
    }
    refusal = await JOURNEYS.refusal(track("Report Delivery Event", {"deliveryId": "D", "metric": "seen"}))
    assert refusal.startswith("invalid metric: should be one of delivered, opened")


async def test_a_content_event_is_reported_for_the_anonymous_person() -> None:
    properties = {"actionType": "viewed_content", "contentId": 1}
    assert await JOURNEYS.body(track("Report Content Event", properties, anonymousId="a")) == {
        "type": "person",
        "action": "viewed_content",
        "identifiers": {"anonymous_id": "a"},
        "name": "viewed_content",
        "timestamp": AT_S,
        "attributes": {"contentId": 1},
    }


async def test_all_fifteen_default_actions_have_a_preset() -> None:
    actions = [action.slug for action in JOURNEYS.destination.actions]
    assert len(actions) == 15
    assert sorted(preset.action for preset in JOURNEYS.destination.presets) == sorted(actions)


async def test_an_entity_beyond_32_kb_is_refused_before_it_is_sent() -> None:
    refusal = await JOURNEYS.refusal(identify({"long": "x" * ITEM_BYTES_MAX}))
    assert refusal.startswith("invalid: is 32")


async def test_a_batch_is_one_request_and_each_refused_item_has_its_own_outcome() -> None:
    calls = [identify({}, userId="a"), identify({}, userId=None), identify({}, userId="b"), identify({}, userId="c")]
    errors = {"errors": [{"batch_index": 1, "reason": "invalid", "field": "attributes", "message": "too many"}]}
    outcomes, [request] = await JOURNEYS.batch(calls, [answer(207, errors)])
    assert request.url.endswith("/api/v2/batch")
    assert request.body.count(b'"type":"person"') == 3
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Filtered)
    assert isinstance(outcomes[2], Rejected)
    assert outcomes[2].reason == "attributes: invalid: too many"
    assert outcomes[3] is None


async def test_nothing_is_sent_for_a_batch_in_which_nothing_is_left() -> None:
    outcomes, requests = await JOURNEYS.batch([identify({}, userId=None)] * 2, [])
    assert [type(outcome) for outcome in outcomes] == [Filtered, Filtered]
    assert not requests


@pytest.mark.parametrize("status", [400, 413, 207])
async def test_a_batch_refused_without_naming_the_items_is_sent_again_item_by_item(status: int) -> None:
    answers = [answer(status, {"errors": [{"reason": "parse error"}]}), answer(200, {}), answer(400, {"errors": []})]
    outcomes, requests = await JOURNEYS.batch([identify({}, userId="a"), identify({}, userId="b")], answers)
    assert [request.url[-6:] for request in requests] == ["/batch", "/batch", "/batch"]
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Rejected)


async def test_a_busy_answer_to_a_batch_holds_for_all_of_it() -> None:
    with pytest.raises(HttpError) as raised:
        await JOURNEYS.batch([identify({}), identify({})], [answer(429, None, retry_after="7")])
    assert (raised.value.status, raised.value.retry_after) == (429, "7")


async def test_credentials_are_checked_at_the_regions_own_auth_endpoint() -> None:
    asked: list[str] = []

    async def send(request: HttpRequest, /) -> HttpResponse:
        asked.append(f"{request.method} {request.url} {request.headers['authorization'][:6]}")
        return answer(401)

    assert JOURNEYS.destination.test is not None
    with pytest.raises(AuthenticationFailed):
        await JOURNEYS.destination.test(send, bench("customerio", accountRegion="eu").settings)
    assert asked == ["GET https://track-eu.customer.io/auth Basic "]


async def test_a_persons_deletion_goes_by_id_and_by_email_address() -> None:
    asked: list[bytes] = []

    async def send(request: HttpRequest, /) -> HttpResponse:
        asked.append(request.body)
        return answer(200, {})

    assert JOURNEYS.destination.on_delete is not None
    await JOURNEYS.destination.on_delete(send, JOURNEYS.settings, Subject("u1", "anon", "a@b.co"))
    assert [b'"id":"u1"' in asked[0], b'"email":"a@b.co"' in asked[1], len(asked)] == [True, True, 2]
    await JOURNEYS.destination.on_delete(send, JOURNEYS.settings, Subject(anonymous_id="anon"))
    assert len(asked) == 2


async def test_a_single_refusal_is_raised_with_its_status_and_reason() -> None:
    with pytest.raises(HttpError, match=r"400: .*no such attribute"):
        await JOURNEYS.single(identify({}), [answer(400, {"errors": [{"message": "no such attribute"}]})])
    with pytest.raises(PayloadInvalid):
        await JOURNEYS.single(identify({"long": "x" * ITEM_BYTES_MAX}), [])
