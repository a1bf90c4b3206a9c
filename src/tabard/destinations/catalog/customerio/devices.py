"""Push devices of a person. Source: wire.md §4.6; docs.customer.io, Track API, `add_device` and `delete_device`."""

from typing import Any

from tabard.destinations.catalog.customerio.entity import in_seconds, person_identifiers
from tabard.destinations.catalog.customerio.fields import CONVERT_TIMESTAMP, REQUIRED_PERSON_ID
from tabard.destinations.catalog.customerio.track_api import entity_action
from tabard.destinations.catalog.customerio.triggers import DEVICE_DELETED, DEVICE_SAVED
from tabard.destinations.kit.action import Call
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.field import Field


def _of_the_device(member: str) -> dict[str, Any]:
    """From `context.device`, where the schema has it, else from `properties.device`, where the samples have it."""
    return first_of(f"$.context.device.{member}", f"$.properties.device.{member}")


_TOKEN = Field(
    label="Device token",
    type="string",
    description="The token under which the device gets push messages.",
    required=True,
    default=_of_the_device("token"),
)


# Journeys knows two platforms; a push to any of these goes through Apple.
_OTHER_APPLE = frozenset({"ipados", "tvos", "visionos", "watchos"})


def _saved_device(call: Call) -> dict[str, Any]:
    payload = call.payload
    device: dict[str, Any] = {"token": payload["device_id"], "platform": _platform(payload["platform"])}
    if "last_used" in payload:
        device["last_used"] = payload["last_used"]
    attributes = in_seconds(payload.get("attributes", {}), payload)
    # Some clients put the device itself among the properties; it is no attribute of the device.
    attributes.pop("device", None)
    if "app_version" in payload:
        attributes["app_version"] = payload["app_version"]
    if attributes:
        device["attributes"] = attributes
    identifiers = person_identifiers(payload["person_id"])
    return {"type": "person", "action": "add_device", "identifiers": identifiers, "device": device}


def _platform(name: str) -> str:
    return "ios" if name in _OTHER_APPLE else name


CREATE_UPDATE_DEVICE = entity_action(
    slug="createUpdateDevice",
    title="Create or Update Device",
    description="Adds a push device to a person, or changes it.",
    default_subscription=DEVICE_SAVED,
    build=_saved_device,
    fields={
        "person_id": REQUIRED_PERSON_ID,
        "device_id": _TOKEN,
        "platform": Field(
            label="Platform",
            type="string",
            description="`ios` or `android`.",
            required=True,
            default={"@case": {"operator": "lower", "value": _of_the_device("type")}},
        ),
        "app_version": Field(
            label="App version",
            type="string",
            description="The version of your app on the device.",
            default={"@path": "$.context.app.version"},
        ),
        "last_used": Field(
            label="Last used",
            type="datetime",
            date_form="unix_s",
            description="When the device was used last.",
            default={"@path": "$.timestamp"},
            volatile=True,
        ),
        "attributes": Field(
            label="Device attributes",
            type="object",
            description="What else to know of the device.",
            default={"@path": "$.properties"},
        ),
        "convert_timestamp": CONVERT_TIMESTAMP,
    },
)


def _deleted_device(call: Call) -> dict[str, Any]:
    return {
        "type": "person",
        "action": "delete_device",
        "identifiers": person_identifiers(call.payload["person_id"]),
        "device": {"token": call.payload["device_id"]},
    }


# Not marked as erasing: it takes the push token, which only the device and its owner know, and apps with a public key
# take a device off its person at logout this way.
DELETE_DEVICE = entity_action(
    slug="deleteDevice",
    title="Delete Device",
    description="Removes a push device from a person.",
    default_subscription=DEVICE_DELETED,
    build=_deleted_device,
    fields={"person_id": REQUIRED_PERSON_ID, "device_id": _TOKEN},
)
