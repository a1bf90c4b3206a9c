"""Stored messages and a store in memory for the tests of delivery, with faults and deletions on demand."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from tabard.message.types import CONTROL, SERVER_TRUST, StoredMessage, offset_of, partition_of, position
from tabard.storage.interface import Deletion, Reason
from tabard.workspace.types import DestinationInstance, Subscription

EVERYTHING = " or ".join(f'type = "{each}"' for each in ("identify", "track", "page", "screen", "group", "alias"))


def stored(
    offset: int, *, partition: int = 1, source: str = "s1", received_at: int | None = None, **body: Any
) -> StoredMessage:
    """A stored message; its body is a track call of its own user, from a server, unless told otherwise."""
    trust = int(body.pop("trust", SERVER_TRUST))
    message_id = body.pop("messageId", f"m{partition}-{offset}")
    whole = {"type": "track", "event": "E", "userId": f"u{partition}-{offset}", "messageId": message_id, **body}
    received = 1_000 + offset if received_at is None else received_at
    return StoredMessage(
        position(partition, offset),
        source,
        whole["type"],
        message_id,
        received,
        received,
        msgspec.json.encode({key: value for key, value in whole.items() if value is not None}),
        trust,
    )


@dataclass
class MemoryMessages:
    """A `MessageReader` over a list. `dead` holds positions whose subject was deleted. `gone`: no longer kept.

    `deleted`: whom the message at a position deletes.
    """

    messages: dict[int, list[StoredMessage]] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    deleted: dict[int, tuple[str, ...]] = field(default_factory=dict)
    watermark_ms: int = 1 << 60
    log: str = "log-1"
    is_away: bool = False

    def add(self, messages: Iterable[StoredMessage]) -> "MemoryMessages":
        for message in messages:
            self.messages.setdefault(partition_of(message.position), []).append(message)
        return self

    def log_id(self) -> str | None:
        return self.log

    def resolved(self) -> dict[int, int]:
        return {partition: offset_of(kept[-1].position) + 1 for partition, kept in self.messages.items() if kept}

    def watermark(self) -> int:
        return self.watermark_ms

    def read(self, partition: int, offset: int, limit: int) -> list[StoredMessage]:
        if self.is_away:
            raise OSError("the store is locked")
        kept = self.messages.get(partition, [])
        low, high = 0, len(kept)
        while low < high:
            middle = (low + high) // 2
            if offset_of(kept[middle].position) < offset:
                low = middle + 1
            else:
                high = middle
        calls = (each for each in islice(kept, low, None) if each.type != CONTROL and each.position not in self.gone)
        return list(islice(calls, limit))

    def newest(self, limit: int, *, source: str | None = None, call_type: str | None = None) -> list[StoredMessage]:
        every = [each for kept in self.messages.values() for each in kept]
        return sorted(every, key=lambda each: -each.received_at)[:limit]

    def find(self, message_id: str) -> list[StoredMessage]:
        return [each for kept in self.messages.values() for each in kept if each.message_id == message_id]

    def holds(self, source: str, message_id: str) -> bool:
        return any(each.source == source for each in self.find(message_id))

    def is_dead(self, message: StoredMessage) -> bool:
        return message.position in self.dead

    def why_dead(self, message: StoredMessage) -> Reason | None:
        return Reason("user:u", "", "deleted", "user:u was deleted") if self.is_dead(message) else None

    def deletions(self, partition: int, offset: int, limit: int) -> list[Deletion]:
        following = (each for each in self.messages.get(partition, []) if offset_of(each.position) >= offset)
        kept = [each for each in following if each.position in self.deleted]
        return [Deletion(each, self.deleted[each.position], each.position, each.received_at) for each in kept[:limit]]

    def close(self) -> None:
        return


def webhook(url: str, **options: Any) -> DestinationInstance:
    """A webhook instance that gets every message from the beginning."""
    given = {"id": "d1", "name": "hook", "sources": (), "enabled": True, "settings": {}, "start": "beginning"}
    known = {**given, **{key: options.pop(key) for key in list(options) if key in (*given, "version")}}
    settings = {"url": url, **known.pop("settings")}
    subscription = Subscription(id="sub1", action="send", subscribe=EVERYTHING, mapping={"data": {"@path": "$."}})
    return DestinationInstance(
        slug="webhook", settings=settings, subscriptions=(subscription,), options=options, **known
    )


@dataclass
class MemoryWorkspace:
    """A `WorkspaceReader` over a list of instances; every version is kept."""

    instances: list[DestinationInstance] = field(default_factory=list)
    changes: int = 1
    versions: dict[tuple[str, int], DestinationInstance] = field(default_factory=dict)

    def put(self, *instances: DestinationInstance) -> None:
        self.instances = list(instances)
        self.versions |= {(each.id, each.version): each for each in instances}
        self.changes += 1

    def version(self) -> int:
        return self.changes

    def sources(self) -> list[Any]:
        return []

    def source_by_key(self, write_key: str) -> None:
        return None

    def destinations(self) -> list[DestinationInstance]:
        return self.instances

    def destination_version(self, destination_id: str, version: int) -> DestinationInstance | None:
        return self.versions.get((destination_id, version))
