"""A whole deliverer sends to a vendor that fails in every way: all arrives, nothing twice where the vendor can tell."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tabard.clock import SystemClock
from tabard.delivery import deliverer
from tabard.delivery.dead_letter import LetterSearch, dead_letters
from tabard.delivery.egress import Egress, EgressRules
from tabard.delivery.erasures import Erasures
from tabard.delivery.names import Names
from tabard.delivery.orders import Resend, place
from tabard.delivery.trace import Tracing, trace
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
            def __init__(self, rules: EgressRules, names: Names) -> None:
                super().__init__(rules, names)
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


def deletion(offset: int, *people: str) -> tuple[StoredMessage, tuple[str, ...]]:
    """A delete as the command line states it, in the admin partition."""
    return stored(offset, partition=0, type="control", event=None, userId=None, ids=list(people)), people


def with_deletions(messages: MemoryMessages, *deletions: tuple[StoredMessage, tuple[str, ...]]) -> MemoryMessages:
    messages.deleted |= {message.position: people for message, people in deletions}
    return messages.add(message for message, _ in deletions)


async def test_a_destination_erases_whom_we_delete_and_is_asked_until_it_has(api: TrackApi, running: Deliver) -> None:
    messages = MemoryMessages().add([stored(0, type="identify", event=None, userId="u1", traits={"plan": "x"})])
    async with running(messages) as one:
        await one.until_ended(1)
        assert api.people.keys() == {"u1"}
        api.faults.extend([Fault(503), Fault(is_reset=True)])
        with_deletions(messages, deletion(0, "user:u1", "email:u1@x.io", "anon:d"))
        await one.until(lambda: one.reader.erasure_books("d1")["done"] == 1, timeout_s=20)
        assert one.reader.erasure_books("d1") == {"asked": 1, "done": 1, "by_action": 0, "failed": 0, "pending": 0}
        kept = one.reader.erasure("d1", 0)
    assert api.people == {}
    assert kept is not None
    assert (kept.people, kept.attempts) == ((), 2)
    asked = len(api.received)
    async with running(messages) as again:
        await again.turn()
        assert again.reader.erasure_books("d1")["asked"] == 1
    assert len(api.received) == asked


async def test_an_erasure_that_is_refused_is_a_dead_letter_that_can_be_sent_again(
    api: TrackApi, running: Deliver, tmp_path: Path
) -> None:
    api.faults.append(Fault(400))
    messages = with_deletions(MemoryMessages(), deletion(7, "user:u1"))
    async with running(messages) as one:
        await one.until(lambda: one.reader.erasure_books("d1")["failed"] == 1)
        [letter] = dead_letters(one.reader, LetterSearch(consumer="d1"), 10).letters
        shown = (letter["position"], letter["type"], letter["people"], letter["code"])
        assert shown == ("0:7", "delete", ["user:u1"], "http_400")
        place(tmp_path / "orders", Resend(id="o", consumer="d1", positions=(7,)), SystemClock())
        await one.until(lambda: one.reader.erasure_books("d1")["done"] == 1)
        assert one.reader.order_answer("o") == {"resent": 1}
        assert dead_letters(one.reader, LetterSearch(consumer="d1"), 10).letters == []


async def test_a_deletion_that_goes_out_as_an_action_is_not_asked_for_twice(api: TrackApi, running: Deliver) -> None:
    message = stored(0, event="User Deleted", userId="u1")
    messages = with_deletions(MemoryMessages(), (message, ("user:u1",)))
    async with running(messages) as one:
        await one.until_ended(1)
        await one.until(lambda: one.reader.erasure_books("d1")["by_action"] == 1)
        assert one.reader.erasure_books("d1")["pending"] == 0
        tracing = Tracing(messages, one.reader, MemoryWorkspace(), {})
        [traced] = trace(message.message_id, tracing)
    assert traced["erasure"]["state"] == "by_action"
    assert len(api.received) == 1


async def test_told_to_stop_a_deliverer_asks_for_no_further_erasure(api: TrackApi, running: Deliver) -> None:
    messages = with_deletions(MemoryMessages(), *(deletion(at, f"user:u{at}") for at in range(3)))
    async with running(messages) as one:
        stop = asyncio.Event()
        erasures = Erasures(one.deliverer, stop)
        await erasures.tell()
        assert one.reader.erasure_books("d1")["pending"] == 3
        await asyncio.sleep(1.6)
        stop.set()
        await erasures.tell()
        assert one.reader.erasure_books("d1")["pending"] == 3
    assert api.received == []
