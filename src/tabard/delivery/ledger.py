"""What a consumer has done since its last commit, and the commit made of it."""

from typing import Final

import msgspec

from tabard.delivery.entry import Entry
from tabard.storage.deliveries import Attempt, Commit, Counts, Range, Rest, Row, RowState, Term

NO_PARTITION = -1
"""The partition of a range that states changes to rows alone."""
_GOOD_MS: Final = 60_000
"""How far the kept time of the last success may lie behind, so that successes alone write nothing."""


class Ledger:
    """Collects the changes of one consumer. Cursor, counters and rows leave it together or not at all."""

    def __init__(self, consumer: str, log_id: str, vector: dict[int, int], rest: Rest | None = None) -> None:
        """`rest`: how the destination rests, as it is kept with its live consumer."""
        self.consumer = consumer
        self.log_id = log_id
        self.vector = dict(vector)
        self._ranges: dict[int, _Open] = {}
        self._reasons: dict[str, int] = {}
        self._rows: dict[int, Row | None] = {}
        self._erased: list[int] = []
        self._kept_rest = rest or Rest()
        self._rest: Rest | None = None
        self.attempts: list[Attempt] = []
        self.delivered_hashes: dict[bytes, bytes] = {}
        self.forgotten_hashes: set[bytes] = set()

    def passed(self, entry: Entry, partition: int, offset: int, term: Term) -> None:
        """The cursor passes an entry, which is counted under `term` (PARKED while it has not ended)."""
        opened = self._open(partition)
        opened.end = self.vector[partition] = offset + 1
        opened.add(entry.source, term, 1)
        if entry.sent_at:
            opened.first_send = min(opened.first_send or entry.sent_at, entry.sent_at)
            opened.last_answer = max(opened.last_answer, entry.answered_at)
        self._reason(entry, term)

    def moved(self, entry: Entry, old: Term, new: Term) -> None:
        """An entry with a row goes from one term to another."""
        opened = self._open(NO_PARTITION)
        opened.add(entry.source, old, -1)
        opened.add(entry.source, new, 1)
        self._reason(entry, new)

    def rests(self, rest: Rest) -> None:
        """How the destination rests now."""
        kept = self._kept_rest
        if rest.good_at - kept.good_at >= _GOOD_MS or msgspec.structs.replace(rest, good_at=kept.good_at) != kept:
            self._kept_rest = self._rest = rest

    def stood_before_start(self, source: str, number: int) -> None:
        """So many messages of a source were stored before the cursor's first place."""
        self._open(NO_PARTITION).add(source, Term.BEFORE_START, number)

    def keep(self, row: Row) -> None:
        """A row as it is now."""
        self._rows[row.position] = row

    def has_changed(self, position: int) -> bool:
        """Whether the row of that delivery is to change with the next commit."""
        return position in self._rows

    def drop(self, position: int) -> None:
        """The row of a delivery that ended well."""
        self._rows[position] = None

    def erase(self, position: int) -> None:
        """No attempt of that delivery may be kept, nor any that is noted already."""
        self._erased.append(position)
        self.attempts = [each for each in self.attempts if each.position != position]

    def forget(self, position: int, row: Row | None, term: Term) -> None:
        """Nothing recorded of a message may stay; if its delivery is dead, it ends as `term` (erased or expired)."""
        self.erase(position)
        if row is not None and row.state is RowState.DEAD:
            opened = self._open(NO_PARTITION)
            opened.add(row.source, Term.DEAD, -1)
            opened.add(row.source, term, 1)
            self.drop(position)

    def close(self, version: int, now_ms: int) -> Commit | None:
        """Everything since the last call as one commit, None where there is nothing."""
        ranges = tuple(opened.range(partition, version, now_ms) for partition, opened in self._ranges.items())
        hashes = self.delivered_hashes or self.forgotten_hashes
        if not (ranges or self._rows or self.attempts or self._erased or hashes or self._rest):
            return None
        commit = Commit(
            consumer=self.consumer,
            log_id=self.log_id,
            offsets=dict(self.vector),
            reasons=self._reasons,
            ranges=ranges,
            rows=tuple(row for row in self._rows.values() if row),
            dropped=tuple(position for position, row in self._rows.items() if row is None),
            attempts=tuple(self.attempts),
            erased=tuple(self._erased),
            delivered_hashes=self.delivered_hashes,
            forgotten_hashes=tuple(self.forgotten_hashes),
            rest=self._rest,
        )
        self._ranges, self._reasons, self._rows = {}, {}, {}
        self.attempts, self._erased, self._rest = [], [], None
        self.delivered_hashes, self.forgotten_hashes = {}, set()
        return commit

    def _open(self, partition: int) -> "_Open":
        opened = self._ranges.get(partition)
        if opened is None:
            opened = self._ranges[partition] = _Open(self.vector.get(partition, 0))
        return opened

    def _reason(self, entry: Entry, term: Term) -> None:
        if entry.code:
            key = f"{term}:{entry.code}"
            self._reasons[key] = self._reasons.get(key, 0) + 1


class _Open:
    """A range that still grows."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.counts: Counts = {}
        self.first_send = 0
        self.last_answer = 0

    def add(self, source: str, term: Term, number: int) -> None:
        terms = self.counts.get(source)
        if terms is None:
            terms = self.counts[source] = {}
        terms[term] = terms.get(term, 0) + number

    def range(self, partition: int, version: int, now_ms: int) -> Range:
        if partition != NO_PARTITION:
            for terms in self.counts.values():
                terms[Term.TAKEN] = sum(terms.values())
        return Range(
            partition=partition,
            start=self.start,
            end=self.end,
            version=version,
            at=now_ms,
            first_send=self.first_send,
            last_answer=self.last_answer,
            counts=self.counts,
        )
