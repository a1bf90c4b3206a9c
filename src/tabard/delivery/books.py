"""The books of a consumer, held against its rows, its ranges and the store itself.

stored = before_start + taken + pending
taken  = delivered + filtered + parked + dead + erased + expired
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tabard.message.types import offset_of
from tabard.storage.deliveries import Balance, ConsumerState, DeliveryReader, Range, Term
from tabard.storage.interface import MessageReader

ENDS = (Term.DELIVERED, Term.FILTERED, Term.PARKED, Term.DEAD, Term.ERASED, Term.EXPIRED)
"""What `taken` divides into."""

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Two numbers that should be one. `where` names the consumer's range or rows that were compared."""

    consumer: str
    source: str
    term: str
    books: int
    found: int
    where: str

    def __str__(self) -> str:
        who = f"{self.consumer}, source {self.source}" if self.source else self.consumer
        return f"{who}: {self.term} is {self.books} in the books and {self.found} in {self.where}"


def check_books(consumer: str, balance: Balance) -> Difference | None:
    """The first difference between a consumer's counters, its rows and its ranges; None where all agree."""
    return next(_differences(consumer, balance), None)


def _differences(consumer: str, balance: Balance) -> Iterator[Difference]:
    for source in sorted({source for source, _ in (*balance.books, *balance.ranges, *balance.rows)}):
        books = {term: balance.books.get((source, term), 0) for term in Term}
        total = sum(books[term] for term in ENDS)
        if total != books[Term.TAKEN]:
            yield Difference(consumer, source, Term.TAKEN, books[Term.TAKEN], total, "the sum of its ends")
        for term in (Term.PARKED, Term.DEAD):
            rows = balance.rows.get((source, term), 0)
            if rows != books[term]:
                yield Difference(consumer, source, term, books[term], rows, "its rows")
        for term in Term:
            kept, ranges = balance.kept.get((source, term), 0), balance.ranges.get((source, term), 0)
            if kept != ranges:
                yield Difference(consumer, source, term, kept, ranges, "the kept ranges")
    for partition, offset in balance.gaps:
        yield Difference(consumer, "", f"range of partition {partition}", offset, -1, "the range before it")


def check_range(consumer: str, passed: Range, messages: MessageReader) -> Difference | None:
    """Whether a range took exactly the messages that the store has in it; the first difference by source."""
    stored: dict[str, int] = {}
    for source, number in count_stored(messages, passed.partition, passed.start, passed.end):
        stored[source] = stored.get(source, 0) + number
    taken = {source: terms.get(Term.TAKEN, 0) for source, terms in passed.counts.items()}
    where = f"the store's range {passed.partition}:{passed.start}-{passed.end}"
    for source in sorted(stored.keys() | taken.keys()):
        if stored.get(source, 0) != taken.get(source, 0):
            return Difference(consumer, source, Term.TAKEN, taken.get(source, 0), stored.get(source, 0), where)
    return None


def count_stored(messages: MessageReader, partition: int, start: int, end: int) -> Iterator[tuple[str, int]]:
    """The stored messages of a partition in [start, end), a page at a time, by source."""
    offset = start
    while offset < end:
        page = [each for each in messages.read(partition, offset, _PAGE) if offset_of(each.position) < end]
        if not page:
            return
        counted: dict[str, int] = {}
        for each in page:
            counted[each.source] = counted.get(each.source, 0) + 1
        yield from counted.items()
        offset = offset_of(page[-1].position) + 1


def before_start(state: ConsumerState, messages: MessageReader) -> Iterator[dict[str, int]]:
    """What is stored before a consumer's first place, by source, a page at a time: somebody else may read between."""
    for partition, end in state.start.items():
        for source, number in count_stored(messages, partition, 0, end):
            yield {source: number}


class Pending(NamedTuple):
    """What is stored and not taken yet, by source. `is_min`: there may be more, counting was given up."""

    by_source: dict[str, int]
    is_min: bool


def pending(state: ConsumerState, messages: MessageReader, limit: int = 10_000) -> Pending:
    """What is stored and not taken yet; counting stops at about `limit`."""
    found: dict[str, int] = {}
    for partition, end in messages.resolved().items():
        for source, number in count_stored(messages, partition, state.offsets.get(partition, 0), end):
            if sum(found.values()) >= limit:
                return Pending(found, is_min=True)
            found[source] = found.get(source, 0) + number
    return Pending(found, is_min=False)


def books_of(state: ConsumerState, deliveries: DeliveryReader) -> dict[str, dict[str, int]]:
    """A consumer's terms by source, all of them named, also those at 0."""
    return {book.source: {str(term): book.terms.get(term, 0) for term in Term} for book in deliveries.books(state.id)}
