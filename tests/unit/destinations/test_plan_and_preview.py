"""From a message through plan and perform to requests, without a network."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.destination import Destination, Preset
from tabard.destinations.kit.errors import Filtered, HttpError, PayloadInvalid, raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.plan import (
    Invalid,
    Planned,
    Subscription,
    compile_subscription,
    plan,
    preset_subscriptions,
)
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send, basic_auth, form_request, json_request
from tabard.destinations.preview import REQUESTS_MAX, Preview, Refusal, preview, requests_as_json, summarize

NOW = datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC)


async def save(send: Send, call: Call) -> None:
    if call.payload["email"] == "nobody@example.com":
        raise Filtered("nobody is not welcome")
    if call.payload["email"] == "broken@example.com":
        raise RuntimeError("a defect")
    if call.payload["email"] == "late@example.com":
        raise PayloadInvalid("email", "is too late")
    found = await send(json_request("POST", "https://crm.test/search", {"email": call.payload["email"]}))
    raise_for_status(found)
    people = found.json()["people"]
    method = "PUT" if people else "POST"
    raise_for_status(await send(json_request(method, "https://crm.test/people", call.payload)))


async def loop(send: Send, call: Call) -> None:
    while True:
        await send(HttpRequest("GET", "https://crm.test/more"))


def crm_answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, {}, b'{"people": []}')


CRM = Destination(
    slug="crm",
    name="CRM",
    description="A test.",
    settings={},
    actions=(
        Action(
            slug="savePerson",
            title="Save person",
            description="Creates or updates.",
            fields={
                "email": Field(label="E-mail", type="string", required=True, default={"@path": "$.traits.email"}),
                "created": Field(
                    label="Created", type="datetime", date_form="unix_s", default={"@path": "$.traits.createdAt"}
                ),
            },
            perform=save,
        ),
        Action(slug="loop", title="Loop", description="Never ends.", fields={}, perform=loop),
    ),
    presets=(Preset("Save people", "savePerson", 'type = "identify"'),),
    preview_answer=crm_answer,
)
SAVE = preset_subscriptions(CRM)


def identify(**traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": "u-1", "traits": traits}


async def previewed(message: dict[str, Any], subscriptions: list[Subscription] = SAVE) -> list[Preview]:
    return await preview(CRM, {}, subscriptions, message, NOW)


def test_a_preset_is_planned_with_the_defaults_of_its_action() -> None:
    (planned,) = plan(SAVE, identify(email="a@example.com", created_at="2024-03-05"))
    assert isinstance(planned, Planned)
    assert planned.subscription.name == "Save people"
    assert planned.payload == {"email": "a@example.com", "created": 1709596800}


def test_a_message_that_triggers_nothing_plans_nothing() -> None:
    assert plan(SAVE, {"type": "track", "event": "x"}) == []


def test_a_payload_that_does_not_fit_is_planned_as_invalid_with_its_problems() -> None:
    (invalid,) = plan(SAVE, identify(createdAt="yesterday"))
    assert isinstance(invalid, Invalid)
    assert invalid.reason == (
        "created: should be a date: ISO 8601, or epoch seconds or milliseconds; email: is required"
    )


def test_a_mapping_that_gives_no_object_is_invalid() -> None:
    subscription = compile_subscription(
        CRM, action="savePerson", subscribe='type = "identify"', mapping={"@path": "$.userId"}
    )
    (invalid,) = plan([subscription], identify())
    assert isinstance(invalid, Invalid)
    assert "no object" in invalid.reason


def test_an_unknown_action_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="savePerson, loop"):
        compile_subscription(CRM, action="save", subscribe='type = "track"', mapping={})


async def test_a_preview_shows_every_request_of_an_action_that_asks_first() -> None:
    previews = await previewed(identify(email="a@example.com"))
    assert requests_as_json(previews) == [
        {
            "method": "POST",
            "url": "https://crm.test/search",
            "headers": {"content-type": "application/json"},
            "body": '{"email":"a@example.com"}',
        },
        {
            "method": "POST",
            "url": "https://crm.test/people",
            "headers": {"content-type": "application/json"},
            "body": '{"email":"a@example.com"}',
        },
    ]


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ({"type": "page"}, Refusal("filtered", "no trigger matches this message")),
        (identify(), Refusal("invalid", "is required", "email")),
        (identify(email="nobody@example.com"), Refusal("filtered", "nobody is not welcome")),
        (identify(email="late@example.com"), Refusal("invalid", "is too late", "email")),
        (identify(email="broken@example.com"), Refusal("defect", "RuntimeError: a defect")),
    ],
)
async def test_a_preview_says_why_nothing_would_go_out(message: dict[str, Any], refusal: Refusal) -> None:
    (only,) = await previewed(message)
    assert only.requests == ()
    assert only.refusals == (refusal,)


async def test_a_preview_of_an_action_that_never_stops_ends() -> None:
    endless = compile_subscription(CRM, action="loop", subscribe='type = "page"', mapping={})
    (only,) = await previewed({"type": "page"}, [endless])
    assert len(only.requests) == REQUESTS_MAX
    assert only.refusals[0].kind == "failed"


async def test_many_previews_sum_up_to_requests_people_and_refusals_by_reason() -> None:
    messages = [
        identify(email="a@example.com"),
        identify(email="b@example.com"),
        {**identify(email="c@example.com"), "userId": "u-2"},
        {"type": "page", "userId": "u-3"},
        {"type": "page", "userId": "u-3"},
    ]
    people = ("p1", "p1", "p2", "p3", "p3")
    creating = dataclasses.replace(CRM, creates_people=("savePerson",))
    shown = [(person, await previewed(message)) for person, message in zip(people, messages, strict=True)]
    summary = summarize(creating, shown)
    assert (summary.messages, summary.requests, summary.people, summary.profiles) == (5, 6, 2, 2)
    assert summarize(CRM, shown).profiles == 0
    assert summary.refusals == {"filtered: no trigger matches this message": 2}


def test_an_answer_outside_2xx_raises_with_status_retry_after_and_excerpt() -> None:
    raise_for_status(HttpResponse(204))
    with pytest.raises(HttpError) as raised:
        raise_for_status(HttpResponse(429, {"retry-after": "30"}, b"slow down"))
    assert (raised.value.status, raised.value.retry_after, raised.value.excerpt) == (429, "30", "slow down")


def test_request_builders_write_what_the_wire_needs() -> None:
    assert basic_auth("Aladdin", "open sesame") == {"authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}
    form = form_request("POST", "https://x.test", {"data": "a b&c"})
    assert (form.body, form.headers) == (b"data=a+b%26c", {"content-type": "application/x-www-form-urlencoded"})
    assert HttpResponse(200, {}, b"no json").json() is None
