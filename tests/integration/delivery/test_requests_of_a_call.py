"""Calls that take several requests: a batch refused as a whole, an action that asks more than once."""

from dataclasses import replace
from pathlib import Path

from tabard.clock import SystemClock
from tabard.delivery.orders import StartReplay, place
from tabard.destinations.catalog.webhook import destination
from tabard.destinations.kit.action import Call
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.request import Send, json_request
from tabard.storage.deliveries import Replay
from tabard.testing.faulty_destination import FaultyDestination
from tests.integration.delivery.running import delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


async def test_of_a_batch_with_bad_items_only_these_die_and_the_others_arrive_once(tmp_path: Path) -> None:
    bad = {3, 17, 18}
    messages = MemoryMessages().add(stored(offset, properties={"bad": offset in bad}) for offset in range(40))
    async with FaultyDestination(bad=lambda item: item["properties"]["bad"]) as hook:
        workspace = MemoryWorkspace([webhook(hook.url, batch_size=40)])
        async with delivering(tmp_path, messages, workspace) as running:
            terms = await running.until_ended(40)
    assert terms == {"taken": 40, "delivered": 37, "dead": 3}
    assert sorted(hook.message_ids) == sorted(f"m1-{offset}" for offset in range(40) if offset not in bad)


def asking_thrice() -> Destination:
    """A webhook whose action makes three requests a message."""

    async def thrice(send: Send, call: Call, /) -> None:
        for _ in range(3):
            raise_for_status(await send(json_request("POST", str(call.settings["url"]), {"batch": [call.message]})))

    return replace(destination, actions=(replace(destination.actions[0], perform=thrice, perform_batch=None),))


async def test_a_rate_counts_every_request_of_an_action_that_makes_three(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(8))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, rate_per_s=40)])
        async with delivering(tmp_path, messages, workspace, registry={"webhook": asking_thrice()}) as running:
            await running.until_ended(8)
    assert hook.requests == 24
    last_began = hook.taken[-3].at_s
    assert last_began - hook.taken[0].at_s >= 21 / 40 * 0.9


async def test_the_rate_of_a_replay_counts_them_too(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(8))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace, registry={"webhook": asking_thrice()}) as running:
            await running.until_ended(8)
            replay = StartReplay(id="r1", destination="d1", replay=Replay(rate_per_s=40))
            place(tmp_path / "orders", replay, SystemClock())
            await running.until(lambda: getattr(running.reader.consumer("r1"), "state", "") == "done")
    assert hook.requests == 48
    assert hook.taken[-3].at_s - hook.taken[24].at_s >= 21 / 40 * 0.9
