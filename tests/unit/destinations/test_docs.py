"""What the documentation shows works, and what departs from the field's engine is in it."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tabard.destinations.kit.action import Call
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.errors import AuthenticationFailed, Filtered, HttpError, Rejected
from tabard.destinations.kit.mapping import compile_mapping
from tabard.destinations.kit.payload import Payload, check_settings
from tabard.destinations.kit.plan import Planned, plan, preset_subscriptions
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tabard.destinations.kit.subscription import compile_trigger
from tabard.destinations.preview import preview
from tabard.destinations.registry import load_registry

DOCS = Path(__file__).parents[3] / "docs"
NOW = datetime(2024, 3, 5, tzinfo=UTC)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_every_trigger_and_mapping_shown_is_sound() -> None:
    triggers, mappings = blocks("actions.md", "fql"), blocks("actions.md", "mapping")
    assert (len(triggers), len(mappings)) == (2, 1)
    for trigger in triggers:
        compile_trigger(trigger)
    for mapping in mappings:
        compile_mapping(json.loads(mapping))


def test_the_walk_through_keeps_email_user_ids_away_and_lets_the_rest_through() -> None:
    trigger = compile_trigger(blocks("actions.md", "fql")[1])
    (call,) = [json.loads(block) for block in blocks("actions.md", "json")]
    assert call["integrations"]["Mixpanel"] is False
    assert not trigger.matches(call)
    assert trigger.matches({**call, "userId": "97980cfea0067"})


@pytest.fixture
def documented(tmp_path: Path) -> Destination:
    (source,) = blocks("writing-a-destination.md", "python")
    (tmp_path / "plausible_crm.py").write_text(source, "utf-8")
    loaded = load_registry(tmp_path)
    assert loaded.broken == ()
    return loaded.destinations["plausible-crm"]


@pytest.fixture
async def crm() -> AsyncIterator[tuple[str, list[tuple[str, Any]]]]:
    """A small CRM on loopback, and what it was sent."""
    received: list[tuple[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer good":
            return web.Response(status=401)
        body = await request.json() if request.can_read_body else None
        received.append((request.path, body))
        events = body.get("events", []) if isinstance(body, dict) else []
        refused = [{"index": i, "reason": "unknown"} for i, each in enumerate(events) if each["contact"] == "nobody"]
        return web.json_response({"refused": refused})

    app = web.Application()
    app.router.add_route("*", "/{path}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", received
    await runner.cleanup()


async def send(request: HttpRequest) -> HttpResponse:
    async with aiohttp.ClientSession() as session:
        async with session.request(
            request.method, request.url, headers=request.headers, data=request.body or None
        ) as answer:
            return HttpResponse(answer.status, dict(answer.headers), await answer.read())


def calls_for(destination: Destination, settings: dict[str, Any], *messages: dict[str, Any]) -> list[tuple[Any, Call]]:
    subscriptions = preset_subscriptions(destination)
    planned = [(each, message) for message in messages for each in plan(subscriptions, message)]
    return [
        (each.subscription.action, Call(each.payload, settings, message, NOW))
        for each, message in planned
        if isinstance(each, Planned)
    ]


async def test_the_documented_destination_delivers_over_http(documented: Destination, crm: Any) -> None:
    url, received = crm
    settings = check_settings(documented.settings, {"url": url, "token": "good"})
    traits = {"first_name": "Ada", "last_name": "Lovelace", "created_at": 1709634030}
    identify = {"type": "identify", "userId": "u-1", "traits": {**traits, "email": "ada@example.com"}}
    order = {"type": "track", "event": "Order Completed", "timestamp": "2024-03-05T10:20:30Z"}
    (save, saving), (note, first), (_, second) = calls_for(
        documented, settings, identify, {**order, "userId": "u-1"}, {**order, "userId": "nobody"}
    )
    await save.perform(send, saving)
    outcomes = await note.perform_batch(send, [first, second])
    assert received == [
        ("/contacts", {"id": "u-1", "email": "ada@example.com", "name": "Ada Lovelace", "since": "2024-03-05"}),
        (
            "/events",
            {
                "events": [
                    {"contact": "u-1", "event": "Order Completed", "at": 1709634030},
                    {"contact": "nobody", "event": "Order Completed", "at": 1709634030},
                ]
            },
        ),
    ]
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Rejected)


async def test_the_documented_destination_says_what_went_wrong(documented: Destination, crm: Any) -> None:
    url, _ = crm
    settings = {"url": url, "token": "bad"}
    assert documented.test is not None
    with pytest.raises(AuthenticationFailed, match="401"):
        await documented.test(send, settings)
    ((save, saving),) = calls_for(documented, settings, {"type": "identify", "userId": "u-1"})
    with pytest.raises(HttpError, match="401"):
        await save.perform(send, saving)
    with pytest.raises(Filtered):
        await save.perform(send, Call(Payload({}), settings, {}, NOW))


async def test_the_documented_destination_can_be_previewed(documented: Destination) -> None:
    settings = {"url": "https://crm.test", "token": "t"}
    message = {"type": "track", "event": "Order Completed", "userId": "u-1"}
    (only,) = await preview(documented, settings, preset_subscriptions(documented), message, NOW)
    assert [(each.method, each.url) for each in only.requests] == [("POST", "https://crm.test/events")]
