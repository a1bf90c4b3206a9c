"""Whatever fails and whenever the process dies: no message is skipped, order per identifier holds, books balance."""

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.delivery.books import check_books, check_range
from tabard.delivery.breaker import Breaker, Why
from tabard.delivery.lanes import lane_key
from tabard.delivery.outcome import Outcome
from tabard.delivery.shared import Limits
from tabard.message.types import StoredMessage
from tabard.storage.deliveries import Letters, RowState
from tests.integration.delivery.stored import MemoryMessages, stored
from tests.property.delivery.simulated import BUSY, REFUSED, RETRY, TIMEOUT, World, fast_store

ODDS = st.fixed_dictionaries(
    {RETRY: st.sampled_from([0.0, 0.1, 0.4]), TIMEOUT: st.sampled_from([0.0, 0.1]), BUSY: st.sampled_from([0.0, 0.05]),
     REFUSED: st.sampled_from([0.0, 0.1, 0.9])}
)  # fmt: skip


def crowd(die: random.Random, number: int, people: int, partitions: int) -> list[StoredMessage]:
    """Messages of few people under changing identifiers, in several partitions, some of them deleted or unwanted."""
    next_offset = dict.fromkeys(range(1, partitions + 1), 0)
    made = []
    for index in range(number):
        partition = die.randint(1, partitions)
        next_offset[partition] += die.randint(1, 3)
        who = {
            "userId": die.choice([None, f"u{die.randrange(people)}"]),
            "anonymousId": die.choice([None, f"a{die.randrange(people)}"]),
        }
        if not any(who.values()):
            who["userId"] = "u0"
        integrations = die.choice([{}, {}, {}, {"All": False}])
        made.append(
            stored(
                next_offset[partition], partition=partition, source=die.choice(["s1", "s2"]),
                received_at=1_000 + index // 2, integrations=integrations, **who,
            )
        )  # fmt: skip
    return made


def merged(messages: list[StoredMessage]) -> list[StoredMessage]:
    return sorted(messages, key=lambda each: (each.received_at, each.position))


def identifiers(message: StoredMessage) -> set[int]:
    body = msgspec.json.decode(message.body)
    return {lane_key(body[name]) for name in ("userId", "anonymousId") if body.get(name)}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30), odds=ODDS, people=st.sampled_from([1, 3, 30]), crash_odds=st.sampled_from([0, 0.02]),
    outage=st.sampled_from([(0, 0), (1_000_200, 4_000_000)]), batch_size=st.sampled_from([1, 5]),
    test_passes=st.sampled_from([None, True, False]),
)  # fmt: skip
def test_nothing_is_skipped_order_holds_and_books_balance(  # type: ignore[no-untyped-def]
    seed, odds, people, crash_odds, outage, batch_size, test_passes
) -> None:
    die = random.Random(seed)
    made = crowd(die, die.randint(1, 120), people, die.randint(1, 3))
    dead = {each.position for each in made if die.random() < 0.03}
    messages = MemoryMessages(dead=dead).add(made)
    with tempfile.TemporaryDirectory() as folder:
        world = World(
            messages, fast_store(Path(folder) / "d.db"), die, odds=odds, down=outage,
            options={"batch_size": batch_size}, tick_ms=1_000 if outage[1] else 50, test_passes=test_passes,
        )  # fmt: skip
        world.run(crash_odds=crash_odds)
        dead_letters = {row.position for _, row in world.store.dead_letters(Letters(consumer="d1"), 1_000)}
        wanted = [each for each in made if each.position not in dead and b'"All":false' not in each.body]

        arrived = set(world.arrived)
        for each in wanted:
            assert (each.position in arrived) or (each.position in dead_letters)
        assert arrived <= {each.position for each in wanted}

        firsts = {position: world.arrived.index(position) for position in arrived - dead_letters}
        for identifier in {key for each in wanted for key in identifiers(each)}:
            lane = [each.position for each in merged(wanted) if identifier in identifiers(each)]
            times = [firsts[position] for position in lane if position in firsts]
            assert times == sorted(times)

        twice = len(world.arrived) - len(arrived)
        # docs/delivery.md, "At least once".
        assert twice <= world.unsure + world.crashes * (2 * world.limits.in_flight_max + world.rows_max)
        if not world.crashes:
            assert twice <= world.unsure
        assert check_books("d1", world.store.balance("d1")) is None
        ranges = [each for _, each in world.store.ranges("d1", 1_000) if each.partition >= 0]
        assert all(check_range("d1", each, messages) is None for each in ranges)
        taken = sum(book.terms["taken"] for book in world.store.books("d1"))
        assert taken == len(made)
        world.store.close()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_an_outage_of_hours_makes_no_rows_and_loses_nothing(seed: int) -> None:
    die = random.Random(seed)
    messages = MemoryMessages().add(stored(offset, received_at=1_000) for offset in range(300))
    with tempfile.TemporaryDirectory() as folder:
        end = 1_000_000 + 6 * 3_600_000
        world = World(messages, fast_store(Path(folder) / "d.db"), die, down=(0, end), tick_ms=10_000)
        while world.now_ms < end:
            world.turn()
            world.commit()
        assert world.rows_max == 0
        world.run()
        assert sorted(world.arrived) == sorted(each.position for each in messages.messages[1])
        assert world.now_ms <= end + 310_000
        world.store.close()


