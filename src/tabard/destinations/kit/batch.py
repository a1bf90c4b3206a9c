"""What batching destinations share: finding the items for which a vendor refused a batch as a whole."""

from collections.abc import Sequence

from tabard.destinations.kit.action import Call, PerformBatch
from tabard.destinations.kit.errors import DestinationError, Filtered, HttpError, PayloadInvalid, Rejected
from tabard.destinations.kit.request import Send

Outcomes = list[DestinationError | None]
"""One outcome for each call of a batch, in order: None for delivered, or the error of that item alone."""

ITEM_STATUSES = frozenset({400, 413, 422})
"""The answers by which a vendor refuses what it was sent, rather than us, or just now."""


class RefusedTogether(Rejected):
    """Several calls were refused in one request, and the answer does not say which of them is at fault."""


async def by_halves(together: PerformBatch, send: Send, calls: Sequence[Call]) -> Outcomes:
    """The outcomes of calls sent `together`; what raises `RefusedTogether` is sent again in halves, at last singly.

    One bad call in a thousand costs some twenty requests. After an error that is no item's own (not now, no answer, bad
    credentials) nothing more is sent: it is that of all that is left, and raised where that is all.
    """
    outcomes: Outcomes = []
    parts = [calls]
    while parts:
        part = parts.pop()
        try:
            outcomes += await together(send, part)
        except RefusedTogether:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
        except DestinationError as error:
            if len(part) == 1 and _is_of_an_item(error):
                outcomes.append(error)
            elif outcomes:
                return outcomes + [error] * (len(calls) - len(outcomes))
            else:
                raise
    return outcomes


def _is_of_an_item(error: DestinationError) -> bool:
    if isinstance(error, HttpError):
        return error.status in ITEM_STATUSES
    return isinstance(error, (Rejected, PayloadInvalid, Filtered))
