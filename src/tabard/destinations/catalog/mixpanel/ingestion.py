"""Requests to Mixpanel's Ingestion API, and what its answers mean for each message.

Sources: docs.mixpanel.com, Ingestion API: "Import Events", "Track Events", "Set Property", "Group: Set Property",
"400 Bad Request" and "413 Payload Too Large".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.batch import Outcomes, RefusedTogether, by_halves
from tabard.destinations.kit.errors import (
    AuthenticationFailed,
    DestinationError,
    Filtered,
    Rejected,
    raise_for_status,
)
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send, basic_auth, json_request

HOSTS = {"us": "https://api.mixpanel.com", "eu": "https://api-eu.mixpanel.com", "in": "https://api-in.mixpanel.com"}

RECORDS_MAX = 2_000
"""In one request."""

# A request takes 10 MB; what is sent of a message is its payload and little more, but for orders of many products.
BATCH_ITEMS = 1_000
BATCH_PAYLOAD_BYTES = 4_000_000

_BAD_REQUEST, _TOO_LARGE = 400, 413

Record = dict[str, Any]
"""An event, or an update of a profile."""

RequestFor = Callable[[Mapping[str, Any], Sequence[Record]], HttpRequest]
"""From settings and records to the request that carries them."""


def import_request(settings: Mapping[str, Any], events: Sequence[Record]) -> HttpRequest:
    """Events of any age, each validated; signed with the API secret, or the project token where there is none."""
    auth = basic_auth(settings.get("apiSecret") or settings["projectToken"], "")
    return json_request("POST", _host(settings) + "/import?strict=1", events, auth)


def track_request(settings: Mapping[str, Any], events: Sequence[Record]) -> HttpRequest:
    """Events that link identifiers; they carry the project token themselves."""
    return json_request("POST", _host(settings) + "/track?verbose=1", events)


def engage_request(settings: Mapping[str, Any], updates: Sequence[Record]) -> HttpRequest:
    """Updates of people's profiles. `ip=0`: our own address says nothing about where they are."""
    return json_request("POST", _host(settings) + "/engage?ip=0&strict=1", updates)


def groups_request(settings: Mapping[str, Any], updates: Sequence[Record]) -> HttpRequest:
    """Updates of groups' profiles."""
    return json_request("POST", _host(settings) + "/groups?ip=0&strict=1", updates)


@dataclass(frozen=True, slots=True)
class Part:
    """One request that an action makes: what of a call goes into it, possibly nothing, and how it is sent.

    `build` raises Filtered or PayloadInvalid.
    """

    request_for: RequestFor
    build: Callable[[Call], list[Record]]


def ingestion_action(
    *parts: Part, slug: str, title: str, description: str, fields: Mapping[str, Field], default_subscription: str = ""
) -> Action:
    """An action that sends its parts in their order, for one message or for many at once."""

    async def perform(send: Send, call: Call) -> None:
        outcomes = await _deliver(send, [call], parts)
        if outcomes[0] is not None:
            raise outcomes[0]

    async def together(send: Send, calls: Sequence[Call]) -> Outcomes:
        return await _deliver(send, calls, parts)

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
    )


async def check_credentials(send: Send, settings: Mapping[str, Any]) -> None:
    """Imports nothing, which Mixpanel answers only after a look at the credentials. AuthenticationFailed if bad."""
    answer = await send(import_request(settings, []))
    if answer.status in (401, 403):
        raise AuthenticationFailed("Mixpanel does not accept this API secret or project token in this region")
    if answer.status != _BAD_REQUEST:
        raise_for_status(answer)


async def _deliver(send: Send, calls: Sequence[Call], parts: Sequence[Part]) -> Outcomes:
    outcomes: Outcomes = [None] * len(calls)
    said_something: set[int] = set()
    for part in parts:
        records: list[Record] = []
        owners: list[int] = []
        for index, call in enumerate(calls):
            if outcomes[index] is None:
                built = _built(part, call)
                if isinstance(built, DestinationError):
                    outcomes[index] = built
                    continue
                records += built
                owners += [index] * len(built)
        said_something.update(owners)
        for start in range(0, len(records), RECORDS_MAX):
            sent, whose = records[start : start + RECORDS_MAX], owners[start : start + RECORDS_MAX]
            answer = await send(part.request_for(calls[0].settings, sent))
            for place, error in _refused(answer, len(sent), is_shared=len(set(whose)) > 1).items():
                outcomes[whose[place]] = error
    return [
        Filtered("the call says nothing that Mixpanel could keep")
        if outcome is None and index not in said_something
        else outcome
        for index, outcome in enumerate(outcomes)
    ]


def _built(part: Part, call: Call) -> list[Record] | DestinationError:
    try:
        return part.build(call)
    except DestinationError as error:
        return error


def _refused(answer: HttpResponse, records: int, *, is_shared: bool) -> dict[int, DestinationError]:
    """What was refused, by index; the records that an answer with `failed_records` does not name were taken.

    Raises RefusedTogether for records of several messages (`is_shared`), HttpError for the rest outside 2xx.
    """
    body = answer.json()
    failed = body.get("failed_records") if isinstance(body, dict) else None
    if isinstance(failed, list) and failed and all(_names_a_record(each, records) for each in failed):
        return {each["index"]: Rejected(f"{each.get('field', '')}: {each.get('message', '')}") for each in failed}
    if is_shared and answer.status in (_BAD_REQUEST, _TOO_LARGE):
        raise RefusedTogether("refused as a whole", answer.status)
    raise_for_status(answer)
    # Outside strict validation a refusal is a 200 with the body 0, or with the status 0.
    if body == 0 or (isinstance(body, dict) and body.get("status") == 0):
        reason = str(body.get("error") or "") if isinstance(body, dict) else ""
        if is_shared:
            raise RefusedTogether(reason or "refused as a whole")
        return dict.fromkeys(range(records), Rejected(reason or "Mixpanel found no valid record in the request"))
    return {}


def _names_a_record(failed: Any, records: int) -> bool:
    index = failed.get("index") if isinstance(failed, dict) else None
    return isinstance(index, int) and 0 <= index < records


def _host(settings: Mapping[str, Any]) -> str:
    return HOSTS[settings["apiRegion"]]
