"""What batching destinations share: reading a batch as its items where the vendor can only be asked one by one."""

from collections.abc import Sequence

from tabard.destinations.kit.action import Call, Perform
from tabard.destinations.kit.errors import DestinationError
from tabard.destinations.kit.request import Send

Outcomes = list[DestinationError | None]
"""One outcome for each call of a batch, in order: None for delivered, or the error of that item alone."""


async def one_by_one(perform: Perform, send: Send, calls: Sequence[Call]) -> Outcomes:
    """The outcomes of the calls sent singly: finds the item for which a vendor refused a batch as a whole."""
    outcomes: Outcomes = []
    for call in calls:
        try:
            await perform(send, call)
        except DestinationError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes
