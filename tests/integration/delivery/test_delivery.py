"""Messages to a real HTTP server through a whole deliverer."""

import asyncio
import dataclasses
import hashlib
import hmac
import time
from pathlib import Path
from statistics import median

import msgspec

from tabard.clock import SystemClock
from tabard.delivery.books import check_books
from tabard.delivery.breaker import Why
from tabard.delivery.dead_letter import LetterSearch, dead_letter
from tabard.delivery.duties import Forgetting, erase, status
from tabard.delivery.orders import CancelReplay, Order, Resend, StartReplay, place
from tabard.delivery.run import run
from tabard.delivery.trace import Tracing, trace
from tabard.delivery.views import DeliveryViews
from tabard.destinations.catalog.webhook import destination
from tabard.message.types import StoredMessage
from tabard.settings import Settings
from tabard.storage.deliveries import Letters, Replay
from tabard.telemetry.metrics import exposition
from tabard.testing.faulty_destination import Fault, FaultyDestination
from tests.integration.delivery.running import delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


def plain(number: int, people: int = 5, partition: int = 1) -> MemoryMessages:
    return MemoryMessages().add(
        stored(offset, partition=partition, userId=f"u{offset % people}") for offset in range(number)
    )


def given(folder: Path, order: Order) -> str:
    return place(folder / "orders", order, SystemClock())


async def test_every_message_arrives_once_and_in_order(tmp_path: Path) -> None:
    messages = plain(200)
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            terms = await running.until_ended(200)
    assert terms == {"taken": 200, "delivered": 200}
    for user in range(5):
        mine = [each.message_id for each in hook.taken if each.body["userId"] == f"u{user}"]
        assert mine == [f"m1-{offset}" for offset in range(user, 200, 5)]


async def test_new_messages_arrive_while_it_runs_and_a_restart_sends_nothing_again(tmp_path: Path) -> None:
    messages = plain(10)
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(10)
            messages.add([stored(10), stored(12)])
            await running.until_ended(12)
        async with delivering(tmp_path, messages, workspace) as running:
            messages.add([stored(20)])
            await running.until_ended(13)
    assert sorted(hook.message_ids) == sorted([f"m1-{offset}" for offset in (*range(11), 12, 20)])


async def test_a_signed_request_carries_what_a_receiver_needs_to_verify_it(tmp_path: Path) -> None:
    settings = {"secret": "s3cret-s3cret", "headers": "X-Team: growth\nAuthorization: Bearer token-token"}
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, settings=settings)])
        async with delivering(tmp_path, plain(1), workspace) as running:
            await running.until_ended(1)
    taken = hook.taken[0]
    moment, signature = (part.partition("=")[2] for part in taken.headers["x-tabard-signature"].split(","))
    body = msgspec.json.encode(taken.body)
    assert signature == hmac.new(b"s3cret-s3cret", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert taken.headers["x-team"] == "growth"
    assert taken.headers["authorization"] == "Bearer token-token"
    assert taken.headers["idempotency-key"] == "m1-0"
    assert taken.headers["user-agent"] == "Tabard"


async def test_chaos_loses_nothing_keeps_order_and_doubles_only_what_nobody_could_know(tmp_path: Path) -> None:
    number, people = 200, 40
    faults = {
        Fault.TOO_MANY: 0.01, Fault.SERVER_ERROR: 0.05, Fault.HANG: 0.01, Fault.RESET: 0.04, Fault.HALF: 0.03,
        Fault.GARBAGE: 0.03, Fault.DRIP: 0.01, Fault.LATE: 0.01,
    }  # fmt: skip
    messages = plain(number, people)
    settings = Settings(egress_private=True, delivery_timeout_s=0.2)
    async with FaultyDestination(faults=faults, seed=4, retry_after="0", slow_s=0.4) as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace, settings=settings) as running:
            terms = await running.until_ended(number, timeout_s=40)
    assert terms == {"taken": number, "delivered": number}
    assert set(hook.message_ids) == {f"m1-{offset}" for offset in range(number)}
    doubled = [each for each in hook.taken if hook.message_ids.count(each.message_id) > 1]
    unsure = {each.message_id for each in hook.taken if each.fault is not None}
    assert {each.message_id for each in doubled} <= unsure
    for user in range(people):
        mine = list(dict.fromkeys(each.message_id for each in hook.taken if each.body.get("userId") == f"u{user}"))
        assert mine == [f"m1-{offset}" for offset in range(user, number, people)]


