"""Requests to the Track API of Customer.io, and what its answers mean for each item.

Sources: docs.customer.io, Track API ("Make a single request", "Send multiple requests", "Report metrics").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.batch import ITEM_STATUSES, Outcomes, RefusedTogether, by_halves
from tabard.destinations.kit.errors import (
    EXCERPT_BYTES,
    AuthenticationFailed,
    DestinationError,
    PayloadInvalid,
    Rejected,
    raise_for_status,
)
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send, basic_auth, json_request

HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}

ITEM_BYTES_MAX = 32 * 1024
"""Of one entity, also inside a batch ("must be smaller than 32kb")."""

# A batch must stay below 500 kB; an entity is its payload and at most some 300 bytes around it.
BATCH_ITEMS = 100
BATCH_PAYLOAD_BYTES = 400_000

BuildEntity = Callable[[Call], dict[str, Any]]
"""From a call to the entity to send; raises Filtered or PayloadInvalid."""


def track_request(settings: Mapping[str, Any], path: str, body: Any) -> HttpRequest:
    """A POST to the account's region, signed with site id and API key."""
    return json_request("POST", HOSTS[settings["accountRegion"]] + path, body, _auth(settings))


def entity_action(
    *,
    slug: str,
    title: str,
    description: str,
    fields: Mapping[str, Field],
    build: BuildEntity,
    default_subscription: str,
    erases: bool = False,
) -> Action:
    """An action that sends one entity for each message, alone or in batches."""

    async def perform(send: Send, call: Call) -> None:
        request = track_request(call.settings, "/api/v2/entity", _encoded(build, call))
        raise_for_status(await send(request))

    async def together(send: Send, calls: Sequence[Call]) -> Outcomes:
        built = [_built(build, call) for call in calls]
        entities = [each for each in built if isinstance(each, msgspec.Raw)]
        if not entities:
            return _refusals(built)
        answer = await send(track_request(calls[0].settings, "/api/v2/batch", {"batch": entities}))
        return _merged(built, _refused_items(answer, len(entities)))

    async def perform_batch(send: Send, calls: Sequence[Call]) -> Outcomes:
        return await by_halves(together, send, calls)

    return Action(
        slug=slug,
        title=title,
        description=description,
        fields=fields,
        perform=perform,
        perform_batch=perform_batch,
        batch_size=BATCH_ITEMS,
        batch_bytes=BATCH_PAYLOAD_BYTES,
        default_subscription=default_subscription,
        erases=erases,
    )


async def check_credentials(send: Send, settings: Mapping[str, Any]) -> None:
    """Asks the Track API whether it knows the site id and API key. Raises AuthenticationFailed if not."""
    answer = await send(HttpRequest("GET", HOSTS[settings["accountRegion"]] + "/auth", _auth(settings)))
    if answer.status in (401, 403):
        raise AuthenticationFailed("Customer.io does not accept this site id and API key in this account region")
    raise_for_status(answer)


def _auth(settings: Mapping[str, Any]) -> dict[str, str]:
    return basic_auth(settings["siteId"], settings["apiKey"])


def _encoded(build: BuildEntity, call: Call) -> msgspec.Raw:
    encoded = msgspec.json.encode(build(call))
    if len(encoded) > ITEM_BYTES_MAX:
        raise PayloadInvalid("", f"is {len(encoded)} bytes for Customer.io, which takes at most {ITEM_BYTES_MAX}")
    return msgspec.Raw(encoded)


def _built(build: BuildEntity, call: Call) -> msgspec.Raw | DestinationError:
    try:
        return _encoded(build, call)
    except DestinationError as error:
        return error


def _refused_items(answer: HttpResponse, items: int) -> dict[int, Rejected]:
    """What was refused, by index in the batch: 207 lists the refused items and has taken all others.

    Raises RefusedTogether where the answer is no for several items without naming them.
    """
    if answer.status not in ITEM_STATUSES:
        raise_for_status(answer)
        body = answer.json()
        errors = body.get("errors", []) if isinstance(body, dict) else []
        if isinstance(errors, list) and all(_names_an_item(error, items) for error in errors):
            return {error["batch_index"]: _rejected(error) for error in errors}
    if items > 1:
        raise RefusedTogether("refused together", answer.status)
    said = answer.body[:EXCERPT_BYTES].decode("utf-8", errors="replace")
    return {0: Rejected(f"answered {answer.status}: {said}", answer.status)}


def _names_an_item(error: Any, items: int) -> bool:
    index = error.get("batch_index") if isinstance(error, dict) else None
    return isinstance(index, int) and 0 <= index < items


def _rejected(error: Mapping[str, Any]) -> Rejected:
    parts = [str(error[key]) for key in ("field", "reason", "message") if error.get(key)]
    return Rejected(": ".join(parts) or "refused without a reason")


def _refusals(built: Sequence[msgspec.Raw | DestinationError]) -> Outcomes:
    return [None if isinstance(each, msgspec.Raw) else each for each in built]


def _merged(built: Sequence[msgspec.Raw | DestinationError], refused: Mapping[int, Rejected]) -> Outcomes:
    """Our refusals where nothing was sent, the vendor's by the index among what was sent."""
    outcomes = _refusals(built)
    sent_at = [index for index, each in enumerate(built) if isinstance(each, msgspec.Raw)]
    for index, error in refused.items():
        outcomes[sent_at[index]] = error
    return outcomes
