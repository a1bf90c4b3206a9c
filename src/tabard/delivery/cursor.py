"""A cursor is a vector partition → next offset; partitions are merged by the time of receipt up to the watermark."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

from tabard.message.types import StoredMessage, offset_of
from tabard.storage.interface import MessageReader

Vector = dict[int, int]
"""Partition → the offset that is read next; a partition that is absent is read from 0."""


@dataclass(frozen=True, slots=True)
class Following:
    """Messages that follow a cursor, and for partitions that hold nothing more the end up to which nothing does."""

    messages: list[StoredMessage]
    nothing_until: Vector


def read_merged(reader: MessageReader, vector: Mapping[int, int], limit: int) -> Following:
    """About `limit` messages that follow a cursor, in the one order in which every consumer sees them.

    The order is by time of receipt between partitions and by offset within one. Nothing at or above the watermark
    is given: a slower partition could still have something older.
    """
    # The watermark first: what is resolved later can only be more than what it promises.
    watermark, resolved = reader.watermark(), reader.resolved()
    chunks: dict[int, list[StoredMessage]] = {}
    whole: dict[int, bool] = {}
    nothing_until: Vector = {}
    for partition, end in resolved.items():
        start = vector.get(partition, 0)
        found = reader.read(partition, start, limit) if start < end else []
        chunks[partition] = [each for each in found if offset_of(each.position) < end]
        whole[partition] = len(found) < limit
        if start < end and not chunks[partition]:
            nothing_until[partition] = end
    return Following(list(_merge(chunks, whole, watermark)), nothing_until)


def _merge(
    chunks: Mapping[int, list[StoredMessage]], whole: Mapping[int, bool], watermark: int
) -> Iterator[StoredMessage]:
    """The chunks in one order; ends where a chunk that is not the whole of its partition runs out."""
    heads = [(chunk[0].received_at, partition, 0) for partition, chunk in chunks.items() if chunk]
    heapify(heads)
    while heads:
        received_at, partition, index = heads[0]
        if received_at >= watermark:
            return
        chunk = chunks[partition]
        yield chunk[index]
        if index + 1 < len(chunk):
            heapreplace(heads, (chunk[index + 1].received_at, partition, index + 1))
        elif whole[partition]:
            heappop(heads)
        else:
            return


def vector_at(reader: MessageReader, moment_ms: int) -> Vector:
    """The cursor from which everything received at or after that time follows (by bisection, 48 short reads)."""
    found: Vector = {}
    for partition, end in reader.resolved().items():
        low, high = 0, end
        while low < high:
            middle = (low + high) // 2
            next_up = reader.read(partition, middle, 1)
            if not next_up or offset_of(next_up[0].position) >= high or next_up[0].received_at >= moment_ms:
                high = middle
            else:
                low = offset_of(next_up[0].position) + 1
        found[partition] = low
    return found
