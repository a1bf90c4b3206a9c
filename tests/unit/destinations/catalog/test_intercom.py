"""Intercom: what goes to the REST API for each call, by the page and the vendor's documents."""

import json
from typing import Any

import pytest

from tabard.destinations.catalog.intercom.attributes import CREATED_MAX, flat_attributes
from tabard.destinations.kit.errors import HttpError, Rejected, Retryable
from tabard.destinations.kit.plan import compile_subscription
from tabard.destinations.kit.request import HttpRequest
from tabard.destinations.preview import preview, requests_as_json
from tests.unit.destinations.catalog.bench import NOW, answer, bench

INTERCOM = bench("intercom")
AT = "2024-03-05T10:20:30.123Z"
AT_S = 1709634030

NOBODY = answer(200, {"type": "list", "total_count": 0, "data": []})
SOMEBODY = answer(200, {"type": "list", "total_count": 1, "data": [{"id": "c1", "external_id": "u1"}]})
SAVED = answer(200, {"type": "contact", "id": "c1"})


def identify(traits: dict[str, Any], **call: Any) -> dict[str, Any]:
    return {"type": "identify", "messageId": "m", "timestamp": AT, "userId": "u1", "traits": traits} | call


def track(properties: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    said = {"event": "Order Completed", "properties": properties or {}}
    return {"type": "track", "timestamp": AT, "userId": "u1"} | said | call


def shown(requests: list[HttpRequest]) -> list[str]:
    return [f"{request.method} {request.url.removeprefix('https://api.intercom.io')}" for request in requests]


async def test_requests_carry_the_token_and_the_api_version_and_go_to_the_region() -> None:
    for region, host in (("us", "api.intercom.io"), ("eu", "api.eu.intercom.io"), ("au", "api.au.intercom.io")):
        [request] = (await bench("intercom", region=region).preview(track())).requests
        assert (request.method, request.url) == ("POST", f"https://{host}/events")
        assert request.headers == {
            "content-type": "application/json",
            "authorization": "Bearer token",
            "accept": "application/json",
            "intercom-version": "2.14",
        }


@pytest.mark.parametrize(
    "spelled",
    [
        {"firstName": "Cool", "lastName": "Person", "createdAt": "2023-11-14T22:13:20Z"},
        {"first_name": "Cool", "last_name": "Person", "created_at": 1700000000000},
    ],
)
async def test_a_plain_identify_looks_for_the_contact_and_creates_it_with_intercoms_names(spelled: Any) -> None:
    traits = {**spelled, "email": "a@b.co", "phone": "+1", "avatar": "https://a.b/a.png", "plan": "pro", "id": "u1"}
    search, created = await INTERCOM.bodies(identify(traits))
    assert search == {"query": {"field": "external_id", "operator": "=", "value": "u1"}}
    assert created == {
        "role": "user",
        "external_id": "u1",
        "email": "a@b.co",
        "phone": "+1",
        "name": "Cool Person",
        "avatar": "https://a.b/a.png",
        "signed_up_at": 1700000000,
        "last_seen_at": AT_S,
        "custom_attributes": {"plan": "pro"},
    }


async def test_a_contact_that_is_found_is_updated() -> None:
    requests = await INTERCOM.single(identify({"name": "Cool"}), [SOMEBODY, SAVED])
    assert shown(requests) == ["POST /contacts/search", "PUT /contacts/c1"]


async def test_an_email_as_user_id_is_looked_for_and_saved_as_the_email() -> None:
    search, created = await INTERCOM.bodies(identify({}, userId="cool@example.com"))
    assert search["query"] == {"field": "email", "operator": "=", "value": "cool@example.com"}
    assert created == {"role": "user", "email": "cool@example.com", "last_seen_at": AT_S}


async def test_with_an_empty_user_id_the_email_trait_identifies_and_with_neither_the_call_is_left_out() -> None:
    _, created = await INTERCOM.bodies(identify({"email": "a@b.co"}, userId="", anonymousId="anon"))
    assert (created["email"], "external_id" in created) == ("a@b.co", False)
    refusal = await INTERCOM.refusal(identify({"plan": "x"}, userId=None, anonymousId="anon"))
    assert refusal.startswith("filtered: Intercom knows users by a userId or an e-mail address")


async def test_an_email_as_user_id_finds_the_person_whose_email_is_another_by_now() -> None:
    search, created = await INTERCOM.bodies(identify({"email": "new@example.com"}, userId="cool@example.com"))
    assert (search["query"]["value"], created["email"]) == ("cool@example.com", "new@example.com")
    event = await INTERCOM.body(track({"email": "other@example.com"}, userId="cool@example.com"))
    assert event["email"] == "cool@example.com"


async def test_a_lead_is_found_and_saved_by_email_address_alone() -> None:
    mapping = INTERCOM.destination.action("identifyContact").default_mapping() | {"role": "lead"}
    leads = compile_subscription(
        INTERCOM.destination, action="identifyContact", subscribe='type = "identify"', mapping=mapping
    )

    async def shown_for(call: dict[str, Any]) -> Any:
        return (await preview(INTERCOM.destination, INTERCOM.settings, [leads], call, NOW))[0]

    search, created = requests_as_json([await shown_for(identify({"email": "a@b.co"}))])
    assert json.loads(search["body"])["query"]["field"] == "email"
    assert "external_id" not in json.loads(created["body"])
    assert [refusal.kind for refusal in (await shown_for(identify({}))).refusals] == ["filtered"]


@pytest.mark.parametrize("odd", ["yesterday", {"year": 2020}, [1, 2]])
async def test_a_signup_date_or_a_name_that_is_none_does_not_hold_the_contact_back(odd: Any) -> None:
    _, created = await INTERCOM.bodies(identify({"createdAt": odd, "name": {"first": "Ann"}}))
    assert not {"signed_up_at", "name"} & set(created)


async def test_who_was_known_by_email_only_keeps_the_contact_when_they_get_an_id() -> None:
    conflict = answer(409, {"errors": [{"code": "conflict", "message": "already exists with id=5da6f18e"}]})
    known = answer(200, {"type": "contact", "id": "5da6f18e", "email": "a@b.co", "external_id": None})
    requests = await INTERCOM.single(identify({"email": "a@b.co"}), [NOBODY, conflict, known, SAVED])
    assert shown(requests) == [
        "POST /contacts/search",
        "POST /contacts",
        "GET /contacts/5da6f18e",
        "PUT /contacts/5da6f18e",
    ]
    assert json.loads(requests[3].body)["external_id"] == "u1"


async def test_an_email_that_belongs_to_somebody_else_is_rejected_and_changes_nobody() -> None:
    conflict = answer(409, {"errors": [{"message": "already exists with id=5da6f18e"}]})
    other = answer(200, {"id": "5da6f18e", "external_id": "somebody-else"})
    with pytest.raises(Rejected, match="another external id"):
        await INTERCOM.single(identify({"email": "a@b.co"}), [NOBODY, conflict, other])


async def test_a_conflict_that_names_nobody_is_tried_again() -> None:
    with pytest.raises(Retryable):
        await INTERCOM.single(identify({}), [NOBODY, answer(409, {"errors": [{"message": "conflict"}]})])


async def test_several_contacts_with_one_email_are_told_apart_or_rejected() -> None:
    both = [{"id": "c1", "external_id": "x"}, {"id": "c2", "external_id": None}]
    call = identify({}, userId="a@b.co")
    requests = await INTERCOM.single(call, [answer(200, {"data": both}), SAVED])
    assert shown(requests)[1] == "PUT /contacts/c2"
    with pytest.raises(Rejected, match="several contacts"):
        await INTERCOM.single(call, [answer(200, {"data": [both[0], both[0]]})])


def unknown(*names: str) -> Any:
    errors = [{"code": "parameter_invalid", "message": f"Custom attribute '{name}' does not exist"} for name in names]
    return answer(400, {"type": "error.list", "errors": errors})


async def test_a_custom_attribute_the_workspace_lacks_is_created_there() -> None:
    call = identify({"plan": "pro", "logins": 5, "vip": True, "trial_at": "2024-03-05", "score": 1.5})
    lacking = unknown("plan", "logins", "vip", "trial_at", "score")
    requests = await INTERCOM.single(call, [NOBODY, lacking, *[answer(200)] * 5, SAVED])
    assert shown(requests)[2:] == ["POST /data_attributes"] * 5 + ["POST /contacts"]
    assert [json.loads(request.body) for request in requests[2:7]] == [
        {"name": "plan", "model": "contact", "data_type": "string"},
        {"name": "logins", "model": "contact", "data_type": "integer"},
        {"name": "vip", "model": "contact", "data_type": "boolean"},
        {"name": "trial_at", "model": "contact", "data_type": "date"},
        {"name": "score", "model": "contact", "data_type": "float"},
    ]


async def test_one_that_cannot_be_created_is_left_out_so_that_the_contact_is_saved() -> None:
    refused = answer(400, {"errors": [{"message": "one of our standard attributes"}]})
    requests = await INTERCOM.single(identify({"city": "Prague"}), [NOBODY, unknown("city"), refused, SAVED])
    assert "custom_attributes" not in json.loads(requests[-1].body)
    still = [NOBODY, unknown("city"), answer(200), unknown("city"), SAVED]
    requests = await INTERCOM.single(identify({"city": "Prague"}), still)
    assert "custom_attributes" not in json.loads(requests[-1].body)


async def test_no_message_creates_more_than_a_few_attributes_and_none_without_a_value() -> None:
    traits: dict[str, Any] = {f"a{number}": number for number in range(CREATED_MAX + 5)}
    lacking = unknown(*traits, "gone")
    answers = [NOBODY, lacking, *[answer(200)] * CREATED_MAX, SAVED]
    requests = await INTERCOM.single(identify({**traits, "gone": None}), answers)
    assert len(json.loads(requests[-1].body)["custom_attributes"]) == CREATED_MAX


async def test_an_attribute_that_cannot_be_created_now_is_waited_for() -> None:
    with pytest.raises(HttpError, match="503"):
        await INTERCOM.single(identify({"plan": "x"}), [NOBODY, unknown("plan"), answer(503)])


async def test_an_answer_that_cannot_be_read_is_asked_for_again() -> None:
    with pytest.raises(Retryable):
        await INTERCOM.single(identify({}), [answer(200, "<html>")])
    with pytest.raises(Retryable):
        await INTERCOM.single(identify({}), [NOBODY, answer(200)])


async def test_any_other_refusal_is_the_messages_own() -> None:
    with pytest.raises(HttpError, match="400"):
        await INTERCOM.single(
            identify({"plan": "x"}), [NOBODY, answer(400, {"errors": [{"message": "email is invalid"}]})]
        )


def test_attributes_are_flat_of_simple_types_and_dates_by_their_name() -> None:
    traits = {
        "name": "no",
        "address": {"city": "Prague", "geo": {"lat": 1}},
        "tags": ["a", "b"],
        "mixed": [1, {"a": 2}],
        "renewal_at": "2024-03-05T10:20:30Z",
        "birthday": "1990-05-17",
        "gone": None,
    }
    assert flat_attributes(traits, frozenset({"name"})) == {
        "address_city": "Prague",
        "address_geo_lat": 1,
        "tags": "a, b",
        "mixed": '[1,{"a":2}]',
        "renewal_at": AT_S,
        "birthday": "1990-05-17",
        "gone": None,
    }


async def test_an_event_carries_price_and_metadata_and_names_its_person() -> None:
    properties = {"revenue": 19.99, "currency": "EUR", "email": "x@y.zz", "sku": "a", "items": [1], "due_date": AT}
    link = {"url": "https://a.b", "value": "order"}
    assert await INTERCOM.body(track(properties | {"link": link})) == {
        "event_name": "Order Completed",
        "created_at": AT_S,
        "user_id": "u1",
        "metadata": {
            "price": {"amount": 1999, "currency": "EUR"},
            "sku": "a",
            "items": "[1]",
            "due_date": AT_S,
            "link": link,
        },
    }


async def test_an_event_of_an_email_goes_to_the_user_of_that_address_or_else_to_the_lead() -> None:
    call = track(userId="a@b.co")
    assert (await INTERCOM.body(call))["email"] == "a@b.co"
    lead = answer(200, {"data": [{"id": "c9", "role": "lead"}]})
    requests = await INTERCOM.single(call, [answer(404, {"errors": []}), lead, answer(202)])
    assert shown(requests) == ["POST /events", "POST /contacts/search", "POST /events"]
    assert json.loads(requests[2].body)["id"] == "c9"
    with pytest.raises(HttpError, match="404"):
        await INTERCOM.single(call, [answer(404, {"errors": []}), NOBODY])


async def test_an_anonymous_event_is_left_out() -> None:
    assert "known people only" in await INTERCOM.refusal(track(userId=None, anonymousId="anon"))


async def test_a_group_saves_the_company_and_attaches_the_person() -> None:
    traits = {
        "name": "Acme",
        "employees": "120",
        "plan": "pro",
        "monthly_spend": 99.9,
        "created_at": "2023-11-14T22:13:20Z",
        "email": "office@acme.example",
        "tier": "gold",
    }
    company, search, contact, attached = await INTERCOM.bodies(
        {"type": "group", "groupId": "g1", "userId": "u1", "traits": traits}
    )
    assert company == {
        "company_id": "g1",
        "name": "Acme",
        "plan": "pro",
        "remote_created_at": 1700000000,
        "size": 120,
        "monthly_spend": 99,
        "custom_attributes": {"email": "office@acme.example", "tier": "gold"},
    }
    assert search["query"]["value"] == "u1"
    assert contact == {"role": "user", "external_id": "u1"}
    assert attached == {"id": "NEW_COMPANY"}


async def test_a_known_person_is_attached_without_being_written() -> None:
    call = {"type": "group", "groupId": "g1", "userId": "u1", "traits": {"name": "Acme"}}
    requests = await INTERCOM.single(call, [answer(200, {"id": "co1"}), SOMEBODY, answer(200)])
    assert shown(requests) == ["POST /companies", "POST /contacts/search", "POST /contacts/c1/companies"]
    assert json.loads(requests[2].body) == {"id": "co1"}


async def test_a_group_without_a_person_is_the_company_alone_and_an_odd_size_is_left_out() -> None:
    company = await INTERCOM.body({"type": "group", "groupId": "g1", "traits": {"employees": "100-200"}})
    assert company == {"company_id": "g1"}


async def test_a_used_up_rate_limit_is_waited_for_until_it_resets() -> None:
    reset = str(int(NOW.timestamp()) + 9)
    with pytest.raises(Retryable) as raised:
        await INTERCOM.single(track(), [answer(429, {}, x_ratelimit_reset=reset)])
    assert raised.value.retry_after_s == 9
    with pytest.raises(HttpError) as told:
        await INTERCOM.single(track(), [answer(429, {}, retry_after="3")])
    assert told.value.retry_after == "3"
