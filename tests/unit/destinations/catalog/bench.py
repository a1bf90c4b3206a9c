"""A built-in destination set up for tests: what its presets make of a message, as data."""

import json
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tabard.destinations.kit.action import Call
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.errors import DestinationError
from tabard.destinations.kit.payload import check_settings
from tabard.destinations.kit.plan import Planned, plan, preset_subscriptions
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tabard.destinations.preview import Preview, preview
from tabard.destinations.registry import load_registry

NOW = datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC)

SETTINGS: dict[str, dict[str, Any]] = {
    "customerio": {"siteId": "site", "apiKey": "key"},
    "mixpanel": {"projectToken": "token", "apiSecret": "secret"},
    "intercom": {"accessToken": "token"},
    "slack": {"url": "https://hooks.slack.com/services/T0/B0/X"},
}


REGISTRY = load_registry()


@dataclass
class Bench:
    """A destination with settings, and what it does with messages."""

    destination: Destination
    settings: dict[str, Any]

    async def preview(self, message: dict[str, Any]) -> Preview:
        """What its one triggered subscription would do."""
        [previewed] = await preview(
            self.destination, self.settings, preset_subscriptions(self.destination), message, NOW
        )
        return previewed

    async def bodies(self, message: dict[str, Any]) -> list[Any]:
        """The JSON bodies of the requests it would send; nothing may be refused."""
        previewed = await self.preview(message)
        assert not previewed.refusals, previewed.refusals
        return [json.loads(request.body) for request in previewed.requests]

    async def body(self, message: dict[str, Any]) -> Any:
        """The JSON body of the one request it would send."""
        [body] = await self.bodies(message)
        return body

    async def refusal(self, message: dict[str, Any]) -> str:
        """Why it would send nothing: kind, field and reason."""
        previewed = await self.preview(message)
        assert not previewed.requests
        [refusal] = previewed.refusals
        return f"{refusal.kind} {refusal.field}: {refusal.reason}".replace(" :", ":")

    async def batch(
        self, messages: list[dict[str, Any]], answers: list[HttpResponse]
    ) -> tuple[list[DestinationError | None], list[HttpRequest]]:
        """The outcomes of a batch of one action's messages, and the requests, answered in order."""
        calls = []
        for message in messages:
            [planned] = plan(preset_subscriptions(self.destination), message)
            assert isinstance(planned, Planned), planned
            action = planned.subscription.action
            calls.append(Call(planned.payload, self.settings, message, NOW))
        asked: list[HttpRequest] = []

        async def send(request: HttpRequest, /) -> HttpResponse:
            asked.append(request)
            return answers[len(asked) - 1]

        assert action.perform_batch is not None
        before = deepcopy([(call.payload, call.message) for call in calls])
        outcomes = list(await action.perform_batch(send, calls))
        assert [(call.payload, call.message) for call in calls] == before
        return outcomes, asked

    async def single(self, message: dict[str, Any], answers: list[HttpResponse]) -> list[HttpRequest]:
        """The requests for one message, answered in order; raises what its action raises."""
        [planned] = plan(preset_subscriptions(self.destination), message)
        assert isinstance(planned, Planned), planned
        asked: list[HttpRequest] = []

        async def send(request: HttpRequest, /) -> HttpResponse:
            asked.append(request)
            return answers[len(asked) - 1]

        before = deepcopy((planned.payload, message))
        await planned.subscription.action.perform(send, Call(planned.payload, self.settings, message, NOW))
        # Other destinations are sent the same payload.
        assert (planned.payload, message) == before
        return asked


def bench(slug: str, **settings: Any) -> Bench:
    """A destination of the catalogue with the test's settings and those given."""
    destination = REGISTRY.destinations[slug]
    return Bench(destination, check_settings(destination.settings, {**SETTINGS[slug], **settings}))


def answer(status: int, body: Any = None, **headers: str) -> HttpResponse:
    """A vendor's answer with a JSON body; header names with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, b"" if body is None else json.dumps(body).encode())
