"""What an attempt came to: one small value that the rest of delivery decides by."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The five ends of one attempt of one item."""

    DELIVERED = "delivered"
    FILTERED = "filtered"
    RETRY = "retry"
    DEAD = "dead"
    CREDENTIALS = "credentials"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt of one item.

    code: a short name for counting (`http_503`, `timeout`, `payload_invalid`). reason: a sentence, no secret in it.
    retry_after_s: what the destination asked for, capped; None where it asked for nothing.
    overloaded: the destination said (429, Retry-After) or showed (timeout) that it is too busy.
    blames_item: this item alone is at fault, found before the destination was asked.
    """

    verdict: Verdict
    code: str = ""
    reason: str = ""
    retry_after_s: float | None = None
    overloaded: bool = False
    blames_item: bool = False


DELIVERED = Outcome(Verdict.DELIVERED)