async def test_a_batch_destination_gets_batches_and_the_order_within_them(tmp_path: Path) -> None:
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, batch_size=50)])
        async with delivering(tmp_path, plain(400, people=400), workspace) as running:
            await running.until_ended(400)
    assert sorted(hook.message_ids) == sorted(f"m1-{offset}" for offset in range(400))
    assert hook.requests < 60


async def test_what_the_integrations_object_or_a_source_keeps_out_is_counted_by_its_reason(tmp_path: Path) -> None:
    messages = MemoryMessages().add(
        [stored(0), stored(1, integrations={"All": False}), stored(2, integrations={"hook": False}),
         stored(3, source="other"), stored(4, integrations={"All": False, "Webhook": True}), stored(5, type="other")]
    )  # fmt: skip
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, sources=("s1",))])
        async with delivering(tmp_path, messages, workspace) as running:
            terms = await running.until_ended(6)
            reasons = await running.deliverer.in_store(running.store.reasons, "d1")
    assert terms == {"taken": 6, "delivered": 2, "filtered": 4}
    assert reasons == {
        "filtered:filtered_by_integrations": 2, "filtered:source_not_joined": 1, "filtered:no_matching_trigger": 1,
    }  # fmt: skip
    assert sorted(hook.message_ids) == ["m1-0", "m1-4"]


async def test_a_refused_message_is_a_dead_letter_with_its_exchange_and_can_be_sent_again(tmp_path: Path) -> None:
    settings = {"secret": "s3cret-s3cret", "headers": "Authorization: Bearer token-token"}
    messages = plain(20)
    async with FaultyDestination(bad=lambda message: message["messageId"] in ("m1-3", "m1-4")) as hook:
        workspace = MemoryWorkspace([webhook(hook.url, settings=settings)])
        async with delivering(tmp_path, messages, workspace) as running:
            terms = await running.until_ended(20)
            assert terms == {"taken": 20, "delivered": 18, "dead": 2}
            tracing = Tracing(messages, running.store, workspace, {"webhook": destination})
            views = DeliveryViews(tracing, tmp_path / "deliverer.json")
            letters = await running.deliverer.in_store(views.dead_letters, LetterSearch(), 10)
            assert [letter["name"] for letter in letters["deadLetters"]] == ["hook", "hook"]
            position = messages.find("m1-3")[0].position
            letter = await running.deliverer.in_store(dead_letter, running.store, "d1", position)
            assert letter
            assert (letter["code"], letter["attempts"], letter["messageId"]) == ("http_400", 1, "m1-3")
            request, answer = letter["tries"][0]["request"], letter["tries"][0]["answer"]
            assert request.startswith(f"POST {hook.url}")
            assert '"messageId":"m1-3"' in request
            assert answer.startswith("400")
            assert "token-token" not in request
            assert "s3cret" not in request
            assert "v1=" not in request

            hook.bad = lambda message: message["messageId"] == "m1-4"
            order = given(tmp_path, Resend(id="o1", consumer="d1"))
            await running.until(lambda: running.reader.order_answer(order) is not None)
            terms = await running.until_ended(20)
            while terms.get("parked"):
                terms = await running.terms()
            assert running.reader.order_answer(order) == {"resent": 2}
            assert terms == {"taken": 20, "delivered": 19, "dead": 1}
    assert hook.message_ids.count("m1-3") == 1


async def test_a_dead_letter_named_twice_is_sent_once_and_the_books_balance(tmp_path: Path) -> None:
    messages = plain(4)
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-3") as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(4)
            position, hook.status = messages.find("m1-3")[0].position, 503
            first = given(tmp_path, Resend(id="o1", consumer="d1", positions=(position, position)))
            again = given(tmp_path, Resend(id="o2", consumer="d1", positions=(position,)))
            await running.until(lambda: running.reader.order_answer(again) is not None)
            assert running.reader.order_answer(first) == {"resent": 1}
            assert running.reader.order_answer(again) == {"resent": 0}
            assert await running.terms() == {"taken": 4, "delivered": 3, "parked": 1}
            tracing = Tracing(messages, running.store, MemoryWorkspace([webhook(hook.url)]), {"webhook": destination})
            book = (await running.deliverer.in_store(DeliveryViews(tracing, tmp_path / "deliverer.json").books))["d1"]
            assert (book["reasons"], book["setbacks"]["dead:http_400"]) == ({}, 1)
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}


