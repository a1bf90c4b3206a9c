"""Messages to a real HTTP server through a whole deliverer."""

from pathlib import Path

from tabard.testing.faulty_destination import FaultyDestination
from tests.integration.delivery.running import delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


async def test_every_message_arrives_once_and_in_order(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset, userId=f"u{offset % 5}") for offset in range(200))
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        async with delivering(tmp_path, messages, workspace) as running:
            terms = await running.until_ended(200)
    assert terms == {"taken": 200, "delivered": 200}
    for user in range(5):
        mine = [each.message_id for each in hook.taken if each.body["userId"] == f"u{user}"]
        assert mine == [f"m1-{offset}" for offset in range(user, 200, 5)]
