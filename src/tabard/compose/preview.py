"""What a destination would send for messages, without sending it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tabard.delivery.compiled import Compiled, withheld
from tabard.delivery.route import refusal, untrusted
from tabard.destinations.preview import Preview, Refusal, Summary, preview, summarize
from tabard.message.types import SERVER_TRUST


@dataclass(frozen=True, slots=True)
class Asked:
    """A message to preview, and the source it is from ('' for none in particular).

    trust: what the source may ask for (`message.types.Trust`); by default all that a server may.
    """

    body: Mapping[str, Any]
    source: str = ""
    trust: int = int(SERVER_TRUST)


def preview_one(compiled: Compiled, asked: Asked, now: datetime) -> list[Preview]:
    """What the instance would do with one message, or the rule that keeps the message from it."""
    return asyncio.run(_preview(compiled, asked, now))


def preview_many(compiled: Compiled, asked: Sequence[Asked], now: datetime) -> Summary:
    """The sum over many messages."""

    async def each() -> list[tuple[Mapping[str, Any], list[Preview]]]:
        return [(one.body, await _preview(compiled, one, now)) for one in asked]

    return summarize(asyncio.run(each()))


async def _preview(compiled: Compiled, asked: Asked, now: datetime) -> list[Preview]:
    refused = refusal(compiled.route, asked.source, asked.body)
    if refused is not None:
        return [Preview("", "", refusals=(Refusal("filtered", refused.value),))]
    every = [subscription for _, subscription in compiled.subscriptions]
    refusals = [
        Preview("", "", refusals=(Refusal("filtered", each),)) for each in withheld(every, asked.body, asked.trust)
    ]
    allowed = [each for each in every if untrusted(each.action, asked.trust) is None]
    shown = await preview(compiled.destination, compiled.settings, allowed, asked.body, now)
    return refusals if refusals and not any(each.subscription for each in shown) else shown + refusals