async def test_refused_credentials_rest_the_destination_and_lose_nothing(tmp_path: Path) -> None:
    async with FaultyDestination(status=401) as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, plain(50), workspace) as running:
            outlet = running.deliverer.outlets["d1"]
            await running.until(lambda: outlet.shared.breaker.is_open)
            await asyncio.sleep(0.3)
            requests = hook.requests
            assert status(running.deliverer, running.bookkeeping)["destinations"]["d1"]["state"] == "paused"
            assert await running.terms() == {}
            hook.status = None
            workspace.put(webhook(hook.url, version=2))
            terms = await running.until_ended(50)
    assert terms == {"taken": 50, "delivered": 50}
    # The first round, each with the test that confirms it, and no more until the settings changed.
    assert requests <= 16


async def test_what_waits_at_a_resting_destination_goes_by_the_corrected_mapping(tmp_path: Path) -> None:
    async with FaultyDestination(status=401) as hook:
        wrong = webhook(hook.url)
        mapping = {"data": {"right": True, "messageId": {"@path": "$.messageId"}}}
        right = msgspec.structs.replace(wrong.subscriptions[0], mapping=mapping)
        workspace = MemoryWorkspace([wrong])
        async with delivering(tmp_path, plain(50, people=50), workspace) as running:
            await running.until(lambda: running.deliverer.outlets["d1"].shared.breaker.is_open)
            hook.status = None
            workspace.put(msgspec.structs.replace(wrong, version=2, subscriptions=(right,)))
            await running.until_ended(50)
    assert len(hook.message_ids) == 50
    assert all(each.body["right"] for each in hook.taken if "messageId" in each.body)


async def test_a_run_of_messages_that_a_healthy_destination_refuses_dies_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = {f"m1-{offset}" for offset in range(40)}
    async with FaultyDestination(bad=lambda message: message.get("messageId") in bad) as hook:
        async with delivering(tmp_path, plain(50, people=50), MemoryWorkspace([webhook(hook.url)])) as running:
            terms = await running.until_ended(50, timeout_s=30)
            assert not running.deliverer.outlets["d1"].shared.breaker.is_open
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}
    assert terms == {"taken": 50, "delivered": 10, "dead": 40}
    assert sorted(hook.message_ids) == [f"m1-{offset}" for offset in range(40, 50)]


async def test_one_dead_destination_leaves_the_lag_of_nineteen_others_as_it_was(tmp_path: Path) -> None:
    messages, sent_at_s = MemoryMessages(), {}
    async with FaultyDestination() as good, FaultyDestination(slow_s=60) as dead:
        instances = [webhook(dead.url if each == 7 else good.url, id=f"d{each}", name=f"h{each}") for each in range(20)]
        patient = Settings(egress_private=True, delivery_timeout_s=20)
        async with delivering(tmp_path, messages, MemoryWorkspace(instances), settings=patient) as running:

            async def lags_s(first: int) -> list[float]:
                """How long each of thirty messages took to each of the nineteen, shortest first."""
                for offset in range(first, first + 30):
                    messages.add([stored(offset)])
                    sent_at_s[f"m1-{offset}"] = time.monotonic()
                    await asyncio.sleep(0.03)
                await running.until(lambda: len(good.taken) == 19 * (first + 30), timeout_s=18)
                return sorted(each.at_s - sent_at_s[each.message_id] for each in good.taken[19 * first :])

            beside_a_healthy_one = await lags_s(0)
            dead.faults = {Fault.HANG: 1.0}
            beside_a_dead_one = await lags_s(30)
            behind = status(running.deliverer, running.bookkeeping)["destinations"]["d7"]
            # The deliverer waits for what is under way before it closes.
            dead.faults = {}
            for task in list(dead._open):
                task.cancel()
    assert behind["underWay"] > 0
    assert median(beside_a_dead_one) < 2 * median(beside_a_healthy_one) + 0.1
    assert beside_a_dead_one[-1] < 5


async def test_messages_of_the_deleted_are_not_sent_and_their_records_go(tmp_path: Path) -> None:
    messages = plain(10)
    messages.dead = {messages.find("m1-2")[0].position}
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-5") as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            terms = await running.until_ended(10)
            assert terms == {"taken": 10, "delivered": 8, "erased": 1, "dead": 1}
            position = messages.find("m1-5")[0].position
            messages.dead.add(position)
            await erase(running.deliverer)
            assert await running.terms() == {"taken": 10, "delivered": 8, "erased": 2}
            assert running.reader.attempts("d1", position) == []
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}
    assert "m1-2" not in hook.message_ids


