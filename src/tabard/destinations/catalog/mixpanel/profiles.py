"""Profiles of people and groups at Mixpanel. Sources: wire.md §5.5; docs.mixpanel.com, "Set Property", "Increment
Numerical Property", "Group: Set Property", "Create Identity", and the reserved user profile properties.
"""

from typing import Any

from tabard.destinations.catalog.mixpanel.ingestion import (
    Part,
    Record,
    engage_request,
    groups_request,
    ingestion_action,
    track_request,
)
from tabard.destinations.kit.action import Call
from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.errors import Filtered, PayloadInvalid
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.traits import is_email, take_name, take_trait

DEFAULT_GROUP_KEY = "$group_id"

_RESERVED = {
    "email": "$email",
    "firstName": "$first_name",
    "lastName": "$last_name",
    "username": "$username",
    "phone": "$phone",
    "avatar": "$avatar",
}


def person_properties(traits: dict[str, Any], user_id: str | None) -> dict[str, Any]:
    """The traits under Mixpanel's names, dates as ISO 8601; `traits` is the caller's own to use up.

    A name is made of first and last where only these came; a userId that is an e-mail address is the $email where
    there is none.
    """
    found = {"$name": take_name(traits)}
    created = take_trait(traits, "createdAt")
    created = traits.pop("created", None) if created is None else created
    found["$created"] = date_in_form(created, "iso") or created
    found |= {name: take_trait(traits, trait) for trait, name in _RESERVED.items()}
    if found["$email"] is None and is_email(user_id):
        found["$email"] = user_id
    if isinstance(traits.get("birthday"), int | float):
        traits["birthday"] = date_in_form(traits["birthday"], "date") or traits["birthday"]
    return {**traits, **{name: value for name, value in found.items() if value is not None}}


def _profile(call: Call) -> list[Record]:
    payload = call.payload
    traits = dict(payload.get("traits", {}))
    distinct_id = _distinct_id(payload) or traits.get("email")
    if not distinct_id:
        raise Filtered("the call names no person: there is neither a userId, an anonymousId nor an e-mail address")
    properties = person_properties(traits, payload.get("user_id"))
    return [{**_subject(call, distinct_id), "$set": properties}] if properties else []


def _link(call: Call) -> list[Record]:
    """Ties the anonymous id to the user: $identify for Original ID Merge, both ids on one event for Simplified."""
    user_id, anonymous_id = call.payload.get("user_id"), call.payload.get("anonymous_id")
    if not user_id or not anonymous_id or user_id == anonymous_id:
        return []
    properties = {
        "$identified_id": user_id,
        "$anon_id": anonymous_id,
        "distinct_id": user_id,
        "$user_id": user_id,
        "$device_id": anonymous_id,
        "token": call.settings["projectToken"],
    }
    return [{"event": "$identify", "properties": properties}]


def _distinct_id(payload: dict[str, Any]) -> str | None:
    return payload.get("user_id") or payload.get("anonymous_id")


def _subject(call: Call, distinct_id: str) -> dict[str, Any]:
    subject = {"$token": call.settings["projectToken"], "$distinct_id": distinct_id}
    return {**subject, "$ip": call.payload["ip"]} if "ip" in call.payload else subject


_IP = Field(
    label="IP address",
    type="string",
    description="Tells where the person is; Mixpanel does not keep it.",
    default={"@path": "$.context.ip"},
)
_USER_ID = Field(
    label="User id",
    type="string",
    description="Whose profile it is.",
    default={"@path": "$.userId"},
)
_ANONYMOUS_ID = Field(
    label="Anonymous id",
    type="string",
    description="Whose profile it is while there is no user id; otherwise it is tied to the user id.",
    default={"@path": "$.anonymousId"},
)

IDENTIFY_USER = ingestion_action(
    Part(track_request, _link),
    Part(engage_request, _profile),
    slug="identifyUser",
    title="Identify User",
    description="Ties an anonymous id to its user and sets properties of the user's profile.",
    default_subscription='type = "identify"',
    fields={
        "ip": _IP,
        "user_id": _USER_ID,
        "anonymous_id": _ANONYMOUS_ID,
        "traits": Field(
            label="User properties",
            type="object",
            description=(
                "Set on the profile. Reserved traits, in either spelling, become $name, $email, $created, $first_name, "
                "$last_name, $username, $phone and $avatar."
            ),
            default={"@path": "$.traits"},
        ),
    },
)


def _group(call: Call) -> list[Record]:
    payload = call.payload
    key = payload.get("group_key", DEFAULT_GROUP_KEY)
    properties = dict(payload.get("traits", {}))
    # Under a key of their own some callers name the group among its traits.
    group_id = properties.get(key) or payload["group_id"]
    if properties.get("name") is not None:
        properties["$name"] = properties.pop("name")
    token = call.settings["projectToken"]
    return [{"$token": token, "$group_key": key, "$group_id": group_id, "$set": properties}]


GROUP_IDENTIFY_USER = ingestion_action(
    Part(groups_request, _group),
    slug="groupIdentifyUser",
    title="Group Identify User",
    description="Sets properties of a group's profile, which is created where there is none.",
    default_subscription='type = "group"',
    fields={
        "group_key": Field(
            label="Group key",
            type="string",
            description=f"The group key of your project's settings; {DEFAULT_GROUP_KEY} unless set.",
        ),
        "group_id": Field(
            label="Group id",
            type="string",
            description="Which group it is.",
            required=True,
            default={"@path": "$.groupId"},
        ),
        "traits": Field(
            label="Group properties",
            type="object",
            description="Set on the group's profile; name becomes $name.",
            default={"@path": "$.traits"},
        ),
    },
)


def _increment(call: Call) -> list[Record]:
    payload = call.payload
    distinct_id = _distinct_id(payload)
    if not distinct_id:
        raise Filtered("the call names no person: there is neither a userId nor an anonymousId")
    for key, value in payload["increment"].items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PayloadInvalid(f"increment.{key}", "should be a number")
    return [{**_subject(call, distinct_id), "$add": payload["increment"]}]


INCREMENT_PROPERTIES = ingestion_action(
    Part(engage_request, _increment),
    slug="incrementProperties",
    title="Increment Properties",
    description="Adds to numbers of a person's profile.",
    default_subscription='type = "track"',
    fields={
        "ip": _IP,
        "user_id": _USER_ID,
        "anonymous_id": _ANONYMOUS_ID,
        "increment": Field(
            label="Increments",
            type="object",
            description="By how much to raise which properties; negative numbers lower them.",
            required=True,
            default={"@path": "$.properties.increment"},
        ),
    },
)
