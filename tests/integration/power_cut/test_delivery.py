"""No delivery cursor is ahead of its effects: at any cut of the power, what it passed was taken, or has its row."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from tabard.delivery.books import check_books
from tabard.message.types import offset_of
from tabard.settings import Settings
from tabard.storage.deliveries import ConsumerState, RowState
from tabard.storage.sqlite import database as database_module
from tabard.storage.sqlite import delivery as delivery_module
from tabard.storage.sqlite.delivery import SqliteDeliveryStore
from tabard.testing.faulty_destination import Fault, FaultyDestination, Taken
from tabard.testing.recording_vfs import RecordingVfs
from tests.integration.delivery.running import delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook

MESSAGES = 600
CUTS = 40
OFTEN = "PRAGMA wal_autocheckpoint = 10"
"""Checkpoints between the cuts."""

STATES = (RowState.PARKED, RowState.WAITING, RowState.DEAD)


class StepNoted(list[Taken]):
    """What a destination took, and at which step of the disk it had taken each first."""

    def __init__(self, vfs: RecordingVfs) -> None:
        super().__init__()
        self.vfs = vfs
        self.first: dict[str, int] = {}

    def __iadd__(self, more: Iterable[Taken]) -> "StepNoted":  # type: ignore[override,misc]
        for each in more:
            self.first.setdefault(each.message_id, len(self.vfs.steps))
            self.append(each)
        return self


async def deliver(vfs: RecordingVfs, folder: Path) -> StepNoted:
    """A deliverer's life on a recorded disk, before a destination that fails now and then."""
    messages = MemoryMessages().add(stored(offset, userId=f"u{offset % 40}") for offset in range(MESSAGES))
    taken = StepNoted(vfs)
    faults = {Fault.SERVER_ERROR: 0.03, Fault.RESET: 0.02}
    async with FaultyDestination(faults=faults, bad=_is_bad, taken=taken) as hook:
        workspace = MemoryWorkspace([webhook(hook.url)])
        # A small window: many commits, so that the cuts fall between different ones.
        small = Settings(egress_private=True, in_flight_max=50)
        async with delivering(folder, messages, workspace, settings=small) as running:
            await running.until_ended(MESSAGES, timeout_s=20)
    return taken


def _is_bad(item: dict[str, Any]) -> bool:
    return int(item["messageId"].partition("-")[2]) % 50 == 7


DAMAGE: Final = (apsw.Error, database_module.MigrationChanged)
"""How a torn file shows: to SQLite, or by migrations whose record is not the one that was written."""


def problem(path: Path, taken: set[str]) -> str:
    """What is wrong with a delivery.db beside what the destination had taken by then; empty if nothing is."""
    try:
        store = SqliteDeliveryStore(path)
        state = store.consumer("d1")
        return "" if state is None else _problem(store, state, taken)
    except DAMAGE as damage:
        return f"is damaged: {damage}"


def _problem(store: SqliteDeliveryStore, state: ConsumerState, taken: set[str]) -> str:
    balance = store.balance("d1")
    passed = range(state.offsets.get(1, 0))
    rows = {offset_of(row.position) for _, row in store.rows("d1", STATES, MESSAGES)}
    store.close()
    difference = check_books("d1", balance)
    if difference is not None:
        return f"its books differ: {difference}"
    if sum(number for (_, term), number in balance.books.items() if term == "taken") != len(passed):
        return "its books are not where its cursor is"
    ahead = [offset for offset in passed if f"m1-{offset}" not in taken and offset not in rows]
    return f"the cursor at {len(passed)} passed {ahead}, which were not taken and have no row" if ahead else ""


async def problems(vfs: RecordingVfs, tmp_path: Path, *, reorder: bool) -> tuple[list[str], int]:
    """What is wrong at random cuts; and how many different cursors they met."""
    chance = random.Random(5)
    disk = tmp_path / "disk"
    disk.mkdir()
    taken = await deliver(vfs, disk)
    steps = len(vfs.steps)
    apsw.set_default_vfs("unix")
    found, cursors = [], set()
    for number in range(CUTS):
        cut = chance.randint(1, steps)
        folder = tmp_path / str(number)
        folder.mkdir()
        vfs.rebuild(disk, folder, cut=cut, chance=chance if reorder else None)
        by_then = {message_id for message_id, step in taken.first.items() if step <= cut}
        found.append(problem(folder / "delivery.db", by_then))
        cursors.add(_cursor(folder / "delivery.db"))
    return [each for each in found if each], len(cursors)


def _cursor(path: Path) -> int:
    try:
        state = SqliteDeliveryStore(path).consumer("d1")
    except DAMAGE:
        return -1
    return state.offsets.get(1, 0) if state else 0


def open_with(monkeypatch: pytest.MonkeyPatch, pragmas: str) -> None:
    """Opens delivery.db with these pragmas on top of its own."""
    connect = database_module.connect

    def changed(path: Path, **options: Any) -> apsw.Connection:
        database = connect(path, **options)
        database.execute(pragmas).fetchall()
        return database

    monkeypatch.setattr(delivery_module, "connect", changed)


@pytest.mark.parametrize("reorder", [False, True], ids=["nothing unsynced survives", "any part of it survives"])
async def test_after_a_power_cut_a_cursor_has_passed_only_what_was_taken_or_has_a_row(
    recorded: RecordingVfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reorder: bool
) -> None:
    open_with(monkeypatch, OFTEN)
    found, cursors = await problems(recorded, tmp_path, reorder=reorder)
    assert found == []
    assert cursors >= 3


async def test_the_same_run_shows_the_damage_when_nothing_waits_for_the_disk(
    recorded: RecordingVfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_with(monkeypatch, f"{OFTEN}; PRAGMA synchronous = OFF")
    found, _ = await problems(recorded, tmp_path, reorder=True)
    assert found
