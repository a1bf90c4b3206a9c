"""A deliverer that is killed at any moment loses nothing, keeps order, and repeats no more than its window."""

import asyncio
import random
import sys
from pathlib import Path

import msgspec

from tabard.delivery.books import check_books
from tabard.storage.sqlite.delivery import SqliteDeliveryStore
from tabard.testing.faulty_destination import Fault, FaultyDestination
from tests.integration.delivery.killed_deliverer import IN_FLIGHT_MAX, NUMBER, PEOPLE

ROUNDS = 5
ROOT = Path(__file__).parents[3]


async def start(url: str, folder: Path) -> asyncio.subprocess.Process:
    module = "tests.integration.delivery.killed_deliverer"
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, url, str(folder), cwd=ROOT)


async def test_sigkill_at_random_moments_loses_nothing_and_repeats_only_the_window(tmp_path: Path) -> None:
    die = random.Random(7)
    async with FaultyDestination(faults={Fault.SERVER_ERROR: 0.01, Fault.RESET: 0.01}, seed=7) as hook:
        for _ in range(ROUNDS):
            before = len(hook.taken)
            child = await start(hook.url, tmp_path)
            async with asyncio.timeout(20):
                while len(hook.taken) == before and child.returncode is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await asyncio.sleep(die.random() * 0.25)
            if child.returncode is None:
                child.kill()
            await child.wait()
        child = await start(hook.url, tmp_path)
        async with asyncio.timeout(30):
            assert await child.wait() == 0

    ids = hook.message_ids
    assert set(ids) == {f"m1-{offset}" for offset in range(NUMBER)}
    print(f"delivered {len(set(ids))}, twice {len(ids) - len(set(ids))}, kills {ROUNDS}")
    assert len(ids) - len(set(ids)) <= ROUNDS * IN_FLIGHT_MAX
    for user in range(PEOPLE):
        mine = list(dict.fromkeys(each.message_id for each in hook.taken if each.body["userId"] == f"u{user}"))
        assert mine == [f"m1-{offset}" for offset in range(user, NUMBER, PEOPLE)]

    store = SqliteDeliveryStore(tmp_path / "delivery.db")
    assert check_books("d1", store.balance("d1")) is None
    assert sum(book.terms["delivered"] for book in store.books("d1")) == NUMBER
    store.close()
    told = msgspec.json.decode((tmp_path / "deliverer.json").read_bytes())
    assert told["destinations"]["d1"]["state"] == "running"
