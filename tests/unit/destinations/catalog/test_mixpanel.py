"""Mixpanel: what goes to the Ingestion API for each call, by the page and the vendor's documents."""

import base64
from typing import Any

import pytest

from tabard.destinations.catalog.mixpanel.browser import browser_of
from tabard.destinations.catalog.mixpanel.events import insert_id
from tabard.destinations.catalog.mixpanel.ingestion import RECORDS_MAX
from tabard.destinations.kit.destination import Subject
from tabard.destinations.kit.errors import AuthenticationFailed, Filtered, HttpError, Rejected
from tabard.destinations.kit.plan import compile_subscription
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tabard.destinations.preview import preview, requests_as_json
from tests.unit.destinations.catalog.bench import NOW, answer, bench

MIXPANEL = bench("mixpanel")
AT = "2024-03-05T10:20:30.123Z"
AT_MS = 1709634030123
MESSAGE_ID = "13c0b661-f48b-51cd-ba54-97c5999169c0"


def identify(traits: dict[str, Any], **call: Any) -> dict[str, Any]:
    return {"type": "identify", "messageId": MESSAGE_ID, "timestamp": AT, "userId": "u1", "traits": traits} | call


def track(event: str = "Signed Up", properties: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    said = {"event": event, "properties": properties or {}}
    return {"type": "track", "messageId": MESSAGE_ID, "timestamp": AT, "userId": "u1"} | said | call


async def set_on_profile(call: dict[str, Any]) -> dict[str, Any]:
    [[update]] = await MIXPANEL.bodies(call)
    found: dict[str, Any] = update["$set"]
    return found


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us", "https://api.mixpanel.com"),
        ("eu", "https://api-eu.mixpanel.com"),
        ("in", "https://api-in.mixpanel.com"),
    ],
)
async def test_requests_go_to_the_projects_region(region: str, host: str) -> None:
    regional = bench("mixpanel", apiRegion=region)
    [request] = (await regional.preview(track())).requests
    assert (request.method, request.url) == ("POST", f"{host}/import?strict=1")
    [request] = (await regional.preview(identify({"plan": "pro"}))).requests
    assert request.url == f"{host}/engage?ip=0&strict=1"
    [request] = (await regional.preview({"type": "group", "groupId": "g", "traits": {}})).requests
    assert request.url == f"{host}/groups?ip=0&strict=1"
    [request] = (await regional.preview({"type": "alias", "userId": "u", "previousId": "p"})).requests
    assert request.url == f"{host}/track?verbose=1"


async def test_imports_are_signed_with_the_secret_or_else_the_token() -> None:
    [request] = (await MIXPANEL.preview(track())).requests
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"secret:").decode()
    [request] = (await bench("mixpanel", apiSecret="").preview(track())).requests
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"token:").decode()


async def test_an_event_says_who_did_what_when_and_by_which_id_it_is_known() -> None:
    [event] = await MIXPANEL.body(track(properties={"plan": "pro"}, anonymousId="anon"))
    assert event == {
        "event": "Signed Up",
        "properties": {
            "plan": "pro",
            "time": AT_MS,
            "distinct_id": "u1",
            "$user_id": "u1",
            "$device_id": "anon",
            "$insert_id": MESSAGE_ID,
        },
    }


async def test_an_anonymous_event_belongs_to_the_anonymous_id_and_one_of_nobody_to_the_empty_id() -> None:
    [event] = await MIXPANEL.body(track(userId=None, anonymousId="anon"))
    assert event["properties"]["distinct_id"] == "anon"
    assert "$user_id" not in event["properties"]
    [event] = await MIXPANEL.body(track(userId=None))
    assert event["properties"]["distinct_id"] == ""


async def test_context_becomes_mixpanels_own_properties() -> None:
    context = {
        "ip": "203.0.113.7",
        "os": {"name": "iOS", "version": "17"},
        "page": {"url": "https://a.b/c", "referrer": "https://r.e/"},
        "campaign": {"source": "news", "name": "spring"},
        "location": {"country": "CZ"},
        "library": {"name": "lib", "version": "1"},
        "network": {"wifi": True},
        "screen": {"width": 100},
        "userAgent": "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "groupId": "g1",
    }
    [event] = await bench("mixpanel", sourceName="shop").body(track(context=context))
    assert event["properties"] == {
        "ip": "203.0.113.7",
        "$os": "iOS",
        "$os_version": "17",
        "$wifi_enabled": True,
        "mp_country_code": "CZ",
        "mp_lib": "lib",
        "$lib_version": "1",
        "$current_url": "https://a.b/c",
        "$referrer": "https://r.e/",
        "$screen_width": 100,
        "$browser": "Chrome",
        "$browser_version": "120.0.0.0",
        "segment_source_name": "shop",
        "utm_source": "news",
        "utm_campaign": "spring",
        "time": AT_MS,
        "distinct_id": "u1",
        "$user_id": "u1",
        "$group_id": "g1",
        "$insert_id": MESSAGE_ID,
    }


