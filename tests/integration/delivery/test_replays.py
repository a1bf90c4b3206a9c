"""What a replay takes: what was never delivered, by whatever way, and what its own dead letters need."""

from pathlib import Path

import msgspec

from tabard.clock import SystemClock
from tabard.delivery.orders import Resend, StartReplay, place
from tabard.delivery.trace import Tracing, trace
from tabard.destinations.catalog.webhook import destination
from tabard.storage.deliveries import Letters, Replay
from tabard.testing.faulty_destination import FaultyDestination
from tabard.workspace.types import DestinationInstance, Subscription
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


def taking(hook: FaultyDestination, trigger: str, version: int) -> DestinationInstance:
    """A webhook that began behind the tenth message and takes what the trigger matches."""
    only = Subscription(id="sub1", action="send", subscribe=trigger, mapping={"data": {"@path": "$."}})
    instance = webhook(hook.url, start="1970-01-01T00:00:01.010Z", version=version)
    return msgspec.structs.replace(instance, subscriptions=(only,))


async def replayed(running: Running, folder: Path, id_: str, replay: Replay) -> None:
    """Starts a replay and waits until it has ended."""
    place(folder / "orders", StartReplay(id=id_, destination="d1", replay=replay), SystemClock())
    await running.until(lambda: (state := running.reader.consumer(id_)) is not None and state.state == "done")


def ids(*offsets: int) -> list[str]:
    return [f"m1-{offset}" for offset in offsets]


async def test_undelivered_takes_what_no_way_has_delivered_yet_and_a_second_time_nothing(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(15))
    messages.add(stored(offset, type="page", event=None) for offset in range(15, 20))
    workspace = MemoryWorkspace()
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-12") as hook:
        workspace.put(taking(hook, 'type = "track"', 1))
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(10)
            assert hook.message_ids == ids(10, 11, 13, 14)
            workspace.put(taking(hook, 'type = "track" or type = "page"', 2))
            await running.turn()
            await replayed(running, tmp_path, "some", Replay(trigger='userId = "u1-3"'))
            assert hook.message_ids[4:] == ids(3)
            # Before it began but for the one replayed, what the old trigger left out, and the dead one, again in vain.
            await replayed(running, tmp_path, "rest", Replay(only="undelivered"))
            assert hook.message_ids[5:] == ids(0, 1, 2, *range(4, 10), *range(15, 20))
            hook.bad = lambda _message: False
            await replayed(running, tmp_path, "failed", Replay(only="failed"))
            assert hook.message_ids[19:] == ids(12)
            await replayed(running, tmp_path, "again", Replay(only="undelivered"))
            assert (await running.terms("again")) == {"taken": 20, "filtered": 20}
    assert len(hook.message_ids) == 20


async def test_a_trace_tells_a_message_that_a_replay_left_out_from_one_it_sent(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(20))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace()
        workspace.put(taking(hook, 'type = "track"', 1))
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(10)
            await replayed(running, tmp_path, "one", Replay(trigger='userId = "u1-3"'))
            await replayed(running, tmp_path, "rest", Replay(only="undelivered"))
            tracing = Tracing(messages, running.reader, workspace, {"webhook": destination})
            found = {(id_, entry.get("replay")): entry["outcome"] for id_ in ids(2, 3) for entry in trace(id_, tracing)}
    assert found == {
        ("m1-2", None): "before_start", ("m1-2", "one"): "filtered", ("m1-2", "rest"): "unknown",
        ("m1-3", None): "before_start", ("m1-3", "one"): "delivered", ("m1-3", "rest"): "unknown",
    }  # fmt: skip


async def test_a_dead_letter_of_an_ended_replay_is_sent_again_alone_and_counted_in_its_books(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(15))
    async with FaultyDestination(bad=lambda message: message["messageId"] in ids(2, 4)) as hook:
        workspace = MemoryWorkspace([taking(hook, 'type = "track"', 1)])
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(5)
            await replayed(running, tmp_path, "r1", Replay(only="undelivered"))
            assert (await running.terms("r1")) == {"taken": 15, "filtered": 5, "delivered": 8, "dead": 2}
            hook.bad = lambda _message: False
            [(_, dead), _] = running.reader.dead_letters(Letters(consumer="r1"), 10)
            place(tmp_path / "orders", Resend(id="o1", consumer="r1", positions=(dead.position,)), SystemClock())
            await running.until(lambda: hook.message_ids[-1] == dead.message_id)
            await running.until(lambda: (state := running.reader.consumer("r1")) is not None and state.state == "done")
            assert (await running.terms("r1")) == {"taken": 15, "filtered": 5, "delivered": 9, "dead": 1}
            assert (await running.terms())["delivered"] == 5


async def test_a_replay_that_delivers_a_dead_letter_of_live_traffic_closes_it(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(6))
    async with FaultyDestination(bad=lambda message: message.get("messageId") in ids(2, 4)) as hook:
        workspace = MemoryWorkspace()
        workspace.put(webhook(hook.url))
        async with delivering(tmp_path, messages, workspace) as running:
            assert await running.until_ended(6) == {"taken": 6, "delivered": 4, "dead": 2}
            hook.bad = lambda message: message.get("messageId") == "m1-4"
            await replayed(running, tmp_path, "failed", Replay(only="failed"))
            assert await running.terms() == {"taken": 6, "delivered": 5, "dead": 1}
            assert await running.terms("failed") == {"taken": 6, "delivered": 1, "dead": 1, "filtered": 4}
            order = place(tmp_path / "orders", Resend(id="o1", consumer="d1"), SystemClock())
            await running.until(lambda: running.reader.order_answer(order) is not None)
            assert running.reader.order_answer(order) == {"resent": 1}
            tracing = Tracing(messages, running.reader, workspace, {"webhook": destination})
            [cured] = [entry for entry in trace("m1-2", tracing) if entry["kind"] == "live"]
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}
    assert hook.message_ids.count("m1-2") == 1
    assert (cured["outcome"], cured["how"]) == ("delivered", "attempts")
    assert cured["attempts"][-1]["reason"] == "by replay failed"


async def test_a_replay_that_begins_in_the_future_is_refused(tmp_path: Path) -> None:
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, MemoryMessages().add([stored(0)]), workspace) as running:
            replay = Replay(since=SystemClock().now_ms() + 86_400_000)
            order = place(tmp_path / "orders", StartReplay(id="r1", destination="d1", replay=replay), SystemClock())
            await running.until(lambda: running.reader.order_answer(order) is not None)
            answer = running.reader.order_answer(order)
    assert answer == {"error": "the range begins in the future: nothing is stored there yet"}
