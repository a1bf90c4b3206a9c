"""Events at Mixpanel: their properties, one event for each product of an order, and alias. Sources: wire.md §5.5,
docs.mixpanel.com, "Import Events" and "Create Alias".
"""

import hashlib
import re
from typing import Any

import msgspec

from tabard.destinations.catalog.mixpanel.browser import browser_of
from tabard.destinations.catalog.mixpanel.ingestion import Part, Record, import_request, ingestion_action, track_request
from tabard.destinations.kit.action import Call
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import Filtered, PayloadInvalid
from tabard.destinations.kit.field import Field, FieldType

INSERT_ID_LENGTH_MAX = 36
_INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")

# (payload key, type, where the context has it, Mixpanel's name)
_CONTEXT: tuple[tuple[str, FieldType, str, str], ...] = (
    ("ip", "string", "ip", "ip"),
    ("app_name", "string", "app.name", "$app_name"),
    ("app_namespace", "string", "app.namespace", "$app_namespace"),
    ("app_build", "string", "app.build", "$app_build_number"),
    ("app_version", "string", "app.version", "$app_version_string"),
    ("os_name", "string", "os.name", "$os"),
    ("os_version", "string", "os.version", "$os_version"),
    ("device_type", "string", "device.type", "$device_type"),
    ("device_name", "string", "device.name", "$device_name"),
    ("device_manufacturer", "string", "device.manufacturer", "$manufacturer"),
    ("device_model", "string", "device.model", "$model"),
    ("idfa", "string", "device.advertisingId", "$ios_ifa"),
    ("bluetooth", "boolean", "network.bluetooth", "$bluetooth_enabled"),
    ("carrier", "string", "network.carrier", "$carrier"),
    ("cellular", "boolean", "network.cellular", "$cellular_enabled"),
    ("wifi", "boolean", "network.wifi", "$wifi_enabled"),
    ("country", "string", "location.country", "mp_country_code"),
    ("region", "string", "location.region", "$region"),
    ("language", "string", "locale", "$locale"),
    ("library_name", "string", "library.name", "mp_lib"),
    ("library_version", "string", "library.version", "$lib_version"),
    ("url", "string", "page.url", "$current_url"),
    ("referrer", "string", "page.referrer", "$referrer"),
    ("screen_width", "number", "screen.width", "$screen_width"),
    ("screen_height", "number", "screen.height", "$screen_height"),
    ("screen_density", "number", "screen.density", "$screen_density"),
    ("timezone", "string", "timezone", "$timezone"),
)
_UTM = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}

# Set by us: the caller's properties must not change whose event it is or when it was.
_OURS = {"time", "id", "distinct_id", "token", "$anon_id", "$device_id", "$group_id", "$insert_id", "$user_id"}


def insert_id(text: str) -> str:
    """A text as Mixpanel takes it to notice duplicates: itself if it is short and plain enough, else a digest of it."""
    if _INSERT_ID.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:INSERT_ID_LENGTH_MAX]


def _event(call: Call) -> Record:
    payload = call.payload
    properties = {name: payload[key] for key, _, _, name in _CONTEXT if key in payload}
    browser = browser_of(payload.get("userAgent", ""))
    if browser:
        properties["$browser"] = browser[0]
        if browser[1]:
            properties["$browser_version"] = browser[1]
    if call.settings.get("sourceName"):
        properties["segment_source_name"] = call.settings["sourceName"]
    properties |= payload.get("utm_properties", {})
    properties |= {key: value for key, value in payload.get("event_properties", {}).items() if key not in _OURS}
    properties |= _who_and_when(call)
    event = {"event": payload["event"], "properties": properties}
    given_id = payload.get("insert_id") or msgspec.json.encode(event, order="sorted").decode()
    properties["$insert_id"] = insert_id(given_id)
    return event


def _who_and_when(call: Call) -> dict[str, Any]:
    """An event of nobody has the distinct id '': without one Mixpanel would make one from our own address."""
    payload = call.payload
    ids = {"$user_id": "user_id", "$device_id": "anonymous_id", "$group_id": "group_id"}
    return {
        "time": payload.get("time", int(call.now.timestamp() * 1000)),
        "distinct_id": payload.get("distinct_id", ""),
        **{name: payload[key] for name, key in ids.items() if key in payload},
    }


def _one_event(call: Call) -> list[Record]:
    return [_event(call)]


def _context_fields() -> dict[str, Field]:
    return {
        key: Field(label=name, type=kind, description=f"Mixpanel's {name}.", default={"@path": f"$.context.{path}"})
        for key, kind, path, name in _CONTEXT
    }


