"""What a destination would send for messages, without sending it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tabard.delivery.compiled import Compiled
from tabard.delivery.route import refusal
from tabard.destinations.preview import Preview, Refusal, Summary, preview, summarize


@dataclass(frozen=True, slots=True)
class Asked:
    """A message to preview, and the source it is from ('' for none in particular)."""

    body: Mapping[str, Any]
    source: str = ""


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
    subscriptions = [subscription for _, subscription in compiled.subscriptions]
    return await preview(compiled.destination, compiled.settings, subscriptions, asked.body, now)
