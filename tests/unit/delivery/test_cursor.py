"""Partitions merged by time of receipt, up to the watermark, from any cursor."""

from hypothesis import given
from hypothesis import strategies as st

from tabard.delivery.cursor import read_merged, vector_at
from tabard.message.types import offset_of, partition_of
from tests.integration.delivery.stored import MemoryMessages, stored


@given(
    times=st.lists(st.lists(st.integers(0, 50), max_size=30), min_size=1, max_size=3),
    limit=st.integers(1, 12),
    watermark=st.integers(0, 60),
)
def test_any_reading_in_steps_gives_the_one_order_and_nothing_at_or_above_the_watermark(
    times: list[list[int]], limit: int, watermark: int
) -> None:
    messages = MemoryMessages(watermark_ms=watermark)
    for partition, received in enumerate(times):
        messages.add(stored(2 * n, partition=partition, received_at=at) for n, at in enumerate(sorted(received)))
    every = sorted(
        (each for kept in messages.messages.values() for each in kept if each.received_at < watermark),
        key=lambda each: (each.received_at, each.position),
    )
    vector: dict[int, int] = {}
    read = []
    while found := read_merged(messages, vector, limit).messages:
        read += found
        for each in found:
            vector[partition_of(each.position)] = offset_of(each.position) + 1
    assert [each.position for each in read] == [each.position for each in every]


def test_a_partition_with_nothing_more_says_until_where() -> None:
    messages = MemoryMessages().add(stored(offset) for offset in range(3))
    messages.gone = {stored(2).position}
    following = read_merged(messages, {1: 2}, 10)
    assert (following.messages, following.nothing_until) == ([], {1: 3})


@given(received=st.lists(st.integers(0, 100), min_size=1, max_size=40), moment=st.integers(0, 101))
def test_the_cursor_at_a_time_follows_everything_older(received: list[int], moment: int) -> None:
    messages = MemoryMessages().add(stored(3 * n, received_at=at) for n, at in enumerate(sorted(received)))
    offset = vector_at(messages, moment)[1]
    kept = messages.messages[1]
    assert all(each.received_at < moment for each in kept if offset_of(each.position) < offset)
    assert all(each.received_at >= moment for each in kept if offset_of(each.position) >= offset)
