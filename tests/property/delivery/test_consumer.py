"""Whatever fails and whenever the process dies: no message is skipped, order per identifier holds, books balance."""

import random
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.delivery.books import check_books, check_range
from tabard.delivery.consumer import Limits
from tabard.delivery.lanes import lane_key
from tabard.message.types import StoredMessage
from tabard.storage.deliveries import RowState
from tests.integration.delivery.stored import MemoryMessages, stored
from tests.property.delivery.simulated import BUSY, REFUSED, RETRY, TIMEOUT, World, fast_store

ODDS = st.fixed_dictionaries(
    {RETRY: st.sampled_from([0.0, 0.1, 0.4]), TIMEOUT: st.sampled_from([0.0, 0.1]), BUSY: st.sampled_from([0.0, 0.05]),
     REFUSED: st.sampled_from([0.0, 0.1])}
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
)  # fmt: skip
def test_nothing_is_skipped_order_holds_and_books_balance(seed, odds, people, crash_odds, outage, batch_size) -> None:  # type: ignore[no-untyped-def]
    die = random.Random(seed)
    made = crowd(die, die.randint(1, 120), people, die.randint(1, 3))
    dead = {each.position for each in made if die.random() < 0.03}
    messages = MemoryMessages(dead=dead).add(made)
    with tempfile.TemporaryDirectory() as folder:
        world = World(
            messages, fast_store(Path(folder) / "d.db"), die, odds=odds, down=outage,
            options={"batch_size": batch_size}, tick_ms=1_000 if outage[1] else 50,
        )  # fmt: skip
        world.run(crash_odds=crash_odds)
        dead_letters = {row.position for row in world.store.dead_letters("d1", 1_000)}
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
        assert twice <= world.unsure + world.crashes * (world.limits.in_flight_max + world.rows_max)
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