def test_after_the_order_patience_the_head_goes_on_alone_and_late(tmp_path: Path) -> None:
    messages = MemoryMessages().add(
        [stored(offset, userId="u1" if offset % 2 else f"other-{offset}", received_at=1_000) for offset in range(40)]
    )
    world = World(
        messages,
        fast_store(tmp_path / "d.db"),
        random.Random(1),
        tick_ms=5_000,
        limits=Limits(order_patience_ms=900_000),
    )
    first = stored(1).position
    world.stubborn = {first}
    while world.now_ms < 1_000_000 + 890_000:
        world.turn()
        world.commit()
    assert {row.state for _, row in world.store.rows("d1", (RowState.PARKED, RowState.WAITING), 99)} == {
        RowState.PARKED, RowState.WAITING,
    }  # fmt: skip
    assert len(set(world.arrived)) == 20
    while world.now_ms < 1_000_000 + 960_000:
        world.turn()
        world.commit()
    assert len(set(world.arrived)) == 39
    row = world.store.row("d1", first)
    assert row
    assert row.late
    assert check_books("d1", world.store.balance("d1")) is None
    world.store.close()


def test_more_than_a_thousand_waiting_release_the_head(tmp_path: Path) -> None:
    messages = MemoryMessages().add(
        [stored(offset, userId="u1" if offset % 2 else f"other-{offset}", received_at=1_000) for offset in range(240)]
    )
    limits = Limits(order_patience_ms=1 << 50, waiting_max=100)
    world = World(messages, fast_store(tmp_path / "d.db"), random.Random(1), limits=limits)
    world.stubborn = {stored(1).position}
    for _ in range(2_000):
        world.turn()
        world.commit()
    assert len(set(world.arrived)) == 239
    world.store.close()


@dataclass
class Refusing(World):
    """A world in which some messages always end alike; with `everything`, all do."""

    bad: dict[int, Outcome] = field(default_factory=dict)
    everything: Outcome | None = None

    def outcome(self, position: int) -> Outcome:
        return self.everything or self.bad.get(position) or super().outcome(position)

    def pass_s(self, seconds: float) -> None:
        """So much time passes."""
        until_ms = self.now_ms + seconds * 1000
        while self.now_ms < until_ms:
            self.turn()
            self.commit()

    def dead(self) -> int:
        """How many dead letters there are."""
        return len(self.store.dead_letters(Letters(consumer="d1"), 2_000))


def bad_then_good(folder: Path, bad: Outcome, *, test_passes: bool | None = None) -> Refusing:
    """A world of forty bad messages of as many people, sent until it rests, and a thousand good ones after them."""
    messages = MemoryMessages().add(stored(offset, received_at=1_000) for offset in range(40))
    world = Refusing(
        messages, fast_store(folder / "d.db"), random.Random(1), test_passes=test_passes, tick_ms=10_000,
        limits=Limits(in_flight_max=100), bad=dict.fromkeys((each.position for each in messages.messages[1]), bad),
    )  # fmt: skip
    while not world.consumer.shared.breaker.is_open:
        world.turn()
    messages.add(stored(offset, received_at=1_000) for offset in range(40, 1_040))
    return world


@pytest.mark.parametrize(("test_passes", "seconds"), [(True, 30), (None, 60)])
def test_a_run_of_messages_that_a_healthy_destination_refuses_does_not_stop_it(
    tmp_path: Path, test_passes: bool | None, seconds: int
) -> None:
    world = bad_then_good(tmp_path, REFUSED, test_passes=test_passes)
    world.pass_s(seconds)
    assert world.is_over()
    assert (len(world.arrived), world.dead()) == (1_000, 40)
    assert check_books("d1", world.store.balance("d1")) is None
    world.store.close()


def test_a_run_of_messages_at_which_a_destination_breaks_does_not_stop_it_for_ever(tmp_path: Path) -> None:
    world = bad_then_good(tmp_path, RETRY)
    world.pass_s(3 * 3_600)
    assert sorted(world.arrived) == [stored(offset).position for offset in range(40, 1_040)]
    assert not world.consumer.shared.breaker.is_open
    assert world.dead() == 0
    world.pass_s(5 * 86_400)
    assert world.dead() == 40
    world.store.close()


