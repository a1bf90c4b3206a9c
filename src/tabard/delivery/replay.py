"""Replays: a range of the past sent again to one destination, beside live traffic and behind it."""

from collections.abc import Callable

from tabard.delivery.cursor import Vector, vector_at
from tabard.delivery.entry import Item
from tabard.destinations.kit.subscription import compile_trigger
from tabard.storage.deliveries import ConsumerKind, ConsumerState, DeliveryReader, Replay, RowState
from tabard.storage.interface import MessageReader

NOT_CHOSEN = "not_in_replay"
ONLY = ("all", "failed", "undelivered")
_PAGE = 10_000


class ReplayRefused(ValueError):
    """A replay that cannot be; the text says what to change."""


def checked(replay: Replay) -> Replay:
    """The replay itself. Raises `ReplayRefused` (or `TriggerInvalid`, which is a ValueError too)."""
    if replay.only not in ONLY:
        raise ReplayRefused(f"only is {replay.only!r}; use one of {', '.join(ONLY)}")
    if replay.rate_per_s < 0:
        raise ReplayRefused("the rate is below 0; use 0 for no limit of its own")
    if replay.until and replay.until <= replay.since:
        raise ReplayRefused("the range is empty: it ends before it begins")
    if replay.trigger:
        compile_trigger(replay.trigger)
    return replay


def replay_state(order_id: str, destination: str, replay: Replay, reader: MessageReader, now_ms: int) -> ConsumerState:
    """The consumer a replay begins as: a cursor at the first message received in its range, an end at the last."""
    start: Vector = vector_at(reader, replay.since)
    end: Vector = vector_at(reader, replay.until) if replay.until else reader.resolved()
    return ConsumerState(
        id=order_id,
        destination=destination,
        kind=ConsumerKind.REPLAY,
        log_id=reader.log_id() or "",
        offsets=start,
        start=start,
        end=end,
        replay=replay,
        created_at=now_ms,
        updated_at=now_ms,
    )


def selection(replay: Replay, live: str, deliveries: DeliveryReader) -> Callable[[Item], str]:
    """The test of a message's place in a replay: '' where it belongs, a reason where it does not."""
    trigger = compile_trigger(replay.trigger) if replay.trigger else None
    chosen = _chosen(replay.only, live, deliveries)

    def accepts(item: Item) -> str:
        if not chosen(item) or (trigger is not None and not trigger.matches(item.body)):
            return NOT_CHOSEN
        return ""

    return accepts


def _chosen(only: str, live: str, deliveries: DeliveryReader) -> Callable[[Item], bool]:
    if only == "all":
        return lambda _item: True
    states = (RowState.DEAD,) if only == "failed" else (RowState.DEAD, RowState.PARKED, RowState.WAITING)
    positions: set[int] = set()
    after = 0
    while page := deliveries.rows(live, states, _PAGE, after):
        positions |= {row.position for _, row in page}
        after = page[-1][0]
    state = deliveries.consumer(live)
    begun = state.start if state and only == "undelivered" else {}

    def chosen(item: Item) -> bool:
        return item.stored.position in positions or item.offset < begun.get(item.partition, 0)

    return chosen


def progress(state: ConsumerState) -> float:
    """How much of a replay's offsets its cursor has passed, from 0 to 1."""
    total = sum(end - state.start.get(partition, 0) for partition, end in state.end.items())
    passed = sum(
        min(state.offsets.get(partition, 0), end) - state.start.get(partition, 0)
        for partition, end in state.end.items()
    )
    return 1.0 if state.state == "done" or total <= 0 else passed / total
