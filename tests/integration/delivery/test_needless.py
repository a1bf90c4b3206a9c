"""The option "no needless calls": what is left out is only what the destination has already."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec

from tabard.clock import SystemClock
from tabard.delivery.orders import StartReplay, place
from tabard.destinations.catalog.webhook import destination
from tabard.destinations.kit.destination import Subject
from tabard.destinations.kit.request import Send
from tabard.message.types import StoredMessage
from tabard.settings import Settings
from tabard.storage.deliveries import Replay
from tabard.testing.faulty_destination import FaultyDestination
from tabard.workspace.types import DestinationInstance
from tests.integration.delivery.running import delivering
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored, webhook


def identify(offset: int, plan: str = "pro", *, user: str | None = "u1", email: str = "", **more: Any) -> StoredMessage:
    traits = {"plan": plan, **({"email": email} if email else {})}
    return stored(offset, type="identify", userId=user, event=None, traits=traits, **more)


def only_traits(url: str) -> DestinationInstance:
    """A webhook that sends the traits of an identify, and everything else whole."""
    instance = webhook(url, no_needless_calls=True)
    mapping = {"data": {"type": {"@path": "$.type"}, "plan": {"@path": "$.traits.plan"}}}
    return msgspec.structs.replace(
        instance, subscriptions=(msgspec.structs.replace(instance.subscriptions[0], mapping=mapping),)
    )


async def sent(folder: Path, *batches: list[StoredMessage]) -> list[dict[str, int]]:
    """The books after each batch of messages."""
    messages, books, number = MemoryMessages(), [], 0
    async with FaultyDestination() as hook:
        async with delivering(folder, messages, MemoryWorkspace([only_traits(hook.url)])) as running:
            for batch in batches:
                messages.add(batch)
                number += len(batch)
                books.append(await running.until_ended(number))
    return books


async def test_a_person_who_was_told_otherwise_from_another_device_is_told_again(tmp_path: Path) -> None:
    [terms] = await sent(
        tmp_path,
        [
            identify(0, "pro", anonymousId="A"), identify(1, "free", anonymousId="B"),
            identify(2, "pro", anonymousId="A"), identify(3, "pro", anonymousId="A"),
        ],
    )  # fmt: skip
    assert terms == {"taken": 4, "delivered": 3, "filtered": 1}


async def test_a_device_or_an_address_that_another_person_used_meanwhile_makes_an_identify_needed(
    tmp_path: Path,
) -> None:
    terms = await sent(
        tmp_path,
        [identify(0, "pro", email="a@x.io")], [identify(1, "free", user="u2", email="a@x.io")],
        [identify(2, "pro", email="a@x.io"), identify(3, "pro", anonymousId="A")],
        [identify(4, "free", user=None, anonymousId="A")], [identify(5, "pro", anonymousId="A")],
    )  # fmt: skip
    assert terms[-1] == {"taken": 6, "delivered": 6}


async def test_after_a_replay_an_identify_is_sent_again(tmp_path: Path) -> None:
    messages = MemoryMessages().add([identify(0, "old"), identify(1, "new")])
    async with FaultyDestination() as hook:
        async with delivering(tmp_path, messages, MemoryWorkspace([only_traits(hook.url)])) as running:
            await running.until_ended(2)
            replay = Replay(until=messages.messages[1][1].received_at)
            order = place(tmp_path / "orders", StartReplay(id="r1", destination="d1", replay=replay), SystemClock())
            await running.until(lambda: (state := running.reader.consumer(order)) is not None and state.state == "done")
            messages.add([identify(2, "new"), identify(3, "new")])
            assert await running.until_ended(4) == {"taken": 4, "delivered": 3, "filtered": 1}
        # What was forgotten and learnt is on disk.
        messages.add([identify(4, "new")])
        async with delivering(tmp_path, messages, MemoryWorkspace([only_traits(hook.url)])) as running:
            assert await running.until_ended(5) == {"taken": 5, "delivered": 3, "filtered": 2}


async def test_after_a_deletion_an_identify_is_sent_again(tmp_path: Path) -> None:
    terms = await sent(tmp_path, [identify(0)], [stored(1, event="User Deleted", userId="u1")], [identify(2)])
    assert terms[-1] == {"taken": 3, "delivered": 3}


async def test_after_an_alias_an_identify_is_sent_again(tmp_path: Path) -> None:
    merged = stored(1, type="alias", event=None, userId="u9", previousId="u1")
    terms = await sent(tmp_path, [identify(0)], [merged], [identify(2)])
    assert terms[-1] == {"taken": 3, "delivered": 3}


async def test_after_a_destination_has_erased_a_person_an_identify_is_sent_again(tmp_path: Path) -> None:
    erased: list[str | None] = []

    async def on_delete(_send: Send, _settings: Any, subject: Subject) -> None:
        erased.append(subject.user_id)

    can_erase = {"webhook": dataclasses.replace(destination, on_delete=on_delete)}
    messages = MemoryMessages().add([identify(0), identify(1)])
    settings = Settings(egress_private=True, delivery_timeout_s=0.1)
    async with FaultyDestination() as hook:
        workspace = MemoryWorkspace([only_traits(hook.url)])
        async with delivering(tmp_path, messages, workspace, settings=settings, registry=can_erase) as running:
            assert await running.until_ended(2) == {"taken": 2, "delivered": 1, "filtered": 1}
            deletion = stored(2, type="control", event=None, userId="u1")
            messages.deleted = {deletion.position: ("user:u1",)}
            messages.add([deletion])
            await running.until(lambda: running.reader.erasure_books("d1")["done"] == 1)
            messages.add([identify(3)])
            assert await running.until_ended(3) == {"taken": 3, "delivered": 2, "filtered": 1}
    assert erased == ["u1"]
