"""Orders to the deliverer, given by web and CLI, and their answers."""

import contextlib
import time
from typing import Any, Final

from tabard.clock import Clock
from tabard.compose.running import running_role
from tabard.delivery.orders import Order, place
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.delivery import SqliteDeliveryReader
from tabard.storage.sqlite.installation import Installation

WAIT_S: Final = 10.0
_PAUSE_S: Final = 0.1


class OrderRefused(Exception):
    """The deliverer will not do it; the text is its reason."""


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
