"""How fast a destination is sent to, and when it is given a rest."""

from tabard.delivery.breaker import PROBE_MAX_MS, Breaker, Why
from tabard.delivery.pace import LIMIT_FIRST, LIMIT_MAX, Pace
from tabard.destinations.kit.action import Rate


def test_quick_answers_let_more_requests_go_at_once_up_to_a_limit() -> None:
    pace = Pace()
    for second in range(20_000):
        pace.active = int(pace.limit)
        pace.ended(second, 0.01, overloaded=False, good=True)
    assert pace.limit == LIMIT_MAX


def test_overload_halves_what_goes_at_once_but_once_a_round_trip() -> None:
    pace = Pace(limit=64)
    for _ in range(10):
        pace.active = 5
        pace.ended(100.0, 0.5, overloaded=True, good=False)
    assert pace.limit == 32
    pace.active = 5
    pace.ended(101.0, 0.5, overloaded=True, good=False)
    assert pace.limit == 16


def test_latency_far_above_the_best_counts_as_overload() -> None:
    pace = Pace(limit=64)
    pace.active = 2
    pace.ended(1.0, 0.01, overloaded=False, good=True)
    pace.ended(2.0, 0.5, overloaded=False, good=True)
    assert pace.limit == 32


def test_a_destination_with_few_messages_keeps_its_first_limit() -> None:
    pace = Pace()
    pace.active = 1
    pace.ended(1.0, 0.01, overloaded=False, good=True)
    assert pace.limit == LIMIT_FIRST


def test_the_strictest_rate_and_the_destination_s_own_wish_hold() -> None:
    pace = Pace()
    pace.set_rates([Rate(10, 1.0), Rate(1, 2.0)])
    assert pace.wait_s(0.0) == 0
    pace.began()
    assert pace.wait_s(0.0) == 2.0
    assert pace.wait_s(2.0) == 0
    pace.hold(9.0)
    assert pace.wait_s(2.0) == 7.0


def test_a_clock_that_is_put_back_makes_no_wait_longer() -> None:
    pace = Pace()
    pace.set_rates([Rate(1, 2.0)])
    assert pace.wait_s(10_000.0) == 0
    pace.began()
    assert pace.wait_s(10_000.0) == 2.0
    assert pace.wait_s(6_400.0) == 2.0
    assert pace.wait_s(6_402.0) == 0
    pace.hold(6_500.0)
    assert pace.wait_s(6_410.0) == 90.0
    assert pace.wait_s(2_810.0) == 90.0
    assert pace.wait_s(2_900.0) == 0


def test_twenty_different_subjects_in_a_row_open_the_breaker_and_one_alone_never_does() -> None:
    breaker = Breaker()
    assert not any(breaker.failed("the same", request, "500", 0) for request in range(100))
    assert breaker.succeeded(0) is False
    assert [breaker.failed(subject, subject, "500", 0) for subject in range(20)] == [False] * 19 + [True]
    assert (breaker.why, breaker.is_open) == (Why.FAILURES, True)


def test_an_open_breaker_lets_one_probe_through_at_growing_distances_of_at_most_five_minutes() -> None:
    breaker, now, distances = Breaker(), 0, []
    breaker.open(Why.CREDENTIALS, "401", now)
    for _ in range(12):
        assert not breaker.may_send(breaker.probe_at - 1)
        distances.append(breaker.probe_at - now)
        now = breaker.probe_at
        assert breaker.may_send(now)
        breaker.sending()
        assert not breaker.may_send(now)
        breaker.failed("x", 1, "401", now)
    assert distances[:3] == [5_000, 10_000, 20_000]
    assert distances[-1] == PROBE_MAX_MS
    assert breaker.succeeded(0) is True
    assert breaker.may_send(now)


def test_one_batch_that_fails_does_not_open_the_breaker_but_the_third_does() -> None:
    breaker = Breaker()
    for request, opened in ((1, False), (2, False), (3, True)):
        for subject in range(500):
            breaker.failed(subject, request, "500", 0)
        assert breaker.is_open is opened
