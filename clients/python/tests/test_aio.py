"""The same calls, awaited, without ever holding up the event loop."""

import asyncio
import time
from pathlib import Path

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