async def test_a_dead_letter_goes_at_the_next_look_after_its_person_is_deleted(tmp_path: Path) -> None:
    messages = plain(10)
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-5") as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            forgetting = Forgetting(running.deliverer)
            await forgetting.turn()
            await running.until_ended(10)
            position = messages.find("m1-5")[0].position
            messages.add([stored(10)])
            messages.dead.add(position)
            await forgetting.turn()
            assert await running.until_ended(11) == {"taken": 11, "delivered": 10, "dead": 1}
            messages.add([stored(11)])
            messages.deleted[messages.find("m1-11")[0].position] = ("user:u0",)
            async with asyncio.timeout(10):
                while running.reader.row("d1", position) is not None:
                    await forgetting.turn()
                    await asyncio.sleep(0.2)
            assert await running.until_ended(12) == {"taken": 12, "delivered": 11, "erased": 1}


async def test_what_was_recorded_of_the_deleted_is_in_no_byte_of_the_files_in_use(tmp_path: Path) -> None:
    messages = plain(200)
    refused = {f"m1-{offset}" for offset in range(200) if offset % 5 == 3}

    def on_disk() -> bytes:
        return (tmp_path / "delivery.db").read_bytes() + (tmp_path / "delivery.db-wal").read_bytes()

    async with FaultyDestination(bad=lambda message: message["messageId"] in refused) as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(200)
            assert b'"u3"' in on_disk()
            messages.dead = {messages.find(name)[0].position for name in refused}
            await erase(running.deliverer)
            assert b'"u3"' not in on_disk()


async def test_a_message_whose_body_is_no_longer_kept_expires(tmp_path: Path) -> None:
    messages = MemoryMessages().add([stored(0), msgspec.structs.replace(stored(1), body=b""), stored(2)])
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            assert await running.until_ended(3) == {"taken": 3, "delivered": 2, "expired": 1}


async def test_a_replay_sends_a_range_again_behind_live_traffic_with_books_of_its_own(tmp_path: Path) -> None:
    messages = plain(100)
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(100)
            order = given(
                tmp_path,
                StartReplay(
                    id="r1", destination="d1", replay=Replay(since=1_010, until=1_050, trigger='userId = "u1"')
                ),
            )
            await running.until(lambda: (state := running.reader.consumer(order)) is not None and state.state == "done")
            terms = await running.terms(order)
            assert terms == {"taken": 40, "delivered": 8, "filtered": 32}
            assert (await running.terms())["taken"] == 100
            await running.bookkeeping.check()
            assert running.bookkeeping.differences == {}
    replayed = hook.message_ids[100:]
    assert replayed == [f"m1-{offset}" for offset in range(11, 50, 5)]


async def test_a_slow_replay_can_be_cancelled_and_one_of_failures_takes_only_those(tmp_path: Path) -> None:
    messages = plain(60)
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-9") as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(60)
            slow = given(tmp_path, StartReplay(id="slow", destination="d1", replay=Replay(rate_per_s=20)))
            await running.until(lambda: len(hook.taken) > 62)
            given(tmp_path, CancelReplay(id="c1", consumer=slow))
            await running.until(
                lambda: (state := running.reader.consumer(slow)) is not None and state.state == "cancelled"
            )
            assert len(hook.taken) < 100
            before = len(hook.taken)
            hook.bad = lambda message: False
            failed = given(tmp_path, StartReplay(id="failed", destination="d1", replay=Replay(only="failed")))
            await running.until(
                lambda: (state := running.reader.consumer(failed)) is not None and state.state == "done"
            )
    assert hook.message_ids[before:] == ["m1-9"]


async def test_a_trace_says_what_became_of_a_message_and_what_the_answer_rests_on(tmp_path: Path) -> None:
    messages = plain(5)
    messages.add([stored(5, integrations={"All": False}), stored(6, messageId="bad")])
    async with FaultyDestination(bad=lambda message: message["messageId"] == "bad") as hook:
        workspace = MemoryWorkspace()
        workspace.put(webhook(hook.url))
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(7)
            messages.add([stored(90, received_at=1 << 61)])
            tracing = Tracing(messages, running.store, workspace, {"webhook": destination})

            async def traced(message_id: str) -> dict[str, object]:
                found = await running.deliverer.in_store(trace, message_id, tracing)
                assert len(found) == 1
                return dict(found[0])

            smooth, kept_out, bad, waits = [await traced(each) for each in ("m1-2", "m1-5", "bad", "m1-90")]
            workspace.put()
            never, before = await traced("m1-90"), await traced("m1-2")
    assert (smooth["outcome"], smooth["how"], smooth["actions"]) == ("delivered", "range", ["Send"])
    assert smooth["range"]["counts"]["s1"]["delivered"] == 5  # type: ignore[index]
    assert (kept_out["outcome"], kept_out["code"]) == ("filtered", "filtered_by_integrations")
    assert (bad["outcome"], bad["how"], bad["code"]) == ("dead", "row", "http_400")
    assert len(bad["attempts"]) == 1  # type: ignore[arg-type]
    assert waits["outcome"] == "pending"
    assert (never["outcome"], never["name"]) == ("removed", "(removed)")
    assert before["outcome"] == "delivered"


