"""Orders to the deliverer, given by web and CLI, and their answers."""

import contextlib
import time
from typing import Any, Final

from tabard.clock import Clock
from tabard.compose.running import running_role
from tabard.compose.workspace import named_destination, open_workspace
from tabard.delivery.dead_letter import LetterSearch
from tabard.delivery.orders import CancelReplay, Order, OrderRefused, Resend, StartReplay, place
from tabard.delivery.replay import ReplayUnknown, checked
from tabard.storage.deliveries import ConsumerKind, Replay
from tabard.storage.sqlite.database import DatabaseMissing, is_made
from tabard.storage.sqlite.delivery import SqliteDeliveryReader
from tabard.storage.sqlite.installation import Installation

WAIT_S: Final = 10.0
_PAUSE_S: Final = 0.1


def give(installation: Installation, order: Order, clock: Clock) -> dict[str, Any]:
    """Hands an order over and returns the deliverer's answer, `{"waiting": true}` while none runs or it is slow.

    Raises `OrderRefused`.
    """
    place(installation.orders, order, clock)
    if running_role(installation, "deliverer") is None:
        return {"waiting": True}
    deadline_s = clock.monotonic_s() + WAIT_S
    while clock.monotonic_s() < deadline_s:
        answer = _answer(installation, order.id)
        if answer is not None:
            if "error" in answer:
                raise OrderRefused(str(answer["error"]))
            return answer
        time.sleep(_PAUSE_S)
    return {"waiting": True}


def _answer(installation: Installation, order_id: str) -> dict[str, Any] | None:
    try:
        reader = SqliteDeliveryReader(installation.delivery_db)
    except DatabaseMissing:
        return None
    with contextlib.closing(reader):
        return reader.order_answer(order_id)


class DeliveryOrders:
    """Orders to the deliverer as people give them (`web.deps.Orders`).

    Each answers with the order's id and what the deliverer says, or `waiting` (see `give`), and raises `OrderRefused`.
    A consumer is named by a destination's name or id, or by a replay's id; `DestinationUnknown` for what is neither.
    """

    def __init__(self, installation: Installation, clock: Clock) -> None:
        self._installation = installation
        self._clock = clock

    def consumer(self, name: str) -> str:
        """The id of the consumer of that name."""
        return name if name in self._replays() else self._destination(name)

    def resend(self, consumer: str, search: LetterSearch, positions: tuple[int, ...] | None = None) -> dict[str, Any]:
        """Tries the dead letters of a consumer (by its id) again: those at the positions, else all looked for."""
        order = Resend(id=self._clock.new_id(), consumer=consumer, positions=positions, search=search)
        return self._give(order)

    def start_replay(self, destination: str, replay: Replay) -> dict[str, Any]:
        """Begins a replay. Raises `ReplayRefused` or `TriggerInvalid`."""
        order = StartReplay(
            id=self._clock.new_id(),
            destination=self._destination(destination),
            replay=checked(replay, self._clock.now_ms()),
        )
        return self._give(order)

    def cancel_replay(self, replay: str) -> dict[str, Any]:
        """Ends a replay where it is. Raises `ReplayUnknown`."""
        if replay not in self._replays():
            raise ReplayUnknown(f"there is no replay {replay!r}; `tabard replay list` shows them")
        return self._give(CancelReplay(id=self._clock.new_id(), consumer=replay))

    def _give(self, order: Order) -> dict[str, Any]:
        return {"order": order.id, **give(self._installation, order, self._clock)}

    def _destination(self, name: str) -> str:
        with open_workspace(self._installation.data) as workspace:
            return named_destination(workspace, name).id

    def _replays(self) -> set[str]:
        if not is_made(self._installation.delivery_db):
            return set()
        with contextlib.closing(SqliteDeliveryReader(self._installation.delivery_db)) as reader:
            return {each.id for each in reader.consumers() if each.kind is ConsumerKind.REPLAY}
