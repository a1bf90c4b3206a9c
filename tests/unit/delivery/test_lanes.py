"""Order among messages that share an identifier, and nobody waits who need not."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tabard.delivery.lanes import Lanes, lane_key, lane_keys


@dataclass
class One:
    name: str
    keys: tuple[int, ...]
    ahead: int = 0
    followers: list[tuple[int, Any]] = field(default_factory=list)


@pytest.mark.parametrize(
    ("message", "identifiers"),
    [
        ({"userId": "u", "anonymousId": "a"}, {"u", "a"}),
        ({"type": "alias", "userId": "new", "previousId": "old"}, {"new", "old"}),
        ({"userId": "u", "traits": {"email": "e@x.y"}}, {"u"}),
        ({"traits": {"email": "e@x.y"}}, {"e@x.y"}),
        ({"context": {"traits": {"email": "e@x.y"}}}, {"e@x.y"}),
        ({"userId": "e@x.y"}, {"e@x.y"}),
        ({"userId": "u", "groupId": "g"}, {"u"}),
        ({"userId": "same", "anonymousId": "same"}, {"same"}),
        ({"context": None}, set()),
    ],
)
def test_lanes_are_the_identifiers_as_sent_without_the_group(message: Any, identifiers: set[str]) -> None:
    assert set(lane_keys(message)) == {lane_key(each) for each in identifiers}


def test_a_message_waits_for_everyone_before_it_in_any_of_its_lanes() -> None:
    lanes: Lanes[One] = Lanes()
    first, second, both, after = One("1", (1,)), One("2", (2,)), One("both", (1, 2)), One("after", (2,))
    assert lanes.join(first)
    assert lanes.join(second)
    assert not lanes.join(both)
    assert not lanes.join(after)
    assert lanes.leave(first) == []
    assert lanes.leave(second) == [both]
    assert lanes.leave(both) == [after]
    assert lanes.leave(after) == []
    assert len(lanes) == 0


def test_a_crowd_is_counted_behind_whoever_is_first_now() -> None:
    lanes: Lanes[One] = Lanes()
    queue = [One(str(number), (7,)) for number in range(5)]
    for one in queue:
        lanes.join(one)
    assert lanes.waiting_behind(queue[0]) == 4
    assert lanes.first_before(queue[4]) == [queue[0]]
    lanes.leave(queue[0])
    assert lanes.waiting_behind(queue[1]) == 3
    assert lanes.first_before(queue[4]) == [queue[1]]
