"""What a destination would send for messages, without sending it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from tabard.delivery.compiled import Compiled, withheld
from tabard.delivery.record import secrets_of, shown_request
from tabard.delivery.route import refusal, untrusted
from tabard.destinations.preview import Preview, Refusal, Summary, preview, summarize
from tabard.identity.identifiers import anonymous, named
from tabard.message.types import SERVER_TRUST, StoredMessage
from tabard.storage.interface import MessageReader, ProfileReader


@dataclass(frozen=True, slots=True)
class Asked:
    """A message to preview, and the source it is from ('' for none in particular).

    trust: what the source may ask for (`message.types.Trust`); by default all that a server may.
    person: whom it is about, by profile id; '' for nobody. dead: they were deleted or suppressed.
    """

    body: Mapping[str, Any]
    source: str = ""
    trust: int = int(SERVER_TRUST)
    person: str = ""
    dead: bool = False


def asked_of(stored: StoredMessage, messages: MessageReader, profiles: ProfileReader) -> Asked:
    """A stored message to preview, with what the store knows of its person."""
    body = msgspec.json.decode(stored.body)
    traits = body.get("traits")
    email = traits.get("email") if isinstance(traits, dict) else None
    identifier = named(body.get("userId")) or anonymous(body.get("anonymousId")) or named(email) or ""
    profile = profiles.profile(identifier) if identifier else None
    person = profile.profile_id if profile else identifier
    return Asked(body, stored.source, stored.trust, person, messages.is_dead(stored))


def preview_one(compiled: Compiled, asked: Asked, now: datetime) -> list[Preview]:
    """What the instance would do with one message, or the rule that keeps the message from it."""
    return asyncio.run(_preview(compiled, asked, now))


def preview_many(compiled: Compiled, asked: Sequence[Asked], now: datetime) -> Summary:
    """The sum over many messages."""

    async def each() -> list[tuple[str, list[Preview]]]:
        return [(one.person, await _preview(compiled, one, now)) for one in asked]

    return summarize(compiled.destination, asyncio.run(each()))


def without_secrets(previews: Sequence[Preview], compiled: Compiled) -> list[Preview]:
    """The previews as an instance's are shown: sealed settings and headers that hold credentials cut out."""
    secrets = secrets_of(compiled.destination.settings, compiled.settings)
    return [
        replace(each, requests=tuple(shown_request(request, secrets) for request in each.requests)) for each in previews
    ]


async def _preview(compiled: Compiled, asked: Asked, now: datetime) -> list[Preview]:
    reason = "erased" if asked.dead else refusal(compiled.route, asked.source, asked.body)
    if reason is not None:
        return [Preview("", "", refusals=(Refusal("filtered", str(reason)),))]
    every = [subscription for _, subscription in compiled.subscriptions]
    refusals = [
        Preview("", "", refusals=(Refusal("filtered", each),)) for each in withheld(every, asked.body, asked.trust)
    ]
    allowed = [each for each in every if untrusted(each.action, asked.trust) is None]
    shown = await preview(compiled.destination, compiled.settings, allowed, asked.body, now)
    return refusals if refusals and not any(each.subscription for each in shown) else shown + refusals
