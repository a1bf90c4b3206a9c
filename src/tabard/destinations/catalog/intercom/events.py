"""Events at Intercom. Sources: wire.md §5.6; developers.intercom.com, "Submit a data event"."""

from collections.abc import Mapping
from typing import Any

from tabard.destinations.catalog.intercom.contacts import find_contact, identity
from tabard.destinations.catalog.intercom.rest_api import api_of
from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import Filtered, raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import Send
from tabard.destinations.kit.text import json_text

DEFAULT_CURRENCY = "USD"

_NOT_FOUND = 404
_SAID_ELSEWHERE = {"email", "revenue", "currency"}


async def _track(send: Send, call: Call) -> None:
    api, payload = api_of(send, call), call.payload
    event = {
        "event_name": payload["event_name"],
        "created_at": payload.get("created_at", int(call.now.timestamp())),
    }
    metadata = _metadata(payload)
    rest = {"metadata": metadata} if metadata else {}
    who = _who(payload)
    answer = await api.ask("POST", "/events", {**event, **who, **rest})
    if answer.status == _NOT_FOUND and "email" in who:
        # By e-mail address Intercom takes events of users only; a lead has to be named by the contact's id.
        lead = await find_contact(api, who)
        if lead is not None:
            answer = await api.ask("POST", "/events", {**event, "id": lead["id"], **rest})
    raise_for_status(answer)


def _who(payload: Mapping[str, Any]) -> dict[str, str]:
    """One of Intercom's contact id, the user id, and the e-mail address of somebody who has no other."""
    if "id" in payload:
        return {"id": payload["id"]}
    ids = identity(payload.get("user_id"), payload.get("email"))
    if "external_id" in ids:
        return {"user_id": ids["external_id"]}
    if not ids:
        raise Filtered("Intercom takes events of known people only: there is neither a userId nor an e-mail address")
    return ids


def _metadata(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The price first: Intercom reads ten keys and ignores the rest."""
    metadata = {}
    if "revenue" in payload:
        currency = payload.get("currency", DEFAULT_CURRENCY)
        metadata["price"] = {"amount": round(payload["revenue"] * 100), "currency": currency}
    given = payload.get("metadata", {})
    return metadata | {key: _value(key, value) for key, value in given.items() if key not in _SAID_ELSEWHERE}


def _value(key: str, value: Any) -> Any:
    """Simple values, links and amounts of money as they are; other objects and lists, which it cannot hold, as JSON."""
    if isinstance(value, dict) and set(value) in ({"url", "value"}, {"amount", "currency"}):
        return value
    if isinstance(value, dict | list):
        return json_text(value)
    if key.endswith("_date"):
        seconds = date_in_form(value, "unix_s")
        return value if seconds is None else seconds
    return value


TRACK_EVENT = Action(
    slug="trackEvent",
    title="Track Event",
    description="An event of a known person. An anonymous one is left out: Intercom has nobody to put it to.",
    default_subscription='type = "track"',
    perform=_track,
    fields={
        "event_name": Field(
            label="Event name",
            type="string",
            description="What happened.",
            required=True,
            default={"@path": "$.event"},
        ),
        "created_at": Field(
            label="Timestamp",
            type="datetime",
            date_form="unix_s",
            description="When it happened; now where the message does not say.",
            default={"@path": "$.timestamp"},
        ),
        "user_id": Field(
            label="User id",
            type="string",
            description="Whose event it is. An e-mail address is taken for that.",
            default={"@path": "$.userId"},
        ),
        "email": Field(
            label="E-mail address",
            type="string",
            description="Whose event it is, where there is no user id.",
            default=first_of("$.properties.email", "$.context.traits.email"),
        ),
        "id": Field(label="Contact id", type="string", description="Intercom's id of the person, if known."),
        "revenue": Field(
            label="Revenue",
            type="number",
            description="What it brought in, in whole units; sent in hundredths as `price`.",
            default={"@path": "$.properties.revenue"},
        ),
        "currency": Field(
            label="Currency",
            type="string",
            description=f"Of the revenue, as ISO 4217 has it; {DEFAULT_CURRENCY} unless said.",
            default={"@path": "$.properties.currency"},
        ),
        "metadata": Field(
            label="Metadata",
            type="object",
            description="What else to know. Intercom reads ten keys. A date under a name that ends in _date is one.",
            default={"@path": "$.properties"},
        ),
    },
)