async def test_a_trace_of_the_erased_says_what_the_range_proves_and_no_more(tmp_path: Path) -> None:
    messages = plain(3)
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace()
        workspace.put(webhook(hook.url))
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(3)
            tracing = Tracing(messages, running.store, workspace, {"webhook": destination})

            async def traced(message_id: str) -> tuple[object, object]:
                [found] = await running.deliverer.in_store(trace, message_id, tracing)
                return found["outcome"], found["reason"]

            messages.dead |= {messages.find("m1-1")[0].position, stored(3).position}
            assert await traced("m1-1") == ("delivered", "delivered, deleted since")
            messages.add([stored(3)])
            await running.until_ended(4)
            assert (await traced("m1-3"))[0] == "unknown"


async def test_times_and_ids_do_not_make_an_identify_needed(tmp_path: Path) -> None:
    def identify(offset: int, plan: str) -> StoredMessage:
        when = f"2026-11-24T18:00:0{offset}.000Z"
        times = {"timestamp": when, "sentAt": when, "receivedAt": when, "originalTimestamp": when}
        return stored(offset, type="identify", userId="u1", event=None, traits={"plan": plan}, **times)  # type: ignore[arg-type]

    messages = MemoryMessages().add([identify(0, "free"), identify(1, "free"), identify(2, "pro")])
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, no_needless_calls=True)])
        async with delivering(tmp_path, messages, workspace) as running:
            assert await running.until_ended(3) == {"taken": 3, "delivered": 2, "filtered": 1}
            tracing = Tracing(messages, running.store, workspace, {"webhook": destination})
            books = await running.deliverer.in_store(DeliveryViews(tracing, tmp_path / "deliverer.json").books)
    assert books["d1"]["saved"] == 1
    assert hook.message_ids == ["m1-0", "m1-2"]


async def test_no_needless_calls_leaves_out_an_identify_that_would_change_nothing(tmp_path: Path) -> None:
    def identify(offset: int, plan: str, **more: object) -> object:
        return stored(offset, type="identify", userId="u1", event=None, traits={"plan": plan}, **more)  # type: ignore[arg-type]

    messages = MemoryMessages().add(
        [identify(0, "free"), identify(1, "free"), identify(2, "pro"), identify(3, "pro"), stored(4, userId="u1")]  # type: ignore[list-item]
    )
    instance = webhook("", no_needless_calls=True)
    only_traits = msgspec.structs.replace(
        instance.subscriptions[0], mapping={"data": {"traits": {"@path": "$.traits"}}}
    )
    async with FaultyDestination() as hook:
        instance = msgspec.structs.replace(instance, settings={"url": hook.url}, subscriptions=(only_traits,))
        async with delivering(tmp_path, messages, MemoryWorkspace([instance])) as running:
            terms = await running.until_ended(5)
        messages.add([identify(5, "pro")])  # type: ignore[list-item]
        async with delivering(tmp_path, messages, MemoryWorkspace([instance])) as running:
            again = await running.until_ended(6)
    assert terms == {"taken": 5, "delivered": 3, "filtered": 2}
    assert again == {"taken": 6, "delivered": 3, "filtered": 3}


async def test_two_partitions_are_merged_by_time_of_receipt_up_to_the_watermark(tmp_path: Path) -> None:
    messages = MemoryMessages(watermark_ms=1_050)
    messages.add(stored(offset, partition=1, userId="u1", received_at=1_000 + offset * 2) for offset in range(50))
    messages.add(stored(offset, partition=2, userId="u1", received_at=1_001 + offset * 2) for offset in range(50))
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(50)
            await asyncio.sleep(0.2)
            assert len(hook.taken) == 50
            messages.watermark_ms = 1 << 60
            await running.until_ended(100)
    assert hook.message_ids == [f"m{1 + index % 2}-{index // 2}" for index in range(100)]


