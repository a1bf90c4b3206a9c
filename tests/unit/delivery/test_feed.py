"""One reading for everybody near the head, readings apart for those behind, and nobody misses anything."""

import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tabard.clock import SystemClock
from tabard.delivery.entry import Item
from tabard.delivery.feed import RING_MAX, Feed, Seat
from tests.integration.delivery.stored import MemoryMessages, stored

NUMBER = 3 * RING_MAX


@pytest.fixture
async def messages() -> MemoryMessages:
    return MemoryMessages()


@pytest.fixture
async def feed(messages: MemoryMessages) -> AsyncIterator[Feed]:
    with ThreadPoolExecutor(1) as reader:
        yield Feed(messages, reader, SystemClock())


async def taken(feed: Feed, seat: Seat) -> list[Item]:
    """All that follows the seat now."""
    items: list[Item] = []
    while found := await feed.take(seat, 500):
        items += found
    return items


async def test_ten_consumers_near_the_head_get_the_same_decoded_messages(feed: Feed, messages: MemoryMessages) -> None:
    await feed.begin(())
    messages.add(stored(offset) for offset in range(100))
    assert await feed.fill() == 100
    seats = [Seat({}) for _ in range(10)]
    first, *others = [await taken(feed, seat) for seat in seats]
    assert [item.offset for item in first] == list(range(100))
    assert all(one is other for each in others for one, other in zip(first, each, strict=True))


async def test_a_consumer_behind_the_ring_reads_apart_until_it_has_caught_up(
    feed: Feed, messages: MemoryMessages
) -> None:
    messages.add(stored(offset) for offset in range(1_000))
    await feed.begin(())
    seat = Seat({1: 10})
    apart = await taken(feed, seat)
    assert [item.offset for item in apart] == list(range(10, 1_000))
    messages.add(stored(offset) for offset in range(1_000, 1_005))
    await feed.fill()
    near = Seat({1: 1_000})
    shared = await taken(feed, near)
    assert [one is other for one, other in zip(await taken(feed, seat), shared, strict=True)] == [True] * 5


async def test_the_ring_does_not_run_away_from_everybody(feed: Feed, messages: MemoryMessages) -> None:
    await feed.begin(())
    messages.add(stored(offset) for offset in range(NUMBER))
    while await feed.fill():
        pass
    seat = Seat({})
    items = await feed.take(seat, 10)
    assert [item.offset for item in items] == list(range(10))
    assert seat.number == 10


async def test_a_slow_consumer_that_the_ring_has_left_behind_misses_nothing(
    feed: Feed, messages: MemoryMessages
) -> None:
    await feed.begin(())
    messages.add(stored(offset) for offset in range(NUMBER))
    fast, slow, die = Seat({}), Seat({}), random.Random(3)
    got: dict[str, list[int]] = {"fast": [], "slow": []}
    while len(got["slow"]) < NUMBER:
        await feed.fill()
        got["fast"] += [item.offset for item in await feed.take(fast, 500)]
        if die.random() < 0.5 or len(got["fast"]) == NUMBER:
            got["slow"] += [item.offset for item in await feed.take(slow, 300)]
    assert got == {"fast": list(range(NUMBER)), "slow": list(range(NUMBER))}


async def test_a_deletion_that_came_after_the_reading_is_seen_before_the_sending(
    feed: Feed, messages: MemoryMessages
) -> None:
    messages.add([stored(0)])
    item = (await feed.load([stored(0).position]))[stored(0).position]
    messages.dead.add(stored(0).position)
    assert not await feed.recheck([item])
    item.checked_at -= 2_000
    assert await feed.recheck([item])
    assert await feed.load([stored(7).position]) == {}


async def test_consumers_that_start_at_one_place_behind_the_newest_message_share_the_reading_from_there(
    feed: Feed, messages: MemoryMessages
) -> None:
    messages.add(stored(offset) for offset in range(600))
    ahead, same, behind = Seat({1: 100}), Seat({1: 100}), Seat({})
    await feed.begin([ahead, same, behind])
    while await feed.fill():
        pass
    first, second, third = [await taken(feed, seat) for seat in (ahead, same, behind)]
    assert [item.offset for item in first] == list(range(100, 600))
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert [item.offset for item in third] == list(range(600))
