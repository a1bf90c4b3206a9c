"""Events of known and anonymous people, and what is reported of messages. Sources: wire.md §4.1-4.3, §4.6."""

from typing import Any

from tabard.destinations.catalog.customerio.entity import in_seconds, known_or_anonymous
from tabard.destinations.catalog.customerio.fields import ANONYMOUS_ID, CONVERT_TIMESTAMP, PERSON_ID, TIMESTAMP
from tabard.destinations.catalog.customerio.track_api import BuildEntity, entity_action, track_request
from tabard.destinations.catalog.customerio.triggers import ORDINARY_EVENT, track_of
from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import Filtered, PayloadInvalid, raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import Send

_EVENT_ID = Field(
    label="Event id",
    type="string",
    description="Lets Customer.io notice an event that is sent twice.",
    default={"@path": "$.messageId"},
)
_DATA = Field(
    label="Event attributes",
    type="object",
    description="Data of the event, for conditions and messages.",
    default={"@path": "$.properties"},
)
_WHO = {"id": PERSON_ID, "anonymous_id": ANONYMOUS_ID}
_WHAT = {"event_id": _EVENT_ID, "timestamp": TIMESTAMP, "data": _DATA, "convert_timestamp": CONVERT_TIMESTAMP}


def _event(action: str, name_key: str) -> BuildEntity:
    def build(call: Call) -> dict[str, Any]:
        payload = call.payload
        identifiers = known_or_anonymous(payload, "id")
        if identifiers is None:
            raise Filtered("the event names no person: there is neither a userId nor an anonymousId")
        name = payload[name_key].strip()
        if not name:
            raise PayloadInvalid(name_key, "is blank")
        entity = {"type": "person", "action": action, "identifiers": identifiers, "name": name}
        if "event_id" in payload:
            entity["id"] = payload["event_id"]
        if "timestamp" in payload:
            entity["timestamp"] = payload["timestamp"]
        entity["attributes"] = in_seconds(payload.get("data", {}), payload)
        return entity

    return build


TRACK_EVENT = entity_action(
    slug="trackEvent",
    title="Track Event",
    description="An event of a known person, or of an anonymous one, kept until they are identified.",
    default_subscription=ORDINARY_EVENT,
    build=_event("event", "name"),
    fields={
        **_WHO,
        "name": Field(
            label="Event name",
            type="string",
            description="What happened.",
            required=True,
            default={"@path": "$.event"},
        ),
        **_WHAT,
    },
)


TRACK_PAGE_VIEW = entity_action(
    slug="trackPageView",
    title="Track Page View",
    description="A page that a known or anonymous person saw.",
    default_subscription='type = "page"',
    build=_event("page", "url"),
    fields={
        **_WHO,
        "url": Field(
            label="Page URL",
            type="string",
            description="Names the page view; the page's name stands in for it.",
            required=True,
            default=first_of("$.properties.url", "$.context.page.url", "$.name"),
        ),
        **_WHAT,
    },
)

TRACK_SCREEN_VIEW = entity_action(
    slug="trackScreenView",
    title="Track Screen View",
    description="A screen of a mobile app that a known or anonymous person saw.",
    default_subscription='type = "screen"',
    build=_event("screen", "name"),
    fields={
        **_WHO,
        "name": Field(
            label="Screen name",
            type="string",
            description="Names the screen view.",
            required=True,
            default={"@path": "$.name"},
        ),
        **_WHAT,
    },
)


def _content_event(call: Call) -> dict[str, Any]:
    payload = call.payload
    entity = {
        "type": "person",
        "action": payload["actionType"],
        "identifiers": {"anonymous_id": payload["anonymous_id"]},
        "name": payload["actionType"],
    }
    if "timestamp" in payload:
        entity["timestamp"] = payload["timestamp"]
    data = {key: value for key, value in payload.get("data", {}).items() if key != "actionType"}
    return {**entity, "attributes": in_seconds(data, payload)}


REPORT_CONTENT_EVENT = entity_action(
    slug="reportContentEvent",
    title="Report Content Event",
    description="That an anonymous in-app message was seen or clicked.",
    default_subscription=track_of("Report Content Event"),
    build=_content_event,
    fields={
        "anonymous_id": Field(
            label="Anonymous id",
            type="string",
            description="Who saw it.",
            required=True,
            default={"@path": "$.anonymousId"},
        ),
        "actionType": Field(
            label="Action type",
            type="string",
            description="What happened to the content.",
            required=True,
            choices=("viewed_content", "clicked_content"),
            default={"@path": "$.properties.actionType"},
        ),
        "timestamp": TIMESTAMP,
        "data": _DATA,
        "convert_timestamp": CONVERT_TIMESTAMP,
    },
)


_METRIC_KEYS: tuple[str, ...] = ("delivery_id", "metric", "timestamp", "recipient", "reason", "href")


async def _report_metric(send: Send, call: Call) -> None:
    payload = call.payload
    report = {key: payload[key] for key in _METRIC_KEYS if key in payload}
    metadata = {key: payload[key] for key in ("action_name", "action_value") if key in payload}
    if metadata:
        report["metadata"] = metadata
    raise_for_status(await send(track_request(call.settings, "/api/v1/metrics", report)))


def _reported(label: str, description: str, name: str) -> Field:
    return Field(label=label, type="string", description=description, default={"@path": f"$.properties.{name}"})


REPORT_DELIVERY_EVENT = Action(
    slug="reportDeliveryEvent",
    title="Report Delivery Event",
    description="What became of a message that Journeys sent.",
    default_subscription=track_of("Report Delivery Event"),
    perform=_report_metric,
    fields={
        "delivery_id": Field(
            label="Delivery id",
            type="string",
            description="The CIO-Delivery-ID of the message.",
            required=True,
            default={"@path": "$.properties.deliveryId"},
        ),
        "metric": Field(
            label="Metric",
            type="string",
            description="What happened to the message.",
            required=True,
            choices=("delivered", "opened", "clicked", "converted", "bounced", "dropped", "deferred", "spammed"),
            default={"@path": "$.properties.metric"},
        ),
        "recipient": _reported("Recipient", "The address, phone number or device token it went to.", "recipient"),
        "reason": _reported("Reason", "Why it failed.", "reason"),
        "href": _reported("Link", "The link that was clicked.", "href"),
        "action_name": _reported("Action name", "The in-app action that was clicked.", "actionName"),
        "action_value": _reported("Action value", "The value of the in-app action.", "actionValue"),
        "timestamp": TIMESTAMP,
    },
)
