"""The deliverer's state in `delivery.db` (`storage.deliveries`): one writing process, any number of readers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tabard.message.types import offset_of, partition_of
from tabard.storage.deliveries import (
    Attempt,
    Balance,
    Book,
    Commit,
    ConsumerKind,
    ConsumerState,
    Counts,
    Erasure,
    ErasureState,
    Letters,
    Range,
    Replay,
    Rest,
    Row,
    RowState,
)
from tabard.storage.sqlite.database import connect, connect_reader, empty_wal, immediate, migrate, statements

RANGE_MS: Final = 10_000
"""Commits within this time share one range row."""
ATTEMPTS_MAX: Final = 20
"""Attempts kept of one delivery, the newest."""
_PRUNED_AT_ONCE: Final = 1_000
_FOREVER: Final = (1 << 63) - 1

_SQL: Final = statements("delivery")
_vector = msgspec.json.Decoder(dict[int, int]).decode
_counts = msgspec.json.Decoder(Counts).decode
_replay = msgspec.json.Decoder(Replay).decode
_rest = msgspec.json.Decoder(Rest).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode


class SqliteDeliveryReader:
    """Reads of delivery.db (`storage.deliveries.DeliveryReader`). One connection; calls from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises `DatabaseMissing` before the first deliverer (of this release) ran."""
        self._db = connect_reader(path, "delivery")

    def consumers(self) -> list[ConsumerState]:
        """All consumers there ever were, oldest first."""
        return [_state(row) for row in self._db.execute(_SQL["consumers"])]

    def consumer(self, consumer: str) -> ConsumerState | None:
        """One consumer by its id."""
        return next((_state(row) for row in self._db.execute(_SQL["consumer"], (consumer,))), None)

    def books(self, consumer: str) -> list[Book]:
        """The books of a consumer, one a source."""
        found: dict[str, Book] = {}
        for source, term, number, pruned in self._db.execute(_SQL["books"], (consumer,)):
            book = found.setdefault(source, Book(consumer, source, {}, {}))
            book.terms[term], book.pruned[term] = number, pruned
        return list(found.values())

    def reasons(self, consumer: str) -> dict[str, int]:
        """How often each `term:code` was counted, most frequent first."""
        return dict(self._db.execute(_SQL["reasons"], (consumer,)))

    def rows(self, consumer: str, states: Sequence[RowState], limit: int, after: int = 0) -> list[tuple[int, Row]]:
        """Rows in the order they were made, those numbered above `after`."""
        found = [
            row for state in states for row in self._db.execute(_SQL["rows"], (consumer, str(state), after, limit))
        ]
        return [(row[0], _row(row)) for row in sorted(found, key=lambda row: row[0])[:limit]]

    def row(self, consumer: str, position: int) -> Row | None:
        """The row of one delivery."""
        return next((_row(row) for row in self._db.execute(_SQL["row"], (consumer, position))), None)

    def balance(self, consumer: str) -> Balance:
        """The counters beside what they must equal."""
        found: dict[str, dict[tuple[str, str], int]] = {"book": {}, "kept": {}, "ranges": {}, "rows": {}}
        for source, term, what, number in self._db.execute(_SQL["balance"], (consumer,)):
            found[what][source, term] = number
        gaps = list(self._db.execute(_SQL["gaps"], (consumer,)))
        return Balance(found["book"], found["kept"], found["ranges"], found["rows"], gaps)

    def dead_letters(self, letters: Letters, limit: int, before: int = 0) -> list[tuple[int, Row]]:
        """Dead rows with their sequence numbers, newest first, those numbered below `before` (0: all)."""
        which = (letters.text, letters.code, letters.since, letters.key)
        found = self._db.execute(_SQL["dead_letters"], (letters.consumer, limit, before, *which))
        return [(row[0], _row(row)) for row in found]

    def attempts(self, consumer: str, position: int) -> list[Attempt]:
        """The kept attempts of one delivery, oldest first."""
        return [Attempt(**_named(Attempt, row)) for row in self._db.execute(_SQL["attempts"], (consumer, position))]

    def recorded(self, consumer: str, limit: int, after: int = -1) -> list[int]:
        """Positions above `after` that have attempts or a dead row, ascending."""
        return [position for (position,) in self._db.execute(_SQL["recorded"], (consumer, after, limit))]

    def ranges(self, consumer: str, limit: int, after: int = 0) -> list[tuple[int, Range]]:
        """Kept ranges, oldest first, those numbered above `after`."""
        return [(row[0], _range(row)) for row in self._db.execute(_SQL["ranges"], (consumer, after, limit))]

    def range_of(self, consumer: str, position: int) -> Range | None:
        """The range that passed a position, None where none is kept."""
        place = (consumer, partition_of(position), offset_of(position))
        found = next((_range(row) for row in self._db.execute(_SQL["range_of"], place)), None)
        return found if found and found.end > offset_of(position) else None

    def hashes(self, consumer: str, subjects: Iterable[bytes]) -> dict[bytes, bytes]:
        """What was last delivered, for those subjects it is known of."""
        found = {subject: self._db.execute(_SQL["hash"], (consumer, subject)).get for subject in subjects}
        return {subject: kept for subject, kept in found.items() if kept is not None}

    def erasure_cursor(self, destination: str) -> dict[int, int]:
        """Up to where deletions were followed for a destination."""
        offsets = self._db.execute(_SQL["erasure_cursor"], (destination,)).get
        return {} if offsets is None else _vector(offsets)

    def erasures(
        self, state: ErasureState, destination: str | None, limit: int, *, due: int | None = None
    ) -> list[Erasure]:
        """Erasures of one state, those that are due first."""
        by = _FOREVER if due is None else due
        return [_erasure(row) for row in self._db.execute(_SQL["erasures"], (str(state), destination, by, limit))]

    def erasure(self, destination: str, position: int) -> Erasure | None:
        """The erasure a message asked for at a destination."""
        return next((_erasure(row) for row in self._db.execute(_SQL["erasure"], (destination, position))), None)

    def erasure_books(self, destination: str) -> dict[str, int]:
        """How many were asked for, and what became of them."""
        by_state: dict[str, int] = dict(self._db.execute(_SQL["erasure_books"], (destination,)))
        ended = {str(state): by_state.get(state, 0) for state in ErasureState if state is not ErasureState.ASKED}
        return {"asked": sum(by_state.values()), **ended, "pending": by_state.get(ErasureState.ASKED, 0)}

    def order_answer(self, order: str) -> dict[str, Any] | None:
        """What applying an order came to, None where it was not applied."""
        answer = self._db.execute(_SQL["order_answer"], (order,)).get
        return None if answer is None else msgspec.json.decode(answer, type=dict[str, Any])

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()


class SqliteDeliveryStore(SqliteDeliveryReader):
    """delivery.db with its writes (`storage.deliveries.DeliveryStore`)."""

    def __init__(self, path: Path) -> None:
        """Opens the file, making and migrating it. Raises `DatabaseTooNew`."""
        self._db = connect(path)
        migrate(self._db, "delivery")

    def add_consumer(self, state: ConsumerState) -> None:
        """A new consumer at its first cursor."""
        self._db.execute(
            _SQL["add_consumer"],
            (
                state.id,
                state.destination,
                str(state.kind),
                state.log_id,
                _json(state.offsets),
                _json(state.start),
                _json(state.end),
                None if state.replay is None else _json(state.replay),
                state.state,
                state.why,
                state.created_at,
                state.updated_at,
            ),
        )

    def set_state(self, consumer: str, state: str, why: str, now_ms: int) -> None:
        """running, paused, done or cancelled, and why."""
        self._db.execute(_SQL["set_state"], (state, why, now_ms, consumer))

    def commit(self, commits: Sequence[Commit], now_ms: int) -> None:
        """Several consumers' changes as one transaction."""
        with immediate(self._db):
            for commit in commits:
                self._commit(commit, now_ms)

    def _commit(self, commit: Commit, now_ms: int) -> None:
        consumer, execute = commit.consumer, self._db.execute
        rest = None if commit.rest is None else _json(commit.rest)
        execute(_SQL["move_cursor"], (commit.log_id, _json(commit.offsets), rest, now_ms, consumer))
        for each in commit.ranges:
            self._add_range(consumer, each)
        for reason, number in commit.reasons.items():
            execute(_SQL["count_reason"], (consumer, reason, number))
        self._db.executemany(_SQL["put_row"], (_row_values(row) for row in commit.rows))
        self._db.executemany(_SQL["drop_row"], ((consumer, position) for position in commit.dropped))
        self._db.executemany(
            _SQL["add_attempt"], ((consumer, *msgspec.structs.astuple(each)) for each in commit.attempts)
        )
        self._db.executemany(
            _SQL["cut_attempts"],
            ((consumer, position, ATTEMPTS_MAX) for position in {each.position for each in commit.attempts}),
        )
        self._db.executemany(_SQL["drop_attempts"], ((consumer, position) for position in commit.erased))
        self._db.executemany(
            _SQL["put_hash"], ((consumer, subject, kept) for subject, kept in commit.delivered_hashes.items())
        )
        self._db.executemany(_SQL["drop_hash"], ((consumer, subject) for subject in commit.forgotten_hashes))

    def _add_range(self, consumer: str, added: Range) -> None:
        changes = [
            (consumer, source, term, number)
            for source, terms in added.counts.items()
            for term, number in terms.items()
            if number
        ]
        self._db.executemany(_SQL["count"], changes)
        last = next(iter(self._db.execute(_SQL["last_range"], (consumer, added.partition))), None)
        if last is not None and _continues(_range(last), added):
            kept = _range(last)
            first_sends = [each for each in (kept.first_send, added.first_send) if each]
            grown = (
                added.end,
                min(first_sends, default=0),
                max(kept.last_answer, added.last_answer),
                _json(_sum(kept.counts, added.counts)),
                last[0],
            )
            self._db.execute(_SQL["grow_range"], grown)
            return
        values = (consumer, *msgspec.structs.astuple(added)[:-1], _json(added.counts))
        self._db.execute(_SQL["add_range"], values)

    def wipe(self) -> bool:
        """Takes what was erased so far out of the files' bytes as well; False where a reader is in the way just now."""
        return empty_wal(self._db)

    def prune(self, before_ms: int) -> int:
        """Forgets ranges and attempts older than that; returns how many ranges, at most a thousand a call."""
        with immediate(self._db):
            old = list(self._db.execute(_SQL["old_ranges"], (before_ms, _PRUNED_AT_ONCE)))
            for seq, consumer, counts in old:
                for source, terms in _counts(counts).items():
                    for term, number in terms.items():
                        self._db.execute(_SQL["count_pruned"], (number, consumer, source, term))
                self._db.execute(_SQL["drop_range"], (seq,))
            self._db.execute(_SQL["drop_old_attempts"], (before_ms,))
        return len(old)

    def put_erasures(self, erasures: Sequence[Erasure], cursor: tuple[str, dict[int, int]] | None = None) -> None:
        """Erasures as they are now, with the cursor they were found by, in one transaction."""
        with immediate(self._db):
            self._db.executemany(_SQL["put_erasure"], (_erasure_values(each) for each in erasures))
            if cursor is not None:
                self._db.execute(_SQL["move_erasure_cursor"], (cursor[0], _json(cursor[1])))

    def order_applied(self, order: str, answer: dict[str, Any], now_ms: int) -> None:
        """Remembers an order by its id."""
        self._db.execute(_SQL["order_applied"], (order, _json(answer), now_ms))


