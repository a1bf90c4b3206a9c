"""A deliverer that is told to stop while a store cannot be reached: it ends in time, and the next one goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tabard.delivery import deliverer
from tabard.settings import Settings
from tabard.testing.faulty_destination import Fault, FaultyDestination
from tests.integration.delivery.running import delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "CLOSE_GRACE_S", 0.3)


def five(first: int = 0) -> MemoryMessages:
    return MemoryMessages().add(stored(offset) for offset in range(first, first + 5))


async def test_it_stops_while_the_messages_cannot_be_read(tmp_path: Path) -> None:
    messages = five()
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url, start="1970-01-01T00:00:01.001Z")])
        async with asyncio.timeout(8), delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(4)
            # Whoever is behind where all began reads for itself, at once and for ever.
            served = running.deliverer.outlets["d1"].served[0]
            served.seat.vector, served.seat.number = {}, None
            messages.is_away = True
            served.more.set()
            await asyncio.sleep(0.1)
        assert len(hook.taken) == 4


async def test_what_is_under_way_is_waited_for_and_not_sent_again(tmp_path: Path) -> None:
    settings = Settings(egress_private=True, delivery_timeout_s=4)
    async with FaultyDestination(faults={Fault.LATE: 1.0}, slow_s=2) as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, five(), workspace, settings=settings) as running:
            await running.until(lambda: len(hook.taken) == 5)
        async with delivering(tmp_path, five(), workspace, settings=settings) as running:
            await running.until_ended(5)
    assert len(hook.taken) == 5


async def test_it_stops_while_its_own_store_takes_no_commit_and_what_was_not_written_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, workspace = five(), MemoryWorkspace()

    def full(*_: Any) -> None:
        raise OSError("database or disk is full")

    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with asyncio.timeout(8), delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(5)
            monkeypatch.setattr(running.store, "commit", full)
            messages.add(stored(offset) for offset in range(5, 10))
            async with asyncio.timeout(5):
                while len(hook.taken) < 10:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        async with delivering(tmp_path, messages, workspace) as running:
            await running.until_ended(10)
    expected = [f"m1-{offset}" for offset in range(10)]
    assert sorted(set(hook.message_ids)) == sorted(expected)
    assert len(hook.message_ids) == 15
