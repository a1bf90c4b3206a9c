"""Books that balance: each number an operator could doubt is held against another, and a wrong one is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.delivery.books import check_books, check_range, pending
from tabard.delivery.trace import Tracing
from tabard.delivery.views import DeliveryViews
from tabard.message.types import position
from tabard.storage.deliveries import Commit, ConsumerKind, ConsumerState, Range, Row, RowState, Term
from tabard.storage.sqlite.delivery import RANGE_MS, SqliteDeliveryStore
from tests.integration.delivery.stored import MemoryMessages, MemoryWorkspace, stored

ENDS = ["delivered"] * 4 + ["filtered", "parked", "parked", "dead", "erased", "expired"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteDeliveryStore]:
    """One consumer that took ten messages of each of two sources, in two ranges, with rows for what has not ended."""
    store = SqliteDeliveryStore(tmp_path / "delivery.db")
    store.add_consumer(
        ConsumerState(id="d1", destination="d1", kind=ConsumerKind.LIVE, log_id="log-1", offsets={}, start={})
    )
    for number, source in enumerate(("s1", "s2")):
        begin = number * 10
        counts = {term: ENDS.count(term) for term in ENDS} | {"taken": 10}
        passed = Range(
            partition=1, start=begin, end=begin + 10, version=1, at=number * 2 * RANGE_MS, counts={source: counts}
        )
        rows = tuple(
            Row(
                consumer="d1", position=position(1, begin + index), state=RowState(term), source=source, type="track",
                message_id=f"m{begin + index}", received_at=1,
            )
            for index, term in enumerate(ENDS) if term in ("parked", "dead")
        )  # fmt: skip
        store.commit(
            [Commit(consumer="d1", log_id="log-1", offsets={1: begin + 10}, reasons={}, ranges=(passed,), rows=rows)],
            1,
        )
    yield store
    store.close()


def test_sound_books_show_no_difference(store: SqliteDeliveryStore) -> None:
    assert check_books("d1", store.balance("d1")) is None


@pytest.mark.parametrize("term", [term for term in Term if term is not Term.BEFORE_START])
def test_a_counter_that_is_off_by_one_is_named(store: SqliteDeliveryStore, term: Term) -> None:
    store._db.execute("UPDATE book SET number = number + 1 WHERE source = 's2' AND term = ?", (str(term),))
    difference = check_books("d1", store.balance("d1"))
    assert difference
    assert (difference.consumer, difference.source) == ("d1", "s2")


def test_a_count_before_the_start_that_no_range_accounts_for_is_named(store: SqliteDeliveryStore) -> None:
    store._db.execute("INSERT INTO book (consumer, source, term, number) VALUES ('d1', 's1', 'before_start', 3)")
    difference = check_books("d1", store.balance("d1"))
    assert difference
    assert (difference.term, difference.books, difference.found) == (Term.BEFORE_START, 3, 0)


@pytest.mark.parametrize(
    "corruption",
    [
        "DELETE FROM delivery WHERE state = 'parked' AND source = 's1'",
        "UPDATE delivery SET state = 'parked' WHERE state = 'dead' AND source = 's2'",
        "UPDATE passed SET counts = replace(counts, '\"delivered\":4', '\"delivered\":5') WHERE start = 10",
        "DELETE FROM passed WHERE start = 0",
        "UPDATE passed SET until = 9 WHERE start = 0",
        "UPDATE book SET pruned = 1 WHERE term = 'filtered' AND source = 's1'",
    ],
)
def test_a_row_or_a_range_that_was_lost_or_changed_is_noticed(store: SqliteDeliveryStore, corruption: str) -> None:
    store._db.execute(corruption)
    assert store._db.changes() > 0
    assert check_books("d1", store.balance("d1")) is not None


def test_pruned_ranges_stay_accounted_for(store: SqliteDeliveryStore) -> None:
    assert store.prune(RANGE_MS) == 1
    assert store.prune(RANGE_MS) == 0
    assert len(store.ranges("d1", 10)) == 1
    assert check_books("d1", store.balance("d1")) is None


def test_a_range_that_skipped_a_stored_message_is_noticed_with_its_place(store: SqliteDeliveryStore) -> None:
    messages = MemoryMessages().add(stored(offset, source="s1" if offset < 10 else "s2") for offset in range(20))
    ranges = [passed for _, passed in store.ranges("d1", 10)]
    assert [check_range("d1", passed, messages) for passed in ranges] == [None, None]
    messages.messages[1].insert(10, stored(9, source="s3"))
    difference = check_range("d1", ranges[0], messages)
    assert difference
    assert (difference.source, difference.books, difference.found) == ("s3", 0, 1)
    assert "1:0-10" in str(difference)


def test_what_is_not_taken_yet_is_pending(store: SqliteDeliveryStore) -> None:
    messages = MemoryMessages().add(stored(offset, source=f"s{offset % 2}") for offset in range(15, 30))
    state = store.consumer("d1")
    assert state
    assert pending(state, messages) == ({"s0": 5, "s1": 5}, False)


def test_what_is_pending_beyond_what_is_counted_is_said_to_be_more(store: SqliteDeliveryStore, tmp_path: Path) -> None:
    def book(messages: MemoryMessages) -> dict[str, Any]:
        tracing = Tracing(messages, store, MemoryWorkspace(), {})
        return DeliveryViews(tracing, tmp_path / "none.json").books()["d1"]

    messages = MemoryMessages().add(stored(offset) for offset in range(20, 10_020))
    exact = book(messages)
    assert (exact["books"]["pending"], exact["pendingIsMin"]) == (10_000, False)
    more = book(messages.add([stored(10_020)]))
    assert (more["books"]["pending"], more["pendingIsMin"]) == (10_000, True)


def test_commits_close_together_share_a_range_and_others_do_not(store: SqliteDeliveryStore) -> None:
    def commit(start: int, at: int, version: int = 1) -> None:
        passed = Range(partition=2, start=start, end=start + 1, version=version, at=at, counts={"s1": {"taken": 1}})
        store.commit([Commit(consumer="d1", log_id="log-1", offsets={}, reasons={}, ranges=(passed,))], at)

    commit(0, 0)
    commit(1, RANGE_MS - 1)
    commit(2, RANGE_MS)
    commit(3, RANGE_MS, version=2)
    assert [(each.start, each.end) for _, each in store.ranges("d1", 10) if each.partition == 2] == [
        (0, 2), (2, 3), (3, 4),
    ]  # fmt: skip
    found = store.range_of("d1", position(2, 1))
    assert found
    assert (found.start, found.end) == (0, 2)
    assert store.range_of("d1", position(2, 4)) is None
