"""What the deliverer keeps (delivery.db): cursors, books, the deliveries that became rows, ranges and attempts.

A *consumer* is one reader of the stored messages with a cursor and books of its own: a destination instance's live
traffic (its id is the instance's id), or one replay. The deliverer is the only writer. Positions: `message.types`.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec


class Term(StrEnum):
    """The terms of a consumer's books. `taken` is what the cursor passed: the sum of all others but `before_start`,
    which counts what was stored before the cursor's first place.
    """

    TAKEN = "taken"
    BEFORE_START = "before_start"
    DELIVERED = "delivered"
    FILTERED = "filtered"
    PARKED = "parked"
    DEAD = "dead"
    ERASED = "erased"
    EXPIRED = "expired"


class RowState(StrEnum):
    """Why a delivery has a row: `parked` is tried again, `waiting` stands behind one of its lane, `dead` has ended."""

    PARKED = "parked"
    WAITING = "waiting"
    DEAD = "dead"


Counts = dict[str, dict[str, int]]
"""Source id → term → change."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that failed, or waits behind one that did. Times in milliseconds.

    keys: hashes of the identifiers as sent, eight bytes each, one after the other.
    since: when it first failed. due: its next attempt. done: ids of the subscriptions that have delivered.
    late: its order was given up, it goes on alone. code and reason: of the last failure.
    """

    consumer: str
    position: int
    state: RowState
    source: str
    type: str
    message_id: str
    received_at: int
    keys: bytes = b""
    since: int = 0
    due: int = 0
    attempts: int = 0
    late: bool = False
    done: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""


class Letters(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant: those that meet all of it.

    consumer: a destination's id, or a replay's; None for all. text: stands in code, reason or message id. code: is
    the code. since: failing since then or later (ms). key: the lane key of an identifier as sent, b'' for anybody.
    """

    consumer: str | None = None
    text: str = ""
    code: str = ""
    since: int = 0
    key: bytes = b""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit did: the offsets [start, end) of a partition that the cursor passed, and the changed books.

    partition −1: only rows changed. `version`: the destination's configuration.
    first_send and last_answer are 0 where nothing was sent.
    """

    partition: int
    start: int
    end: int
    version: int
    at: int
    first_send: int = 0
    last_answer: int = 0
    counts: Counts = {}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one delivery. `request` and `answer` are redacted and capped text, '' where a batch shares them
    with its first item. `took_ms`: until the answer or the failure.
    """

    position: int
    at: int
    took_ms: int
    subscription: str
    verdict: str
    code: str = ""
    reason: str = ""
    request: str = ""
    answer: str = ""


class Rest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a destination rests, kept with its live consumer: a restart goes on resting. Times in milliseconds.

    why: of `delivery.breaker`, '' where it does not rest by itself; from `opened_at` on, `code` of the last failure.
    probe_at, probe_wait, more, is_well, fails_test, refused: what its breaker goes on with. good_at: when it last took
    something, to the minute. held_until: it asked to be sent nothing before. paused_at: since when an operator has it
    paused. version: of the configuration that all this was seen with.
    """

    why: str = ""
    code: str = ""
    opened_at: int = 0
    probe_at: int = 0
    probe_wait: int = 0
    more: int = 0
    is_well: bool = False
    fails_test: bool = False
    refused: bool = False
    good_at: int = 0
    held_until: int = 0
    paused_at: int = 0
    version: int = 0


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """All that changes at once for one consumer. `offsets` is the whole new cursor; the ranges' counts change the
    books; `reasons` counts `term:code`; `erased`: positions whose attempts must not be kept; `rest`: None for as kept.
    """

    consumer: str
    log_id: str
    offsets: dict[int, int]
    reasons: dict[str, int]
    ranges: tuple[Range, ...]
    rows: tuple[Row, ...] = ()
    dropped: tuple[int, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    erased: tuple[int, ...] = ()
    delivered_hashes: dict[bytes, bytes] = {}
    forgotten_hashes: tuple[bytes, ...] = ()
    rest: Rest | None = None


class ConsumerKind(StrEnum):
    """Live traffic, or a replay (also called backfill where it began with the destination)."""

    LIVE = "live"
    REPLAY = "replay"


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay sends again: messages received in [since, until) ms that pass the filter, in log order.

    only: `all`, `failed` (dead in the live consumer) or `undelivered` (not counted as delivered: dead, parked,
    waiting, or never taken). trigger: FQL, '' for any. rate_per_s: requests; 0 for as fast as live traffic leaves room.
    """

    since: int = 0
    until: int = 0
    only: str = "all"
    trigger: str = ""
    rate_per_s: float = 0.0


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer as it stands. `state`: running, paused, done or cancelled; `why` says more. `start`: its first
    cursor. `end`: a replay's last cursor, {} for live traffic."""

    id: str
    destination: str
    kind: ConsumerKind
    log_id: str
    offsets: dict[int, int]
    start: dict[int, int]
    end: dict[int, int] = {}
    replay: Replay | None = None
    state: str = "running"
    why: str = ""
    created_at: int = 0
    updated_at: int = 0
    rest: Rest = Rest()