@pytest.mark.parametrize(("test_passes", "a_probe"), [(None, 20), (False, 1)])
def test_a_destination_that_refuses_everything_rests_and_keeps_its_messages(
    tmp_path: Path, test_passes: bool | None, a_probe: int
) -> None:
    world = bad_then_good(tmp_path, REFUSED, test_passes=test_passes)
    world.everything = REFUSED
    world.pass_s(3_600)
    sent = world.sent
    world.pass_s(3_600)
    assert world.sent - sent <= 13 * a_probe
    world.pass_s(86_400)
    held = world.consumer.holds()
    assert held[0] <= 2 * world.limits.in_flight_max
    assert held[1] == 0
    world.everything, world.bad = None, {}
    world.pass_s(600)
    assert world.is_over()
    assert world.dead() < 20
    assert len(world.arrived) == 1_040 - world.dead()
    world.store.close()


def test_a_destination_that_refuses_everything_but_its_test_gives_up_twenty_messages_a_probe(tmp_path: Path) -> None:
    world = bad_then_good(tmp_path, REFUSED, test_passes=True)
    world.everything = REFUSED
    world.pass_s(3_600)
    before = world.dead()
    assert before < 20 * (1 + 7 + 12)
    world.pass_s(3_600)
    assert 11 * 20 <= world.dead() - before <= 13 * 20
    world.store.close()


@pytest.mark.parametrize("test_passes", [True, None])
@pytest.mark.parametrize("every_s", [3, 40])
def test_restarts_do_not_let_a_run_of_bad_messages_stop_a_healthy_destination(
    tmp_path: Path, test_passes: bool | None, every_s: int
) -> None:
    world = bad_then_good(tmp_path, REFUSED, test_passes=test_passes)
    for _ in range(600 // every_s):
        world.pass_s(every_s)
        world.crash()
    world.pass_s(600)
    assert world.is_over()
    assert sorted(set(world.arrived)) == [stored(offset).position for offset in range(40, 1_040)]
    assert check_books("d1", world.store.balance("d1")) is None
    world.store.close()


@pytest.mark.parametrize(
    ("bad", "test_passes", "a_probe"), [(RETRY, None, 1), (REFUSED, None, 20), (REFUSED, False, 1)]
)
def test_a_destination_that_rests_is_probed_after_a_restart_and_not_flooded(
    tmp_path: Path, bad: Outcome, test_passes: bool | None, a_probe: int
) -> None:
    world = bad_then_good(tmp_path, bad, test_passes=test_passes)
    world.everything = bad
    world.pass_s(3_600)
    sent = world.sent
    for _ in range(360):
        world.crash()
        world.pass_s(10)
    assert world.consumer.shared.breaker.is_open
    assert world.sent - sent <= 13 * a_probe
    world.everything, world.bad = None, {}
    world.pass_s(3_600)
    assert len(set(world.arrived)) == 1_040 - world.dead()
    assert world.dead() < 20
    world.store.close()


def test_a_run_of_bad_messages_longer_than_what_is_read_ahead_makes_way_when_patience_is_over(tmp_path: Path) -> None:
    messages = MemoryMessages().add(stored(offset, received_at=1_000) for offset in range(300))
    limits = Limits(in_flight_max=100, patience_ms=86_400_000)
    bad = dict.fromkeys((each.position for each in messages.messages[1][:250]), REFUSED)
    world = Refusing(
        messages, fast_store(tmp_path / "d.db"), random.Random(1), tick_ms=10_000, limits=limits, bad=bad
    )  # fmt: skip
    world.pass_s(80_000)
    assert (len(world.arrived), world.dead() < 20) == (0, True)
    world.pass_s(20_000)
    assert len(world.arrived) == 50
    world.store.close()


@settings(max_examples=200, deadline=None)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["refused", "failed", "busy", "passes", "fails"]), st.integers(0, 400_000)),
        min_size=1, max_size=60,
    ),
    restarts=st.sets(st.integers(0, 59)),
    why=st.sampled_from(list(Why)),
)  # fmt: skip
def test_a_breaker_that_is_kept_goes_on_as_one_that_is_not_stopped(  # type: ignore[no-untyped-def]
    acts, restarts, why
) -> None:
    whole, stopped, now = Breaker(), Breaker(), 1_000
    for each in (whole, stopped):
        each.open(why, "first", now)
    for number, (act, later_ms) in enumerate(acts):
        now += later_ms
        if number in restarts:
            stopped = Breaker.as_kept(stopped.kept(), now)
        assert stopped.may_send(now) == whole.may_send(now)
        for each in (whole, stopped):
            if act in ("passes", "fails"):
                if each.suspects(now):
                    each.tested(now, passed=act == "passes")
            elif each.may_send(now):
                each.sending()
                if act == "busy":
                    each.probing = False
                else:
                    each.failed(number, number, act, now, refused=act == "refused")
        assert stopped.kept() == whole.kept()