async def test_the_callers_properties_win_over_the_context_but_cannot_change_who_and_when() -> None:
    properties = {"$os": "mine", "distinct_id": "evil", "time": 1, "$insert_id": "x", "$user_id": "evil"}
    [event] = await MIXPANEL.body(track(properties=properties, context={"os": {"name": "iOS"}}))
    assert event["properties"]["$os"] == "mine"
    assert event["properties"]["distinct_id"] == event["properties"]["$user_id"] == "u1"
    assert (event["properties"]["time"], event["properties"]["$insert_id"]) == (AT_MS, MESSAGE_ID)


def test_an_insert_id_is_kept_where_mixpanel_takes_it_and_digested_where_not() -> None:
    assert insert_id(MESSAGE_ID) == MESSAGE_ID
    long = "ajs-next-1709634030123-13c0b661-f48b-51cd-ba54-97c5999169c0"
    assert insert_id(long) == insert_id(long)
    assert insert_id(long) != insert_id(long + "0")
    assert len(insert_id(long)) == 36
    assert insert_id("with_underscore").isalnum()


async def test_an_event_without_a_message_id_gets_the_same_insert_id_each_time() -> None:
    [first], [second] = await MIXPANEL.body(track(messageId=None)), await MIXPANEL.body(track(messageId=None))
    assert first == second
    [other] = await MIXPANEL.body(track(messageId=None, properties={"x": 1}))
    assert other["properties"]["$insert_id"] != first["properties"]["$insert_id"]


@pytest.mark.parametrize(("kind", "otherwise"), [("page", "Viewed a Page"), ("screen", "Viewed a Screen")])
async def test_views_are_events_named_after_what_was_seen(kind: str, otherwise: str) -> None:
    call = {"type": kind, "userId": "u1", "timestamp": AT, "properties": {"url": "https://a.b"}}
    [event] = await MIXPANEL.body(call | {"name": "Pricing"})
    assert (event["event"], event["properties"]["$current_url"]) == ("Viewed Pricing", "https://a.b")
    [event] = await MIXPANEL.body(call)
    assert event["event"] == otherwise


async def test_an_order_is_one_event_and_one_more_for_each_product() -> None:
    products = [{"sku": "a", "price": 5}, {"sku": "b", "price": 7}]
    order, *bought = await MIXPANEL.body(track("Order Completed", {"total": 12, "products": products}))
    assert (order["event"], order["properties"]["total"]) == ("Order Completed", 12)
    assert [each["event"] for each in bought] == ["Product Purchased"] * 2
    assert [each["properties"]["sku"] for each in bought] == ["a", "b"]
    assert all("total" not in each["properties"] for each in bought)
    ids = {each["properties"]["$insert_id"] for each in (order, *bought)}
    assert len(ids) == 3
    assert all(len(each) <= 36 for each in ids)


SPELLINGS = [
    {"firstName": "Cool", "lastName": "Person", "createdAt": "2023-11-14T22:13:20Z"},
    {"first_name": "Cool", "last_name": "Person", "created_at": "2023-11-14T22:13:20Z"},
]


@pytest.mark.parametrize("spelled", SPELLINGS)
async def test_reserved_traits_get_mixpanels_names_in_either_spelling(spelled: dict[str, Any]) -> None:
    others = {"email": "a@b.co", "phone": "+1", "username": "cool", "avatar": "https://a.b/a.png"}
    rest = {"title": "VP", "age": 3, "gender": "f", "website": "https://c.d", "description": "d", "id": "7"}
    rest |= {"address": {"city": "Prague"}, "company": {"name": "Acme"}, "birthday": "1990-05-17", "plan": "pro"}
    assert await set_on_profile(identify({**spelled, **others, **rest})) == rest | {
        "$first_name": "Cool",
        "$last_name": "Person",
        "$name": "Cool Person",
        "$created": "2023-11-14T22:13:20.000Z",
        "$email": "a@b.co",
        "$phone": "+1",
        "$username": "cool",
        "$avatar": "https://a.b/a.png",
    }


@pytest.mark.parametrize("created", [1700000000, 1700000000000, "2023-11-14T23:13:20+01:00"])
async def test_created_goes_out_as_iso_date_whatever_its_form(created: Any) -> None:
    assert await set_on_profile(identify({"createdAt": created})) == {"$created": "2023-11-14T22:13:20.000Z"}
    assert await set_on_profile(identify({"created": created})) == {"$created": "2023-11-14T22:13:20.000Z"}


