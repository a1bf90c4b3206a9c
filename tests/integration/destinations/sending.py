"""Sends messages the way delivery does: planned by the destination's presets, one by one or as a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.destination import Destination, Subject
from tabard.destinations.kit.errors import DestinationError
from tabard.destinations.kit.plan import Planned, Subscription, plan, preset_subscriptions
from tabard.destinations.kit.request import Send
from tests.unit.destinations.catalog.bench import bench


@dataclass
class Sender:
    """A destination of the catalogue, set up, and the way out it has been given."""

    destination: Destination
    settings: dict[str, Any]
    send: Send
    subscriptions: list[Subscription]

    async def one(self, message: dict[str, Any]) -> None:
        """Delivers a message; raises what its action raises."""
        action, call = self._call(message)
        await action.perform(self.send, call)

    async def many(self, messages: Sequence[dict[str, Any]]) -> list[DestinationError | None]:
        """The outcomes of a batch of one action's messages."""
        planned = [self._call(message) for message in messages]
        perform_batch = planned[0][0].perform_batch
        assert perform_batch is not None
        return list(await perform_batch(self.send, [call for _, call in planned]))

    async def test(self) -> None:
        """Checks the credentials; raises what the destination's test raises."""
        assert self.destination.test is not None
        await self.destination.test(self.send, self.settings)

    async def delete(
        self, user_id: str | None = None, anonymous_id: str | None = None, email: str | None = None
    ) -> None:
        """Erases a person at the vendor."""
        assert self.destination.on_delete is not None
        await self.destination.on_delete(self.send, self.settings, Subject(user_id, anonymous_id, email))

    def _call(self, message: dict[str, Any]) -> tuple[Action, Call]:
        [planned] = plan(self.subscriptions, message)
        assert isinstance(planned, Planned), planned
        return planned.subscription.action, Call(planned.payload, self.settings, message, datetime.now(UTC))


def sender(slug: str, send: Send, **settings: Any) -> Sender:
    """A destination with the test's settings and those given."""
    made = bench(slug, **settings)
    return Sender(made.destination, made.settings, send, preset_subscriptions(made.destination))


def identify(user_id: str | None, traits: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    """An identify call."""
    return {"type": "identify", "userId": user_id, "traits": traits or {}, "timestamp": "2024-03-05T10:20:30Z"} | call


def track(user_id: str | None, event: str, properties: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    """A track call."""
    said = {"event": event, "properties": properties or {}, "timestamp": "2024-03-05T10:20:30Z"}
    return {"type": "track", "userId": user_id} | said | call