async def test_a_private_address_is_refused_unless_the_operator_allows_it(tmp_path: Path) -> None:
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        strict = Settings(delivery_timeout_s=0.5)
        async with delivering(tmp_path, plain(3), workspace, settings=strict) as running:
            consumer = running.deliverer.outlets["d1"].served[0].consumer
            await running.until(lambda: consumer.holds() == (3, 0))
            await asyncio.sleep(0.3)
            assert hook.requests == 0
            await running.terms()
            tries = await running.deliverer.in_store(running.store.attempts, "d1", stored(0).position)
    assert tries[0].code == "refused_address"
    assert "egress_private" in tries[0].reason


async def test_an_instance_that_cannot_work_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    async with FaultyDestination() as hook:
        bad = webhook(hook.url, id="d2", name="broken", settings={"url": ""})
        async with delivering(tmp_path, plain(3), MemoryWorkspace([bad, webhook(hook.url)])) as running:
            await running.until_ended(3)
            told = status(running.deliverer, running.bookkeeping)["destinations"]
    assert told["d2"]["state"] == "unusable"
    assert "broken" in told["d2"]["why"]


async def test_a_destination_that_starts_now_leaves_the_past_alone_and_counts_it(tmp_path: Path) -> None:
    messages = plain(1_500)
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url, start="now")])) as running:
            messages.add(stored(offset) for offset in range(1_500, 1_510))
            await running.until_ended(10)
            await running.bookkeeping.count_before_start()
            terms = await running.terms()
            await running.bookkeeping.check()
    assert terms == {"before_start": 1_500, "taken": 10, "delivered": 10}
    assert running.bookkeeping.differences == {}
    assert sorted(hook.message_ids) == sorted(f"m1-{offset}" for offset in range(1_500, 1_510))


async def test_what_is_not_ended_is_not_counted_as_a_delivery_that_ended(tmp_path: Path) -> None:
    counted = webhook("", id="counted", start="now")
    async with FaultyDestination(bad=lambda sent: sent.get("messageId") == "m1-5", bad_status=503) as hook:
        workspace = MemoryWorkspace([msgspec.structs.replace(counted, settings={"url": hook.url})])
        messages = plain(5)
        async with delivering(tmp_path, messages, workspace) as running:
            messages.add([stored(5)])
            await running.until(lambda: hook.requests > 0)
            # Only what others overtake becomes a row, so the failure comes first.
            await asyncio.sleep(0.2)
            messages.add(stored(offset) for offset in range(6, 10))
            await running.until_ended(4, "counted")
            await running.bookkeeping.count_before_start()
            async with asyncio.timeout(10):
                while (terms := await running.terms("counted")).get("parked", 0) < 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    assert terms == {"before_start": 5, "taken": 5, "delivered": 4, "parked": 1}
    counters = [each for each in exposition().decode().splitlines() if each.startswith("tabard_deliveries_total{")]
    assert [each for each in counters if '"counted"' in each] == [
        'tabard_deliveries_total{destination="counted",outcome="delivered"} 4.0'
    ]


async def test_what_arrives_between_the_making_of_a_destination_and_our_noticing_it_is_delivered(
    tmp_path: Path,
) -> None:
    messages = plain(100)
    made = msgspec.structs.replace(webhook("", start="now"), created_at=1_060)
    async with FaultyDestination() as hook:
        instance = msgspec.structs.replace(made, settings={"url": hook.url})
        async with delivering(tmp_path, messages, MemoryWorkspace([instance])) as running:
            await running.until_ended(40)
    assert len(hook.taken) == 40


async def test_a_destination_may_start_at_a_time(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset, received_at=1_767_225_600_000 + offset) for offset in range(100))
    async with FaultyDestination() as hook:
        instance = webhook(hook.url, start="2026-01-01T00:00:00.060Z")
        async with delivering(tmp_path, messages, MemoryWorkspace([instance])) as running:
            await running.until_ended(40)
            await running.bookkeeping.count_before_start()
            assert await running.terms() == {"before_start": 60, "taken": 40, "delivered": 40}
    assert len(hook.taken) == 40


async def test_a_mapping_that_cannot_be_met_is_a_dead_letter_that_names_the_field(tmp_path: Path) -> None:
    instance = webhook(
        "",
    )
    only_traits = msgspec.structs.replace(instance.subscriptions[0], mapping={"data": {"@path": "$.properties"}})
    messages = MemoryMessages().add([stored(0), stored(1, properties={"a": 1})])
    async with FaultyDestination() as hook:
        instance = msgspec.structs.replace(instance, settings={"url": hook.url}, subscriptions=(only_traits,))
        async with delivering(tmp_path, messages, MemoryWorkspace([instance])) as running:
            terms = await running.until_ended(2)
            letters = await running.deliverer.in_store(running.store.dead_letters, Letters(consumer="d1"), 10)
    assert terms == {"taken": 2, "delivered": 1, "dead": 1}
    assert (letters[0][1].code, letters[0][1].reason) == ("payload_invalid", "Send: data: is required")