def _continues(kept: Range, added: Range) -> bool:
    touches = kept.end == added.start or kept.partition < 0
    return touches and kept.version == added.version and added.at - kept.at < RANGE_MS


def _sum(one: Counts, other: Counts) -> Counts:
    total = {source: dict(terms) for source, terms in one.items()}
    for source, terms in other.items():
        into = total.setdefault(source, {})
        for term, number in terms.items():
            into[term] = into.get(term, 0) + number
    return total


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _named(kind: type[msgspec.Struct], values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(kind.__struct_fields__, values, strict=True))


def _state(row: Sequence[Any]) -> ConsumerState:
    id_, destination, kind, log_id, offsets, start, end, replay, state, why, created_at, updated_at, rest = row
    return ConsumerState(
        id=id_,
        destination=destination,
        kind=ConsumerKind(kind),
        log_id=log_id,
        offsets=_vector(offsets),
        start=_vector(start),
        end=_vector(end),
        replay=None if replay is None else _replay(replay),
        state=state,
        why=why,
        created_at=created_at,
        updated_at=updated_at,
        rest=_rest(rest),
    )


def _row(row: Sequence[Any]) -> Row:
    named = _named(Row, row[1:])
    return Row(
        **{**named, "state": RowState(named["state"]), "late": bool(named["late"]), "done": _names(named["done"])}
    )


def _row_values(row: Row) -> tuple[Any, ...]:
    named = msgspec.structs.asdict(row)
    return tuple({**named, "state": str(row.state), "late": int(row.late), "done": _json(row.done)}.values())


def _range(row: Sequence[Any]) -> Range:
    named = _named(Range, row[1:])
    return Range(**{**named, "counts": _counts(named["counts"])})


def _erasure(row: Sequence[Any]) -> Erasure:
    named = _named(Erasure, row)
    return Erasure(**{**named, "state": ErasureState(named["state"]), "people": _names(named["people"])})


def _erasure_values(erasure: Erasure) -> tuple[Any, ...]:
    named = msgspec.structs.asdict(erasure)
    return tuple({**named, "state": str(erasure.state), "people": _json(erasure.people)}.values())
