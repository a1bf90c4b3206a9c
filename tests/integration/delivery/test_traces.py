"""What a trace says of messages that left no row: what was recorded, and no more than the range bears out."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec

from tabard.clock import SystemClock
from tabard.delivery.orders import Resend, place
from tabard.delivery.trace import Tracing, trace
from tabard.destinations.catalog.webhook import destination
from tabard.destinations.kit.action import Call
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.errors import Filtered
from tabard.destinations.kit.request import Send
from tabard.message.types import StoredMessage
from tabard.testing.faulty_destination import FaultyDestination
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


class Ahead(SystemClock):
    """A clock that can be put ahead."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


async def traces(
    running: Running, messages: MemoryMessages, workspace: MemoryWorkspace, *ids: str
) -> list[dict[str, Any]]:
    """The one entry of each message's trace, made by a destination that filters what is marked so."""
    tracing = Tracing(messages, running.store, workspace, {"webhook": choosy()})
    found = [await running.deliverer.in_store(trace, id_, tracing) for id_ in ids]
    assert all(len(each) == 1 for each in found)
    return [each[0] for each in found]


def choosy() -> Destination:
    """The webhook, filtering messages of the event `No` by itself."""
    action = destination.actions[0]

    async def perform(send: Send, call: Call, /) -> None:
        if call.message.get("event") == "No":
            raise Filtered("it says no")
        await action.perform(send, call)

    return dataclasses.replace(destination, actions=(dataclasses.replace(action, perform=perform),))


async def test_a_trace_goes_by_the_recorded_attempt_where_there_is_one(tmp_path: Path) -> None:
    messages = MemoryMessages().add([stored(0), stored(1, event="No"), stored(2)])
    async with FaultyDestination(bad=lambda message: message.get("messageId") == "m1-2", bad_status=422) as hook:
        workspace = MemoryWorkspace()
        workspace.put(webhook(hook.url))
        async with delivering(tmp_path, messages, workspace, registry={"webhook": choosy()}) as running:
            await running.until_ended(3)
            hook.bad = lambda _message: False
            place(tmp_path / "orders", Resend(id="o1", consumer="d1"), SystemClock())
            await running.until(lambda: "m1-2" in hook.message_ids)
            await running.terms()
            smooth, filtered, resent = await traces(running, messages, workspace, "m1-0", "m1-1", "m1-2")
    assert (smooth["outcome"], smooth["how"]) == ("delivered", "range")
    assert (filtered["outcome"], filtered["code"], filtered["how"]) == (
        "filtered", "filtered_by_destination", "attempts",
    )  # fmt: skip
    assert filtered["reason"] == "it says no"
    assert (resent["outcome"], resent["how"]) == ("delivered", "attempts")
    assert [each["outcome"] for each in resent["attempts"]] == ["dead", "delivered"]


async def test_a_trace_does_not_call_an_unchanged_identify_delivered(tmp_path: Path) -> None:
    def identify(offset: int) -> StoredMessage:
        return stored(offset, type="identify", userId="u1", event=None, traits={"plan": "pro"}, messageId=f"m{offset}")

    messages = MemoryMessages().add([identify(0)])
    instance = webhook("", no_needless_calls=True)
    only_traits = msgspec.structs.replace(
        instance.subscriptions[0], mapping={"data": {"traits": {"@path": "$.traits"}}}
    )
    clock = Ahead()
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace()
        workspace.put(msgspec.structs.replace(instance, settings={"url": hook.url}, subscriptions=(only_traits,)))
        async with delivering(tmp_path, messages, workspace, clock=clock) as running:
            await running.until_ended(1)
            [sure] = await traces(running, messages, workspace, "m0")
            messages.add([identify(1)])
            await running.until_ended(2)
            mixed = await traces(running, messages, workspace, "m0", "m1")
            clock.ahead_ms = 20_000
            messages.add([identify(2)])
            await running.until_ended(3)
            [unchanged] = await traces(running, messages, workspace, "m2")
    assert sure["outcome"] == "delivered"
    assert [each["outcome"] for each in mixed] == ["unknown", "unknown"]
    assert mixed[0]["reason"].startswith("delivered, or unchanged")
    assert (unchanged["outcome"], unchanged["code"]) == ("filtered", "unchanged")


async def test_a_trace_that_the_counts_of_the_range_contradict_says_unknown(tmp_path: Path) -> None:
    messages = MemoryMessages().add([stored(0), stored(1)])
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace()
        workspace.put(webhook(hook.url))
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(2)
            # As if that version had been another one.
            workspace.put(webhook(hook.url, enabled=False))
            [told] = await traces(running, messages, workspace, "m1-0")
    assert told["outcome"] == "unknown"
    assert "no message of its source that was filtered" in told["reason"]