class Book(msgspec.Struct, frozen=True):
    """One consumer's terms for one source, and the part of them that pruned ranges account for."""

    consumer: str
    source: str
    terms: dict[str, int]
    pruned: dict[str, int]


class Balance(msgspec.Struct, frozen=True):
    """One consumer's counters beside what they must equal, read in one look: by (source, term).

    books: counters. kept: counters without what pruned ranges account for. ranges: sums over the kept ranges.
    rows: `parked` (with waiting) and `dead` rows. gaps: places (partition, offset) where ranges do not join.
    """

    books: dict[tuple[str, str], int]
    kept: dict[tuple[str, str], int]
    ranges: dict[tuple[str, str], int]
    rows: dict[tuple[str, str], int]
    gaps: list[tuple[int, int]]


class ErasureState(StrEnum):
    """Where an erasure stands: `asked` is tried (again), `by_action` went out as the message's own action."""

    ASKED = "asked"
    DONE = "done"
    BY_ACTION = "by_action"
    FAILED = "failed"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """People that one message deleted, to be erased at one destination. Times in milliseconds.

    position, message_id: of that message. people: their identifiers as text, () once they are erased.
    since: when it first failed. due: its next attempt. code and reason: of the last failure.
    """

    destination: str
    position: int
    state: ErasureState
    message_id: str
    people: tuple[str, ...]
    asked_at: int
    since: int = 0
    due: int = 0
    attempts: int = 0
    code: str = ""
    reason: str = ""


class DeliveryReader(Protocol):
    """Reads of the deliverer's state, from any process."""

    def consumers(self) -> list[ConsumerState]: ...
    def consumer(self, consumer: str) -> ConsumerState | None: ...
    def books(self, consumer: str) -> list[Book]: ...
    def reasons(self, consumer: str) -> dict[str, int]:
        """How often each reason was counted, as `term:reason`."""
        ...

    def rows(self, consumer: str, states: Sequence[RowState], limit: int, after: int = 0) -> list[tuple[int, Row]]:
        """Rows with their sequence numbers, in the order they were made, those numbered above `after`."""
        ...

    def row(self, consumer: str, position: int) -> Row | None: ...
    def balance(self, consumer: str) -> Balance: ...

    def dead_letters(self, letters: Letters, limit: int, before: int = 0) -> list[tuple[int, Row]]:
        """Dead rows with their sequence numbers, newest first, those numbered below `before` (0: all)."""
        ...

    def attempts(self, consumer: str, position: int) -> list[Attempt]: ...
    def recorded(self, consumer: str, limit: int, after: int = -1) -> list[int]:
        """Positions above `after` that have attempts or a dead row, ascending."""
        ...

    def ranges(self, consumer: str, limit: int, after: int = 0) -> list[tuple[int, Range]]:
        """Kept ranges with their sequence numbers, oldest first, those numbered above `after`."""
        ...

    def range_of(self, consumer: str, position: int) -> Range | None:
        """The range that passed a position, None where it is not (or no longer) kept."""
        ...

    def erasure_cursor(self, destination: str) -> dict[int, int]:
        """Up to where deletions were followed for a destination: partition → next offset."""
        ...

    def erasures(
        self, state: ErasureState, destination: str | None, limit: int, *, due: int | None = None
    ) -> list[Erasure]:
        """Erasures of one state, of one destination or all; only those due by then, if it is given."""
        ...

    def erasure(self, destination: str, position: int) -> Erasure | None: ...
    def erasure_books(self, destination: str) -> dict[str, int]:
        """asked, done, by_action, failed and pending: asked = done + by_action + failed + pending."""
        ...

    def hashes(self, consumer: str, subjects: Iterable[bytes]) -> dict[bytes, bytes]: ...
    def close(self) -> None: ...


class DeliveryStore(DeliveryReader, Protocol):
    """Writes of the deliverer, each call one transaction."""

    def add_consumer(self, state: ConsumerState) -> None: ...
    def set_state(self, consumer: str, state: str, why: str, now_ms: int) -> None: ...
    def commit(self, commits: Sequence[Commit], now_ms: int) -> None: ...
    def wipe(self) -> bool:
        """Takes what was erased so far out of the bytes on disk as well; False: a reader is in the way, try again."""
        ...

    def prune(self, before_ms: int) -> int:
        """Forgets ranges and finished attempts older than that; their counts stay in `Book.pruned`."""
        ...

    def put_erasures(self, erasures: Sequence[Erasure], cursor: tuple[str, dict[int, int]] | None = None) -> None:
        """Keeps erasures as they are now, and with them how far a destination (its id) was followed."""
        ...

    def order_applied(self, order: str, answer: dict[str, Any], now_ms: int) -> None:
        """Remembers an order by its id, so that it is applied once."""
        ...

    def order_answer(self, order: str) -> dict[str, Any] | None: ...
