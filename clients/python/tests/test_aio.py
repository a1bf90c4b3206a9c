"""The same calls, awaited, without ever holding up the event loop."""

import asyncio
import time
from pathlib import Path

import pytest
from clients.python.tests.recorder import Recorder, Reply

from tabard_client import AsyncClient, bind


async def test_awaited_calls_arrive(recorder: Recorder, spool_dir: Path) -> None:
    async with AsyncClient("key", recorder.url, upload_interval=0.02) as client:
        receipt = await client.identify("u1", {"email": "a@b.c"})
        assert receipt.success
        with bind(anonymous_id="anon"):
            await client.track(event="a")
        assert await client.flush(5) == 0
        assert client.counts().delivered == 2
    assert [message["type"] for message in recorder.messages] == ["identify", "track"]


async def test_a_hanging_server_does_not_hold_up_the_loop(recorder: Recorder, spool_dir: Path) -> None:
    def hang(_: int) -> Reply:
        time.sleep(0.5)
        return Reply()

    recorder.reply = hang

    async def work() -> None:
        async with AsyncClient("key", recorder.url, sync_mode=True) as client:
            await client.track("u1", "a")

    task = asyncio.create_task(work())
    turns = 0
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1
    await task
    assert turns > 20, "the loop went on while the call waited"
    assert len(recorder.messages) == 1


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_flush_that_is_cancelled_holds_up_neither_the_loop_nor_its_end(
    recorder: Recorder, spool_dir: Path, timeout: float | None
) -> None:
    recorder.stop()

    async def work() -> None:
        client = AsyncClient("key", recorder.url)
        await client.track("u1", "a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.flush(timeout), 0.1)
        await client.join(5)

    began = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - began < 3
    recorder.start()


async def test_a_flush_waits_its_time_and_says_what_is_left(recorder: Recorder, spool_dir: Path) -> None:
    recorder.reply = lambda _: Reply(503, {"Retry-After": "60"})
    client = AsyncClient("key", recorder.url, upload_interval=0.02)
    await client.track("u1", "a")
    began = time.monotonic()
    assert await client.flush(0.6) == 1
    assert 0.5 < time.monotonic() - began < 3
    recorder.reply = lambda _: Reply()
    await client.join(5)
    async with AsyncClient("key", recorder.url, sync_mode=True) as other:  # takes over what the other has left
        assert await other.flush() == 0
    assert len(recorder.messages) == 1
