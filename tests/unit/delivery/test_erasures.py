"""What becomes of an erasure after an attempt, and whom it names."""

import pytest

from tabard.delivery.erasures import after, subjects_of
from tabard.delivery.outcome import DELIVERED, Outcome, Verdict
from tabard.destinations.kit.destination import Subject
from tabard.storage.deliveries import Erasure, ErasureState

HOUR_MS = 3_600_000
ASKED = Erasure(
    destination="d1", position=7, state=ErasureState.ASKED, message_id="m", people=("user:u1",), asked_at=1_000
)


def ended(outcome: Outcome, now_ms: int, erasure: Erasure = ASKED) -> Erasure:
    return after(erasure, outcome, now_ms, patience_ms=HOUR_MS, fraction=0.5)


def test_what_is_erased_is_done_and_names_nobody_any_more() -> None:
    done = ended(DELIVERED, 2_000)
    assert (done.state, done.people) == (ErasureState.DONE, ())


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.CREDENTIALS])
def test_what_may_succeed_later_is_asked_again_until_patience_is_over(verdict: Verdict) -> None:
    first = ended(Outcome(verdict, "http_503", "busy"), 2_000)
    assert (first.state, first.since, first.due, first.attempts) == (ErasureState.ASKED, 2_000, 2_500, 1)
    assert ended(Outcome(verdict, "http_503"), 2_000 + HOUR_MS - 1, first).state is ErasureState.ASKED
    last = ended(Outcome(verdict, "http_503"), 2_000 + HOUR_MS, first)
    assert (last.state, last.code, last.people) == (ErasureState.FAILED, "gave_up_http_503", ("user:u1",))


def test_retry_after_is_obeyed() -> None:
    assert ended(Outcome(Verdict.RETRY, "http_429", retry_after_s=60.0), 2_000).due == 2_000 + 60_500


def test_what_is_refused_has_failed_and_says_whom_to_delete_by_hand() -> None:
    failed = ended(Outcome(Verdict.DEAD, "http_400", "no"), 2_000)
    assert (failed.state, failed.people, failed.reason) == (ErasureState.FAILED, ("user:u1",), "no")


def test_identifiers_become_as_many_subjects_as_there_are_of_one_kind() -> None:
    assert subjects_of(("user:u1", "email:a@x.io", "anon:d", "anon:e")) == [
        Subject("u1", "d", "a@x.io"),
        Subject(None, "e", None),
    ]
