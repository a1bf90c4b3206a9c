"""A destination that an operator has paused: its cursor is held, nothing is sent, and nothing is lost."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import msgspec

from tabard.clock import SystemClock
from tabard.delivery.duties import status, write_status
from tabard.delivery.orders import Order, Probe, Resend, StartReplay, place
from tabard.delivery.trace import Tracing, trace
from tabard.delivery.views import DeliveryViews
from tabard.destinations.catalog.webhook import destination
from tabard.destinations.kit.destination import Subject
from tabard.destinations.kit.request import Send
from tabard.settings import Settings
from tabard.storage.deliveries import Replay
from tabard.telemetry.metrics import exposition
from tabard.testing.faulty_destination import FaultyDestination
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


def ordered(folder: Path, order: Order) -> None:
    place(folder / "orders", order, SystemClock())


def paused(workspace: MemoryWorkspace, at_ms: int) -> None:
    """Pauses every destination (0: resumes), as the workspace does: without a new version."""
    workspace.put(*(msgspec.structs.replace(each, paused_at=at_ms) for each in workspace.instances))


async def some_turns(running: Running, number: int = 10) -> None:
    for _ in range(number):
        await running.turn()
        await asyncio.sleep(0.02)


async def test_messages_stay_pending_while_it_is_paused_also_over_a_restart_and_all_arrive_after_it(
    tmp_path: Path,
) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(5))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(5)
            paused(workspace, 2_000)
            await running.turn()
            messages.add(stored(offset) for offset in range(5, 50))
            await some_turns(running)
            assert await running.terms() == {"taken": 5, "delivered": 5}
        async with delivering(tmp_path, messages, workspace) as running:
            await some_turns(running)
            assert await running.terms() == {"taken": 5, "delivered": 5}
            assert len(hook.taken) == 5
            paused(workspace, 0)
            assert (await running.until_ended(50))["delivered"] == 50
    assert len(hook.message_ids) == len(set(hook.message_ids)) == 50


async def test_a_resend_and_a_replay_are_accepted_and_wait_and_a_probe_is_refused(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(10))
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-3") as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            assert (await running.until_ended(10))["dead"] == 1
            hook.bad = lambda _message: False
            paused(workspace, 2_000)
            await running.turn()
            requests = hook.requests
            ordered(tmp_path, Resend(id="again", consumer="d1"))
            ordered(tmp_path, StartReplay(id="r1", destination="d1", replay=Replay(until=1_003)))
            ordered(tmp_path, Probe(id="now", destination="d1"))
            await some_turns(running)
            assert await running.terms() == {"taken": 10, "delivered": 9, "parked": 1}
            assert hook.requests == requests
            assert running.reader.order_answer("again") == {"resent": 1}
            told = running.reader.order_answer("now")
            assert told == {"error": "it is paused by operator since 1970-01-01T00:00:02.000Z; resume it first"}
        # The replay waits over a restart, too.
        async with delivering(tmp_path, messages, workspace) as running:
            await some_turns(running)
            assert hook.requests == requests
            paused(workspace, 0)
            await running.until(lambda: getattr(running.reader.consumer("r1"), "state", "") == "done")
            assert await running.until_ended(10) == {"taken": 10, "delivered": 10}
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}
    assert sorted(hook.message_ids[9:]) == ["m1-0", "m1-1", "m1-2", "m1-3"]


async def test_deletions_are_taken_up_while_it_is_paused_and_asked_for_after_it(tmp_path: Path) -> None:
    erased: list[str | None] = []

    async def on_delete(_send: Send, _settings: Any, subject: Subject) -> None:
        erased.append(subject.user_id)

    can_erase = {"webhook": dataclasses.replace(destination, on_delete=on_delete)}
    settings = Settings(egress_private=True, delivery_timeout_s=0.1)
    messages = MemoryMessages().add([stored(0)])
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace, settings=settings, registry=can_erase) as running:
            await running.until_ended(1)
            paused(workspace, 2_000)
            await running.turn()
            deletion = stored(1, type="control", event=None, userId="u1")
            messages.deleted = {deletion.position: ("user:u1",)}
            messages.add([deletion])
            await running.until(lambda: running.reader.erasure_books("d1")["pending"] == 1)
            await asyncio.sleep(1.3)
            await some_turns(running)
            assert erased == []
            paused(workspace, 0)
            await running.until(lambda: running.reader.erasure_books("d1")["done"] == 1)
    assert erased == ["u1"]


async def test_what_is_no_longer_kept_when_it_is_resumed_has_expired_and_the_books_balance(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(20))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, start="beginning")])
        paused(workspace, 2_000)
        async with delivering(tmp_path, messages, workspace) as running:
            await some_turns(running)
            kept = messages.messages[1]
            messages.messages[1] = [msgspec.structs.replace(each, body=b"") for each in kept[:8]] + kept[8:]
            paused(workspace, 0)
            assert await running.until_ended(20) == {"taken": 20, "delivered": 12, "expired": 8}
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}


async def test_what_is_queued_for_longer_than_a_minute_is_not_sent_once_it_is_no_longer_kept(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset, userId="one") for offset in range(3))
    async with FaultyDestination(slow_s=0.4) as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url, rate_per_s=2)])) as running:
            await running.until(lambda: len(hook.taken) == 1)
            messages.messages[1][2] = msgspec.structs.replace(messages.messages[1][2], body=b"")
            for item in running.deliverer.feed._ring:
                item.checked_at -= 61_000
            assert await running.until_ended(3) == {"taken": 3, "delivered": 2, "expired": 1}
    assert hook.message_ids == ["m1-0", "m1-1"]


async def test_a_pause_is_told_by_status_books_metric_and_trace_with_the_age_of_what_waits(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(3))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(3)
            paused(workspace, 2_000)
            messages.add(stored(offset) for offset in range(3, 6))
            await running.turn()
            await running.until(lambda: running.deliverer.outlets["d1"].lag_ms(5_000) > 0)
            told = status(running.deliverer, running.bookkeeping)["destinations"]["d1"]
            since = "paused by operator since 1970-01-01T00:00:02.000Z"
            assert (told["state"], told["why"]) == ("paused", since)
            assert running.deliverer.outlets["d1"].lag_ms(5_003) == 4_000
            write_status(running.deliverer, running.bookkeeping)
            assert 'tabard_delivery_paused{destination="d1"} 1' in exposition().decode()
            tracing = Tracing(messages, running.reader, workspace, {"webhook": destination})
            book = DeliveryViews(tracing, tmp_path / "deliverer.json").books()["d1"]
            assert (book["state"], book["pausedAt"]) == ("paused", "1970-01-01T00:00:02.000Z")
            assert (book["books"]["pending"], book["books"]["delivered"]) == (3, 3)
            [entry] = trace("m1-4", tracing)
            assert (entry["outcome"], entry["reason"]) == ("pending", since)


async def test_the_time_of_a_pause_is_no_time_of_failing(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(10))
    settings = Settings(egress_private=True, delivery_timeout_s=0.5, delivery_patience_s=2)
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-3", bad_status=500) as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace, settings=settings) as running:
            await running.until(lambda: len(hook.taken) == 9)
            # A later message is taken: now the one that fails stands alone, as a row.
            messages.add([stored(10)])
            await running.until(lambda: len(hook.taken) == 10)
            await running.until(lambda: running.reader.row("d1", stored(3).position) is not None)
            paused(workspace, running.deliverer.now_ms())
            await running.turn()
            await asyncio.sleep(2.1)
            paused(workspace, 0)
            await running.turn()
            tried = hook.requests
            await running.until(lambda: hook.requests > tried)
            await asyncio.sleep(0.1)
            assert (await running.terms()).get("parked") == 1
            hook.bad = lambda _message: False
            assert await running.until_ended(11) == {"taken": 11, "delivered": 11}


async def test_a_destination_that_refused_the_credentials_is_probed_after_a_restart_and_not_sent_all_it_has(
    tmp_path: Path,
) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(50))
    async with FaultyDestination(status=401) as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until(lambda: running.deliverer.outlets["d1"].shared.breaker.is_open)
            await running.deliverer.commit()
        requests = hook.requests
        async with delivering(tmp_path, messages, workspace) as running:
            told = status(running.deliverer, running.bookkeeping)["destinations"]["d1"]
            assert (told["state"], told["why"]) == ("paused", "credentials_refused: http_401")
            await some_turns(running)
            assert hook.requests == requests
            hook.status = None
            # The probe is due five seconds after it began to rest.
            assert await running.until_ended(50) == {"taken": 50, "delivered": 50}
            assert running.reader.consumer("d1").rest.why == ""  # type: ignore[union-attr]


async def test_a_wait_the_destination_asked_for_holds_over_a_restart_and_ends_with_another_configuration(
    tmp_path: Path,
) -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(20))
    async with FaultyDestination(status=503, retry_after="600") as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            running.deliverer.outlets["d1"].shared.pace.hold(running.deliverer.now_ms() / 1000 + 600)
            requests = hook.requests
        hook.status = None
        async with delivering(tmp_path, messages, workspace) as running:
            await some_turns(running)
            assert hook.requests == requests
            workspace.put(webhook(hook.url, version=2))
            assert (await running.until_ended(20))["delivered"] == 20
