"""What a destination would send for messages, without sending it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tabard.clock import Clock
from tabard.compose.destinations import DestinationDesk
from tabard.compose.running import running_settings
from tabard.compose.store import message_reader, profile_reader
from tabard.delivery.compiled import Compiled, InstanceUnusable, compile_instance, withheld
from tabard.delivery.record import secrets_of, shown_request
from tabard.delivery.route import refusal, untrusted
from tabard.destinations.preview import Preview, Refusal, Summary, preview, requests_as_json, summarize
from tabard.identity.identifiers import anonymous, named
from tabard.message.parse import judge
from tabard.message.types import SERVER_TRUST, StoredMessage
from tabard.storage.interface import MessageReader, ProfileReader
from tabard.storage.sqlite.installation import Installation
from tabard.workspace.declaration import DeclarationInvalid
from tabard.workspace.edit import (
    PreviewAsked,
    SubscriptionEdit,
    subscription_of,
    with_new_subscription,
    with_subscription,
)
from tabard.workspace.types import DestinationInstance

_ANY: Final = " or ".join(f'type = "{each}"' for each in ("identify", "track", "page", "screen", "group", "alias"))
_UNSAVED: Final = "preview"


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


def previewed(
    installation: Installation, desk: DestinationDesk, instance: DestinationInstance, asked: PreviewAsked, clock: Clock
) -> dict[str, Any]:
    """The answer as JSON data: `requests` and `refusals` of the call, or a sum (`summary_json`).

    Raises `DeclarationInvalid` for what cannot be used, `message.parse.Refused` for a call that the door refuses.
    """
    compiled = compiled_for_preview(desk, alone(desk, instance, asked.subscription, asked.change), None)
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    if asked.event is not None:
        judge(asked.event, None)
        return one_json(without_secrets(preview_one(compiled, Asked(asked.event), now), compiled))
    return summary_json(preview_last(installation, compiled, asked.last or 1, now))


def alone(
    desk: DestinationDesk, instance: DestinationInstance, subscription: str, change: SubscriptionEdit | None
) -> DestinationInstance:
    """The instance with one subscription only, as the change makes it; as it is where none is asked for."""
    if not subscription and change is None:
        return instance
    if subscription:
        changed = with_subscription(instance, subscription, change or SubscriptionEdit())
        only = subscription_of(changed, subscription_of(instance, subscription).id)
    else:
        edit = change or SubscriptionEdit()
        trigger = _ANY if edit.subscribe is msgspec.UNSET else edit.subscribe
        edit = msgspec.structs.replace(edit, subscribe=trigger)
        added = with_new_subscription(
            instance, edit, _UNSAVED, lambda action: desk.default_mapping(instance.slug, action)
        )
        only = added.subscriptions[-1]
    return msgspec.structs.replace(instance, subscriptions=(msgspec.structs.replace(only, enabled=True),))


def compiled_for_preview(
    desk: DestinationDesk, instance: DestinationInstance, settings: Mapping[str, Any] | None
) -> Compiled:
    """The instance ready for a preview as if it were enabled, with these settings (in plain), None for its own.

    Raises `DeclarationInvalid` with every fault.
    """
    plain = desk.opened(instance).settings if settings is None else settings
    try:
        return compile_instance(msgspec.structs.replace(instance, enabled=True), desk.kind(instance.slug), plain)
    except InstanceUnusable as problem:
        raise DeclarationInvalid(str(problem), problem.faults) from problem


def preview_last(installation: Installation, compiled: Compiled, last: int, now: datetime) -> Summary:
    """The sum over the last stored messages."""
    with (
        contextlib.closing(message_reader(installation)) as reader,
        contextlib.closing(profile_reader(installation, running_settings(installation))) as profiles,
    ):
        asked = [asked_of(each, reader, profiles) for each in reader.newest(last) if each.body]
    return preview_many(compiled, asked, now)


def one_json(previews: Sequence[Preview]) -> dict[str, Any]:
    """The requests of one call, and why there are no (more) of them."""
    refusals = [
        {"subscription": each.subscription, "action": each.action, **refusal.as_json()}
        for each in previews
        for refusal in each.refusals
    ]
    return {"requests": requests_as_json(previews), "refusals": refusals}


def summary_json(summary: Summary) -> dict[str, Any]:
    """A sum over messages as JSON data."""
    return {
        "messages": summary.messages,
        "requests": summary.requests,
        "people": summary.people,
        "profiles": summary.profiles,
        "refusals": dict(summary.refusals),
    }


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
