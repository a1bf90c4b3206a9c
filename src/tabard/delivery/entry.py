"""One message on its way through one consumer."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec

from tabard.delivery.lanes import KEY_BYTES, lane_keys
from tabard.destinations.kit.plan import Invalid, Planned, Plans
from tabard.message.types import StoredMessage, offset_of, partition_of
from tabard.storage.deliveries import Row, RowState, Term


class Item:
    """A stored message decoded once for all consumers.

    dead: not to be sent, as of `checked_at` (ms): its person was deleted or suppressed, or its body is no longer
    kept; `term` says which. plans: what it comes to, by subscription.
    """

    __slots__ = ("body", "checked_at", "dead", "keys", "offset", "partition", "plans", "stored", "term")

    def __init__(self, stored: StoredMessage, body: Mapping[str, Any], checked_at: int, *, dead: bool) -> None:
        self.stored = stored
        self.body = body
        self.dead = dead or not stored.body
        self.term = Term.ERASED if dead else Term.EXPIRED
        self.keys = () if self.dead else lane_keys(body)
        self.partition = partition_of(stored.position)
        self.offset = offset_of(stored.position)
        self.checked_at = checked_at
        self.plans: Plans = {}


class Phase(IntEnum):
    """Where an entry stands: behind another in its lane, to be loaded, ready, under way, before a retry, finished."""

    BLOCKED = 0
    LOADING = 1
    READY = 2
    SENDING = 3
    FAILING = 4
    FINISHED = 5


class Entry(msgspec.Struct, eq=False, kw_only=True):
    """A message taken by a consumer until it is finished and the cursor has passed it.

    item: None while a row stands for the message and nobody needs its body. steps: what is to be sent, from `step` on.
    done: subscriptions that have delivered, also before a restart. term, code, reason: how it ended, or why it fails.
    stuck_at: since when it is under way or failing. has_row: delivery.db has (or is being told of) it.
    ahead, followers: see `lanes`.
    """

    position: int
    source: str
    type: str
    message_id: str
    received_at: int
    keys: tuple[int, ...]
    stuck_at: int
    item: Item | None = None
    ahead: int = 0
    followers: list[tuple[int, Any]] = []
    phase: Phase = Phase.BLOCKED
    steps: list[tuple[str, Planned | Invalid]] = []
    step: int = 0
    done: tuple[str, ...] = ()
    attempts: int = 0
    since: int = 0
    due: int = 0
    late: bool = False
    has_row: bool = False
    is_dead: bool = False
    term: Term = Term.FILTERED
    code: str = ""
    reason: str = ""
    queued_at: int = 0
    sent_at: int = 0
    answered_at: int = 0

    @property
    def subject(self) -> object:
        """Whom the message is about, for telling one bad subject from a bad destination."""
        return self.keys or self.position

    def current(self) -> tuple[str, Planned]:
        """The step that is sent next, with its subscription's id. TypeError for one that cannot be sent."""
        subscription_id, planned = self.steps[self.step]
        if isinstance(planned, Invalid):
            raise TypeError(f"step {self.step} of {self.message_id} cannot be sent: {planned.reason}")
        return subscription_id, planned

    def row(self, consumer: str) -> Row:
        """The entry as it is kept."""
        waits = self.phase is Phase.BLOCKED or (self.ahead > 0 and not self.late)
        state = RowState.DEAD if self.phase is Phase.FINISHED else RowState.WAITING if waits else RowState.PARKED
        return Row(
            consumer=consumer,
            position=self.position,
            state=state,
            source=self.source,
            type=self.type,
            message_id=self.message_id,
            received_at=self.received_at,
            keys=b"".join(key.to_bytes(KEY_BYTES, "big") for key in self.keys),
            since=self.since,
            due=self.due,
            attempts=self.attempts,
            late=self.late,
            done=self.done,
            code=self.code,
            reason=self.reason,
        )


def entry_of_item(item: Item, now_ms: int) -> Entry:
    """The entry of a message just read."""
    stored = item.stored
    return Entry(
        position=stored.position,
        source=stored.source,
        type=stored.type,
        message_id=stored.message_id,
        received_at=stored.received_at,
        keys=item.keys,
        stuck_at=now_ms,
        item=item,
    )


def entry_of_row(row: Row, now_ms: int) -> Entry:
    """The entry a row stands for, with its state as it was kept and no body yet."""
    return Entry(
        position=row.position,
        source=row.source,
        type=row.type,
        message_id=row.message_id,
        received_at=row.received_at,
        keys=tuple(int.from_bytes(row.keys[at : at + KEY_BYTES], "big") for at in range(0, len(row.keys), KEY_BYTES)),
        stuck_at=now_ms,
        done=row.done,
        attempts=row.attempts,
        since=row.since,
        due=row.due,
        late=row.late,
        has_row=True,
        code=row.code,
        reason=row.reason,
    )


@dataclass(slots=True)
class Unit:
    """What goes out at once: one entry (batch_key None), or a batch of entries of one subscription and batch key."""

    subscription_id: str
    entries: list[Entry]
    planned: list[Planned]
    began_at: int
    batch_key: tuple[str, bytes] | None = None
    number: int = 0