async def test_what_is_no_date_does_not_hold_the_profile_back_and_an_epoch_birthday_is_a_date() -> None:
    traits = {"createdAt": "yesterday", "birthday": 642902400}
    assert await set_on_profile(identify(traits)) == {"$created": "yesterday", "birthday": "1990-05-17"}


async def test_an_email_as_user_id_is_the_profiles_email() -> None:
    [[update]] = await MIXPANEL.bodies(identify({"plan": "pro"}, userId="cool@example.com"))
    assert update["$distinct_id"] == "cool@example.com"
    assert update["$set"] == {"plan": "pro", "$email": "cool@example.com"}


async def test_an_identify_ties_the_anonymous_id_to_the_user_and_then_sets_the_profile() -> None:
    call = identify({"plan": "pro"}, anonymousId="anon", context={"ip": "203.0.113.7"})
    [[link], [update]] = await MIXPANEL.bodies(call)
    assert link == {
        "event": "$identify",
        "properties": {
            "$identified_id": "u1",
            "$anon_id": "anon",
            "distinct_id": "u1",
            "$user_id": "u1",
            "$device_id": "anon",
            "token": "token",
        },
    }
    assert update == {"$token": "token", "$distinct_id": "u1", "$ip": "203.0.113.7", "$set": {"plan": "pro"}}


async def test_an_anonymous_identify_sets_the_profile_of_the_anonymous_id() -> None:
    [[update]] = await MIXPANEL.bodies(identify({"plan": "free"}, userId=None, anonymousId="anon"))
    assert (update["$distinct_id"], update["$set"]) == ("anon", {"plan": "free"})


async def test_an_identify_by_email_trait_alone_goes_to_the_profile_of_that_address() -> None:
    [[update]] = await MIXPANEL.bodies(identify({"email": "a@b.co"}, userId=""))
    assert (update["$distinct_id"], update["$set"]) == ("a@b.co", {"$email": "a@b.co"})
    assert "names no person" in await MIXPANEL.refusal(identify({"plan": "x"}, userId=None))


async def test_an_identify_that_says_nothing_is_left_out() -> None:
    assert "says nothing" in await MIXPANEL.refusal(identify({}))
    [[link]] = await MIXPANEL.bodies(identify({}, anonymousId="visitor-1"))
    assert link["event"] == "$identify"


async def test_a_group_sets_the_groups_profile_under_its_key() -> None:
    traits = {"name": "Acme", "seats": 5}
    [update] = await MIXPANEL.body({"type": "group", "groupId": "g1", "traits": traits})
    assert update == {
        "$token": "token",
        "$group_key": "$group_id",
        "$group_id": "g1",
        "$set": {"$name": "Acme", "seats": 5},
    }


async def test_an_alias_is_created_by_the_vendors_own_event() -> None:
    [event] = await MIXPANEL.body({"type": "alias", "userId": "new", "previousId": "old"})
    assert event == {
        "event": "$create_alias",
        "properties": {"distinct_id": "old", "alias": "new", "token": "token"},
    }


async def test_increments_add_numbers_and_nothing_else() -> None:
    adding = compile_subscription(
        MIXPANEL.destination,
        action="incrementProperties",
        subscribe='type = "track"',
        mapping=MIXPANEL.destination.action("incrementProperties").default_mapping(),
    )

    async def shown(amount: Any) -> Any:
        call = track(properties={"increment": {"logins": amount}})
        return await preview(MIXPANEL.destination, MIXPANEL.settings, [adding], call, NOW)

    [request] = requests_as_json(await shown(-2))
    assert request["body"] == '[{"$token":"token","$distinct_id":"u1","$add":{"logins":-2}}]'
    [previewed] = await shown("many")
    assert [refusal.field for refusal in previewed.refusals] == ["increment.logins"]


FAILED = {
    "code": 400,
    "error": "some data points in the request failed validation",
    "num_records_imported": 1,
    "failed_records": [{"index": 1, "insert_id": "x", "field": "properties.time", "message": "is invalid"}],
}


async def test_a_refused_event_of_a_batch_has_its_own_outcome_and_the_rest_were_taken() -> None:
    outcomes, [request] = await MIXPANEL.batch([track("a"), track("b")], [answer(400, FAILED)])
    assert request.url.endswith("/import?strict=1")
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].reason == "properties.time: is invalid"


async def test_a_refused_product_is_the_outcome_of_its_order() -> None:
    order = track("Order Completed", {"products": [{"sku": "a"}]})
    outcomes, _ = await MIXPANEL.batch([order, order], [answer(400, FAILED)])
    assert isinstance(outcomes[0], Rejected)
    assert outcomes[1] is None


