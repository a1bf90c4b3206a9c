"""A destination that an operator has paused: its cursor is held, nothing is sent, and nothing is lost."""

import asyncio
from pathlib import Path

import msgspec

from tabard.testing.faulty_destination import FaultyDestination
from tests.integration.delivery.running import Running, delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


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
