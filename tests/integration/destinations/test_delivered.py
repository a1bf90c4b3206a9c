"""A whole deliverer sends to a vendor that fails in every way: all arrives, nothing twice where the vendor can tell."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tabard.delivery import deliverer
from tabard.delivery.egress import Egress, EgressRules
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tabard.message.types import SERVER_TRUST, StoredMessage, Trust
from tabard.workspace.types import DestinationInstance, Subscription
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored
from tests.integration.destinations.vendors.customerio import TrackApi
from tests.integration.destinations.vendors.stand_in import Fault, Redirected
from tests.unit.destinations.catalog.bench import bench

Deliver = Callable[[MemoryMessages], AbstractAsyncContextManager[Running]]

PEOPLE = 20
WAYS_TO_FAIL = (
    None,
    None,
    Fault(429, {"Retry-After": "0"}),
    Fault(503),
    Fault(is_reset=True),
    Fault(is_carried_out=True, is_reset=True),
)


def lives() -> Iterator[StoredMessage]:
    """Everybody comes as a visitor, looks around, gives a name and buys something."""
    when = "2024-03-05T10:20:30.000Z"
    offset = 0
    for step in range(4):
        for person in range(PEOPLE):
            user_id = f"u{person}" if step > 1 else None
            who: dict[str, Any] = {"anonymousId": f"visitor-{person}", "userId": user_id, "timestamp": when}
            if step == 2:
                yield stored(offset, type="identify", event=None, traits={"first_name": f"P{person}"}, **who)
            else:
                yield stored(offset, event=("Landed", "Looked", "", "Bought")[step], properties={}, **who)
            offset += 1


def customerio() -> DestinationInstance:
    made = bench("customerio")
    subscriptions = tuple(
        Subscription(
            id=f"s{number}",
            action=preset.action,
            subscribe=preset.subscribe,
            mapping=made.destination.action(preset.action).default_mapping(),
        )
        for number, preset in enumerate(made.destination.presets)
    )
    return DestinationInstance(
        id="d1",
        name="journeys",
        slug="customerio",
        sources=(),
        enabled=True,
        settings=made.settings,
        subscriptions=subscriptions,
        start="beginning",
        options={},
    )


@pytest.fixture
def api() -> TrackApi:
    return TrackApi()


@pytest.fixture
async def running(api: TrackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deliver]:
    """Starts deliverers of messages to the stand-in."""
    async with api.running() as send:

        class ToTheStandIn(Egress):
            def __init__(self, rules: EgressRules) -> None:
                super().__init__(rules)
                self.redirected = Redirected(super().__call__, send.base)

            async def __call__(self, request: HttpRequest, /) -> HttpResponse:
                return await self.redirected(request)

        monkeypatch.setattr(deliverer, "Egress", ToTheStandIn)
        registry = {"customerio": bench("customerio").destination}

        def deliver(messages: MemoryMessages) -> AbstractAsyncContextManager[Running]:
            return delivering(tmp_path, messages, MemoryWorkspace([customerio()]), registry=registry)

        yield deliver


async def test_a_vendor_that_fails_in_every_way_gets_everything_in_order(api: TrackApi, running: Deliver) -> None:
    draw = random.Random(7)
    api.faults.extend(draw.choice(WAYS_TO_FAIL) for _ in range(12))
    async with running(MemoryMessages().add(lives())) as deliverer_of_lives:
        terms = await deliverer_of_lives.until_ended(4 * PEOPLE, timeout_s=45)
    assert terms == {"taken": 4 * PEOPLE, "delivered": 4 * PEOPLE}
    assert not api.faults
    for person in range(PEOPLE):
        assert api.people[f"u{person}"] == {"first_name": f"P{person}", "anonymous_id": f"visitor-{person}"}
        # The visitor's events became the person's, in their order, each once although some were sent twice.
        assert [name for who, name in api.events if who == f"u{person}"] == ["Landed", "Looked", "Bought"]


async def test_a_public_write_key_erases_nobody_at_the_vendor_and_a_server_does(
    api: TrackApi, running: Deliver
) -> None:
    events = ("User Deleted", "User Suppressed", "User Unsuppressed", "Object Deleted", "Relationship Deleted")
    said: dict[str, Any] = {"userId": "victim", "properties": {"objectId": "acme"}}
    public = int(Trust.CLIENT | Trust.EMAIL_CLAIM)
    messages = [stored(at, event=event, trust=public, **said) for at, event in enumerate(events)]
    messages.append(stored(5, type="alias", event=None, userId="thief", previousId="victim", trust=public))
    messages.append(stored(6, event="User Deleted", userId="leaver", trust=int(SERVER_TRUST)))
    async with running(MemoryMessages().add(messages)) as one:
        assert await one.until_ended(7) == {"taken": 7, "filtered": 6, "delivered": 1}
        assert one.reader.reasons("d1") == {"filtered:control_untrusted": 5, "filtered:alias_untrusted": 1}
    assert [each.body for each in api.received] == [
        {"batch": [{"type": "person", "action": "delete", "identifiers": {"id": "leaver"}}]}
    ]