async def test_profiles_of_a_batch_are_linked_in_one_request_and_set_in_another() -> None:
    calls = [identify({"x": 1}, anonymousId="a"), identify({"x": 2}), identify({}, userId=None)]
    outcomes, requests = await MIXPANEL.batch(calls, [answer(200, {"status": 1}), answer(200, {"code": 200})])
    assert [request.url.split("/")[-1].split("?")[0] for request in requests] == ["track", "engage"]
    assert requests[0].body.count(b'"event":"$identify"') == 1
    assert requests[1].body.count(b"$set") == 2
    assert outcomes[:2] == [None, None]
    assert isinstance(outcomes[2], Filtered)


@pytest.mark.parametrize("refusal", [answer(413, {"code": 413}), answer(200, 0), answer(200, {"status": 0})])
async def test_a_batch_refused_as_a_whole_is_sent_again_item_by_item(refusal: HttpResponse) -> None:
    answers = [refusal, answer(200, {"code": 200}), answer(413, {"code": 413})]
    outcomes, requests = await MIXPANEL.batch([identify({"x": 1}), identify({"x": 2}, userId="u2")], answers)
    assert len(requests) == 3
    assert outcomes[0] is None
    assert isinstance(outcomes[1], HttpError)


async def test_a_single_record_that_is_not_valid_is_rejected_although_the_answer_is_200() -> None:
    with pytest.raises(Rejected, match="token, missing"):
        await MIXPANEL.single(identify({"x": 1}), [answer(200, {"status": 0, "error": "token, missing"})])


async def test_no_request_carries_more_records_than_mixpanel_takes() -> None:
    order = track("Order Completed", {"products": [{"sku": str(number)} for number in range(RECORDS_MAX)]})
    requests = await MIXPANEL.single(order, [answer(200), answer(200)])
    assert [request.body.count(b'"event":') for request in requests] == [RECORDS_MAX, 1]


async def test_too_many_requests_is_for_delivery_to_retry() -> None:
    with pytest.raises(HttpError) as raised:
        await MIXPANEL.batch([track(), track()], [answer(429, {"code": 429})])
    assert raised.value.status == 429


async def ask_with(answered: HttpResponse) -> list[HttpRequest]:
    asked: list[HttpRequest] = []

    async def send(request: HttpRequest, /) -> HttpResponse:
        asked.append(request)
        return answered

    assert MIXPANEL.destination.test is not None
    await MIXPANEL.destination.test(send, MIXPANEL.settings)
    return asked


async def test_credentials_are_checked_by_importing_nothing() -> None:
    [request] = await ask_with(answer(400, {"error": "no events"}))
    assert request.body == b"[]"
    with pytest.raises(AuthenticationFailed):
        await ask_with(answer(401, {"error": "Invalid credentials"}))
    with pytest.raises(HttpError):
        await ask_with(answer(503))


async def test_a_persons_deletion_removes_the_profiles_of_all_their_ids() -> None:
    asked: list[HttpRequest] = []

    async def send(request: HttpRequest, /) -> HttpResponse:
        asked.append(request)
        return answer(200, {"code": 200})

    assert MIXPANEL.destination.on_delete is not None
    await MIXPANEL.destination.on_delete(send, MIXPANEL.settings, Subject("u1", "anon", "a@b.co"))
    assert asked[0].url.endswith("/engage?ip=0&strict=1")
    assert asked[0].body.count(b'"$delete":""') == 3
    await MIXPANEL.destination.on_delete(send, MIXPANEL.settings, Subject())
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("user_agent", "browser"),
    [
        (
            "Mozilla/5.0 (Windows) AppleWebKit/537.36 Chrome/120.0.1 Safari/537.36 Edg/120.0.2",
            ("Microsoft Edge", "120.0.2"),
        ),
        ("Mozilla/5.0 (Windows) AppleWebKit/537.36 Chrome/120.0.1 Safari/537.36 OPR/106.0", ("Opera", "106.0")),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605.1 Version/17.2 Mobile/15E148 Safari/604.1", ("Mobile Safari", "17.2")),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605.1 CriOS/120.0 Mobile/15E148 Safari/604.1", ("Chrome iOS", "120.0")),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1 Version/17.2 Safari/605.1", ("Safari", "17.2")),
        ("Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/121.0", ("Firefox", "121.0")),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", ("Internet Explorer", "11.0")),
        ("python-requests/2.31", None),
        ("", None),
    ],
)
def test_a_browser_is_named_with_its_version(user_agent: str, browser: tuple[str, str] | None) -> None:
    assert browser_of(user_agent) == browser