async def test_a_rate_limit_is_kept_and_nothing_becomes_a_row_for_waiting(tmp_path: Path) -> None:
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, rate_per_s=50)])
        async with delivering(tmp_path, plain(60, people=60), workspace) as running:
            await running.until_ended(60)
            consumer = running.deliverer.outlets["d1"].served[0].consumer
            assert consumer.holds() == (0, 0)
    assert hook.taken[-1].at_s - hook.taken[0].at_s >= 59 / 50 * 0.95


async def test_retry_after_rests_the_whole_destination(tmp_path: Path) -> None:
    async with FaultyDestination(faults={Fault.TOO_MANY: 1.0}, retry_after="1") as hook:
        async with delivering(tmp_path, plain(20, people=20), MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until(lambda: hook.requests >= 8)
            await asyncio.sleep(0.3)
            asked = hook.requests
            hook.faults = {}
            await running.until_ended(20)
    assert asked == 8
    assert len(hook.taken) == 20


async def test_a_corrected_configuration_takes_effect_within_a_second_and_a_disabled_one_filters(
    tmp_path: Path,
) -> None:
    messages = plain(5)
    async with FaultyDestination() as old, FaultyDestination() as new:
        workspace = MemoryWorkspace()
        workspace.put(webhook(old.url))
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(5)
            workspace.put(webhook(new.url, version=2))
            await running.turn()
            messages.add([stored(5)])
            await running.until_ended(6)
            workspace.put(webhook(new.url, version=3, enabled=False))
            await running.turn()
            messages.add([stored(6)])
            terms = await running.until_ended(7)
            workspace.put()
            await running.turn()
            assert running.deliverer.outlets == {}
    assert (len(old.taken), new.message_ids) == (5, ["m1-5"])
    assert terms == {"taken": 7, "delivered": 6, "filtered": 1}


async def test_a_cursor_of_another_log_is_not_used(tmp_path: Path) -> None:
    messages = plain(5)
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(5)
        messages.log = "log-2"
        async with delivering(tmp_path, messages, workspace) as running:
            assert "log-2" in running.deliverer.unusable["d1"]
            assert running.deliverer.outlets == {}
    assert len(hook.taken) == 5


async def test_delivery_goes_on_when_the_store_comes_back(tmp_path: Path) -> None:
    messages = plain(5)
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(5)
            messages.is_away = True
            messages.add(stored(offset) for offset in range(5, 10))
            await asyncio.sleep(0.3)
            messages.is_away = False
            await running.until_ended(10)
    assert len(hook.taken) == 10


async def test_what_was_never_delivered_can_be_sent_to_a_destination_that_began_later(tmp_path: Path) -> None:
    messages = plain(30)
    async with FaultyDestination(bad=lambda message: message["messageId"] == "m1-31") as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url, start="now")])) as running:
            messages.add(stored(offset) for offset in range(30, 35))
            await running.until_ended(5)
            given(tmp_path, StartReplay(id="r1", destination="d1", replay=Replay(only="undelivered")))
            await running.until(lambda: (state := running.reader.consumer("r1")) is not None and state.state == "done")
            tracing = Tracing(messages, running.store, MemoryWorkspace(), {})
            views = DeliveryViews(tracing, tmp_path / "none.json")
            (replay,) = (await running.deliverer.in_store(views.replays, 10))["replays"]
            books = await running.deliverer.in_store(views.books)
    assert (replay["progress"], replay["books"]["delivered"], replay["books"]["dead"]) == (1.0, 30, 1)
    assert books["d1"]["books"] == {
        "taken": 5, "before_start": 0, "delivered": 4, "filtered": 0, "parked": 0, "dead": 1, "erased": 0, "expired": 0,
        "pending": 0, "stored": 5,
    }  # fmt: skip
    assert books["d1"]["state"] == "stopped"
    assert sorted(set(hook.message_ids)) == sorted({f"m1-{offset}" for offset in range(35)} - {"m1-31"})


