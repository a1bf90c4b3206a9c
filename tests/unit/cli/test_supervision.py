"""When a role is started again, and when it counts as hung or crash-looping."""

from tabard.compose.supervision import CRASH_LOOP_DEATHS, WINDOW_S, is_crash_loop, is_hung, recent, restart_delay_s


def test_a_role_that_died_once_is_back_at_once_and_one_that_keeps_dying_waits_longer_and_longer() -> None:
    delays = [restart_delay_s(deaths) for deaths in range(1, 15)]
    assert delays[0] == 0.1
    assert delays == sorted(delays)
    assert delays[-1] == 30.0


def test_five_deaths_within_a_minute_are_a_crash_loop_and_old_ones_are_forgotten() -> None:
    deaths = [float(number) for number in range(CRASH_LOOP_DEATHS)]
    assert is_crash_loop(len(recent(deaths, now_s=10)))
    assert not is_crash_loop(len(recent(deaths, now_s=WINDOW_S + 1)))


def test_a_role_is_hung_when_it_has_not_beaten_for_the_limit() -> None:
    assert not is_hung(beat_age_s=5, up_s=100, limit_s=10)
    assert is_hung(beat_age_s=11, up_s=100, limit_s=10)


def test_a_role_that_never_began_to_beat_is_hung_after_the_same_limit() -> None:
    assert not is_hung(beat_age_s=None, up_s=9, limit_s=10)
    assert is_hung(beat_age_s=None, up_s=11, limit_s=10)


def test_a_beat_left_by_the_role_s_predecessor_does_not_count_against_it() -> None:
    assert not is_hung(beat_age_s=500, up_s=1, limit_s=10)