_FIELDS: dict[str, Field] = {
    "event": Field(
        label="Event name", type="string", description="What happened.", required=True, default={"@path": "$.event"}
    ),
    "distinct_id": Field(
        label="Distinct id",
        type="string",
        description="Whose event it is: the userId, else the anonymousId.",
        default=first_of("$.userId", "$.anonymousId"),
    ),
    "anonymous_id": Field(
        label="Anonymous id",
        type="string",
        description="Sent as $device_id.",
        default={"@path": "$.anonymousId"},
    ),
    "user_id": Field(label="User id", type="string", description="Sent as $user_id.", default={"@path": "$.userId"}),
    "group_id": Field(
        label="Group id", type="string", description="Sent as $group_id.", default={"@path": "$.context.groupId"}
    ),
    "insert_id": Field(
        label="Insert id",
        type="string",
        description="Lets Mixpanel notice an event that is sent twice. Longer ones than it takes are digested.",
        default={"@path": "$.messageId"},
    ),
    "time": Field(
        label="Time",
        type="datetime",
        date_form="unix_ms",
        description="When it happened.",
        default={"@path": "$.timestamp"},
    ),
    **_context_fields(),
    "userAgent": Field(
        label="User agent",
        type="string",
        description="Names the browser: $browser and $browser_version.",
        default={"@path": "$.context.userAgent"},
    ),
    "event_properties": Field(
        label="Event properties",
        type="object",
        description="Properties of your own. They win over those from the context, not over who and when.",
        default={"@path": "$.properties"},
    ),
    "utm_properties": Field(
        label="UTM properties",
        type="object",
        description="Where the person came from.",
        properties={key: Field(label=key, type="string") for key in _UTM},
        default={key: {"@path": f"$.context.campaign.{part}"} for key, part in _UTM.items()},
    ),
}
_FIELDS["url"] = Field(
    label="$current_url",
    type="string",
    description="The address of the page.",
    default=first_of("$.context.page.url", "$.properties.url"),
)

TRACK_EVENT = ingestion_action(
    Part(import_request, _one_event),
    slug="trackEvent",
    title="Track Event",
    description="An event of a known or anonymous person.",
    default_subscription='type = "track"',
    fields=_FIELDS,
)

PRODUCT_PURCHASED = "Product Purchased"
_OF_THE_ORDER = {
    "checkout_id",
    "order_id",
    "affiliation",
    "subtotal",
    "total",
    "revenue",
    "shipping",
    "tax",
    "discount",
    "coupon",
    "currency",
    "order_number",
    "products",
}


def _order_and_products(call: Call) -> list[Record]:
    order = _event(call)
    products = call.payload.get("products", [])
    if not call.payload.get("generatePurchaseEventPerProduct") or not products:
        return [order]
    shared = {key: value for key, value in order["properties"].items() if key not in _OF_THE_ORDER}
    order_id = shared["$insert_id"]
    return [
        order,
        *(
            {
                "event": PRODUCT_PURCHASED,
                "properties": {**shared, **product, "$insert_id": insert_id(f"{order_id}-{number}")},
            }
            for number, product in enumerate(products)
        ),
    ]


TRACK_PURCHASE = ingestion_action(
    Part(import_request, _order_and_products),
    slug="trackPurchase",
    title="Track Purchase",
    description=f"An order, and where wanted an event “{PRODUCT_PURCHASED}” for each of its products.",
    default_subscription='type = "track" and event = "Order Completed"',
    fields={
        "generatePurchaseEventPerProduct": Field(
            label="An event for each product",
            type="boolean",
            description=f"Send “{PRODUCT_PURCHASED}” for each product, besides the order.",
            default=True,
        ),
        **_FIELDS,
        "products": Field(
            label="Products",
            type="object",
            multiple=True,
            description="The products of the order.",
            default={"@path": "$.properties.products"},
        ),
    },
)


def _new_alias(call: Call) -> list[Record]:
    payload = call.payload
    if "distinct_id" not in payload or "alias" not in payload:
        raise Filtered("an alias needs a previousId and the userId that takes its place")
    if payload["distinct_id"] == payload["alias"]:
        raise PayloadInvalid("alias", "is the same as the previous id")
    ids = {"distinct_id": payload["distinct_id"], "alias": payload["alias"]}
    return [{"event": "$create_alias", "properties": {**ids, "token": call.settings["projectToken"]}}]


ALIAS = ingestion_action(
    Part(track_request, _new_alias),
    slug="alias",
    title="Alias",
    description="Makes one id mean another. Projects on Mixpanel's Simplified ID Merge take no notice of it.",
    default_subscription='type = "alias"',
    fields={
        "alias": Field(
            label="Alias",
            type="string",
            description="The id that is to mean the same person.",
            default=first_of("$.userId", "$.anonymousId"),
        ),
        "distinct_id": Field(
            label="Distinct id",
            type="string",
            description="The id the person is known by so far.",
            default={"@path": "$.previousId"},
        ),
    },
)