async def test_the_role_runs_writes_its_status_and_stops_when_told(tmp_path: Path) -> None:
    messages, stop = plain(10), asyncio.Event()
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, MemoryMessages(), MemoryWorkspace()) as running:
            deps = running.deliverer.deps
            workspace = MemoryWorkspace([webhook(hook.url)])
            role = asyncio.create_task(run(dataclasses.replace(deps, messages=messages, workspace=workspace), stop))
            async with asyncio.timeout(10):
                while len(hook.taken) < 10 or not deps.status_file.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            stop.set()
            await role
    told = msgspec.json.decode(deps.status_file.read_bytes())
    assert told["destinations"]["d1"]["state"] == "running"
    assert told["unbalanced"] == {}


async def test_the_self_check_names_the_first_difference_until_it_is_gone(tmp_path: Path) -> None:
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, plain(10), MemoryWorkspace([webhook(hook.url)])) as running:
            await running.until_ended(10)

            async def found_after(change: str) -> str:
                await running.deliverer.in_store(running.store._db.execute, change)
                await running.bookkeeping.check()
                told = status(running.deliverer, running.bookkeeping)
                return str(told["destinations"]["d1"]["unbalanced"])

            wrong = await found_after("UPDATE book SET number = number - 1 WHERE term = 'delivered'")
            right = await found_after("UPDATE book SET number = number + 1 WHERE term = 'delivered'")
    assert wrong == "d1, source s1: taken is 10 in the books and 9 in the sum of its ends"
    assert right == ""


async def test_of_several_subscriptions_only_the_one_that_failed_is_sent_again(tmp_path: Path) -> None:
    instance = webhook("")
    parts = tuple(
        msgspec.structs.replace(
            instance.subscriptions[0], id=part, mapping={"data": {"part": part, "messageId": {"@path": "$.messageId"}}}
        )
        for part in ("a", "b", "c")
    )
    async with FaultyDestination(bad=lambda sent: sent["part"] == "b", bad_status=500) as hook:
        instance = msgspec.structs.replace(instance, settings={"url": hook.url}, subscriptions=parts)
        async with delivering(tmp_path, plain(1), MemoryWorkspace([instance])) as running:
            await running.until(lambda: hook.requests >= 2)
            hook.bad_status = 422
            assert await running.until_ended(1) == {"taken": 1, "dead": 1}
            assert [each.body["part"] for each in hook.taken] == ["a", "c"]
            hook.bad = lambda sent: False
            given(tmp_path, Resend(id="o1", consumer="d1"))
            await running.until(lambda: running.reader.order_answer("o1") is not None)
            while await running.terms() != {"taken": 1, "delivered": 1}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert [each.body["part"] for each in hook.taken] == ["a", "c", "b"]


async def test_a_destination_whose_test_fails_rests_though_only_one_subject_came(tmp_path: Path) -> None:
    async with FaultyDestination(status=500) as hook:
        async with delivering(tmp_path, plain(1), MemoryWorkspace([webhook(hook.url)]), seed=2) as running:
            breaker = running.deliverer.outlets["d1"].shared.breaker
            await running.until(lambda: breaker.is_open, timeout_s=30)
            assert (breaker.why, breaker.reason) == (Why.TEST, "answered 500")
            hook.status = None
            running.deliverer.outlets["d1"].try_now()
            assert await running.until_ended(1) == {"taken": 1, "delivered": 1}


async def test_one_bad_message_does_not_rest_a_destination_whose_test_passes(tmp_path: Path) -> None:
    async with FaultyDestination(bad=lambda sent: sent.get("messageId") == "m1-0", bad_status=500) as hook:
        async with delivering(tmp_path, plain(1), MemoryWorkspace([webhook(hook.url)]), seed=2) as running:
            await running.until(lambda: any(each.message_id == "None" for each in hook.taken), timeout_s=30)
            assert not running.deliverer.outlets["d1"].shared.breaker.is_open


async def test_dead_letters_of_an_ended_replay_go_with_the_person_too(tmp_path: Path) -> None:
    messages = plain(10)
    async with FaultyDestination(bad=lambda sent: sent["messageId"] == "m1-5") as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([webhook(hook.url, start="now")])) as running:
            given(tmp_path, StartReplay(id="r1", destination="d1", replay=Replay()))
            await running.until(lambda: (state := running.reader.consumer("r1")) is not None and state.state == "done")
            assert await running.terms("r1") == {"taken": 10, "delivered": 9, "dead": 1}
            position = messages.find("m1-5")[0].position
            messages.dead.add(position)
            await erase(running.deliverer)
            assert await running.terms("r1") == {"taken": 10, "delivered": 9, "erased": 1}
            assert running.reader.attempts("r1", position) == []
            assert check_books("r1", await running.deliverer.in_store(running.store.balance, "r1")) is None
