"""Slack: what is posted to the webhook, and what its words mean."""

from typing import Any

import pytest

from tabard.destinations.catalog.slack.incoming_webhook import TEXT_LENGTH_MAX
from tabard.destinations.kit.errors import AuthenticationFailed, HttpError, Rejected
from tabard.destinations.kit.plan import compile_subscription
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tabard.destinations.preview import preview, requests_as_json
from tests.unit.destinations.catalog.bench import NOW, bench

SLACK = bench("slack")
EVENT = {"type": "track", "event": "Order Completed", "userId": "u1", "properties": {"total": 5}}


async def posted(mapping: dict[str, Any], message: dict[str, Any]) -> Any:
    posting = compile_subscription(
        SLACK.destination, action="postToChannel", subscribe=f'type = "{message["type"]}"', mapping=mapping
    )
    return requests_as_json(await preview(SLACK.destination, SLACK.settings, [posting], message, NOW))


async def test_an_event_is_posted_to_the_webhook_as_json() -> None:
    [request] = (await SLACK.preview(EVENT)).requests
    assert (request.method, request.url) == ("POST", "https://hooks.slack.com/services/T0/B0/X")
    assert request.headers == {"content-type": "application/json"}
    assert request.body == b'{"text":"*Order Completed* by u1"}'


@pytest.mark.parametrize(
    ("traits", "who"),
    [
        ({"first_name": "Cool", "last_name": "Person"}, "Cool Person"),
        ({"name": "Cool", "email": "a@b.co"}, "Cool"),
        ({"email": "a@b.co"}, "a@b.co"),
        ({}, "u1"),
    ],
)
async def test_an_identified_person_is_named_as_well_as_the_call_allows(traits: dict[str, Any], who: str) -> None:
    body = await SLACK.body({"type": "identify", "userId": "u1", "anonymousId": "anon", "traits": traits})
    assert body == {"text": f"Identified {who}"}


async def test_a_template_of_ones_own_fills_in_values_of_the_message() -> None:
    [request] = await posted(
        {"text": {"@template": "{{event}}: {{properties.total}} EUR"}, "username": "Tabard"}, EVENT
    )
    assert request["body"] == '{"text":"Order Completed: 5 EUR","username":"Tabard"}'


async def test_mentions_in_data_call_nobody_unless_allowed() -> None:
    event = EVENT | {"event": "<!channel> <@U1>"}
    [request] = await posted({"text": {"@template": "{{event}}"}}, event)
    assert request["body"] == '{"text":"&lt;!channel> &lt;@U1>"}'
    [request] = await posted({"text": {"@template": "{{event}}"}, "allow_mentions": True}, event)
    assert request["body"] == '{"text":"<!channel> <@U1>"}'


async def test_a_text_is_cut_where_slack_would_cut_it() -> None:
    [request] = await posted({"text": "x" * (TEXT_LENGTH_MAX + 1)}, EVENT)
    assert request["body"].count("x") == TEXT_LENGTH_MAX + 1  # the x of "text" and the cut text


@pytest.mark.parametrize(
    ("status", "word"), [(404, "no_service"), (403, "invalid_token"), (410, "channel_is_archived"), (404, "no_team")]
)
async def test_a_webhook_that_is_switched_off_pauses_the_destination(status: int, word: str) -> None:
    with pytest.raises(AuthenticationFailed, match=word):
        await SLACK.single(EVENT, [HttpResponse(status, {}, word.encode())])


async def test_a_refused_message_and_a_busy_slack_are_told_by_their_status() -> None:
    with pytest.raises(HttpError, match="400: invalid_payload"):
        await SLACK.single(EVENT, [HttpResponse(400, {}, b"invalid_payload")])
    with pytest.raises(HttpError) as raised:
        await SLACK.single(EVENT, [HttpResponse(429, {"retry-after": "30"}, b"rate_limited")])
    assert raised.value.retry_after == "30"


async def checked(answered: HttpResponse) -> HttpRequest:
    asked: list[HttpRequest] = []

    async def send(request: HttpRequest, /) -> HttpResponse:
        asked.append(request)
        return answered

    assert SLACK.destination.test is not None
    await SLACK.destination.test(send, SLACK.settings)
    return asked[0]


async def test_the_webhook_is_checked_with_a_message_that_cannot_appear() -> None:
    assert (await checked(HttpResponse(400, {}, b"no_text"))).body == b"{}"
    with pytest.raises(AuthenticationFailed):
        await checked(HttpResponse(404, {}, b"no_service"))
    with pytest.raises(Rejected, match="does not seem to be a Slack"):
        await checked(HttpResponse(200, {}, b"<html>"))
    with pytest.raises(HttpError):
        await checked(HttpResponse(500, {}, b"rollup_error"))
