"""People at Customer.io Journeys: create and update, delete, merge, suppress. Sources: wire.md §3.5, §4.5, §4.6."""

from dataclasses import replace
from typing import Any

from tabard.destinations.catalog.customerio.entity import (
    date_in_seconds,
    in_seconds,
    object_identifiers,
    person_identifiers,
    relationship,
)
from tabard.destinations.catalog.customerio.fields import (
    CONVERT_TIMESTAMP,
    CREATED_AT,
    RELATIONSHIP_ATTRIBUTES,
    REQUIRED_PERSON_ID,
    TIMESTAMP,
    object_type_id,
)
from tabard.destinations.catalog.customerio.track_api import BuildEntity, entity_action
from tabard.destinations.catalog.customerio.triggers import track_of
from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import Filtered, PayloadInvalid
from tabard.destinations.kit.field import Field

# Said elsewhere in the entity, or in another spelling.
_NO_ATTRIBUTES = {"createdAt", "created_at", "object_type_id", "objectTypeId", "relationshipAttributes"}


def _person(call: Call) -> dict[str, Any]:
    payload = call.payload
    identifiers = person_identifiers(payload.get("id"), payload.get("email"))
    if identifiers is None:
        raise Filtered("Journeys ignores anonymous identify calls: there is neither a userId nor an e-mail address")
    entity: dict[str, Any] = {"type": "person", "action": "identify", "identifiers": identifiers}
    if "timestamp" in payload:
        entity["timestamp"] = payload["timestamp"]
    entity["attributes"] = _attributes(payload)
    if "group_id" in payload:
        identifiers_of_object = object_identifiers(payload["group_id"], payload.get("object_type_id"))
        entity["cio_relationships"] = relationship(identifiers_of_object, payload)
    return entity


def _attributes(payload: dict[str, Any]) -> dict[str, Any]:
    traits = payload.get("custom_attributes", {})
    attributes = in_seconds({key: value for key, value in traits.items() if key not in _NO_ATTRIBUTES}, payload)
    if "birthday" in attributes:
        attributes["birthday"] = date_in_seconds(attributes["birthday"], payload)
    if "created_at" in payload:
        attributes["created_at"] = date_in_seconds(payload["created_at"], payload)
    attributes |= {key: payload[key] for key in ("email", "name", "anonymous_id") if key in payload}
    return attributes


CREATE_UPDATE_PERSON = entity_action(
    slug="createUpdatePerson",
    title="Create or Update Person",
    description=(
        "Creates a person or adds to and changes their attributes. A call with neither a userId nor an e-mail address "
        "is left out: Journeys knows anonymous people by their events only."
    ),
    default_subscription='type = "identify"',
    build=_person,
    fields={
        "id": Field(
            label="Person id",
            type="string",
            description="Who it is. An e-mail address identifies by e-mail, an id that begins with cio_ by cio_id.",
            default=first_of("$.userId", "$.traits.email"),
        ),
        "anonymous_id": Field(
            label="Anonymous id",
            type="string",
            description="Ties the anonymous events of that id to the person.",
            default={"@path": "$.anonymousId"},
        ),
        "email": Field(
            label="E-mail address",
            type="string",
            description="Set as the attribute email; a userId that is an e-mail address is taken for it.",
            default={"@path": "$.traits.email"},
        ),
        "name": Field(
            label="Name",
            type="string",
            description="Set as the attribute name; made of first and last name where only these came.",
            lenient=True,
            default={"@path": "$.traits.name"},
        ),
        "created_at": CREATED_AT,
        "group_id": Field(
            label="Object id",
            type="string",
            description="An object to relate the person to.",
            default={"@path": "$.traits.objectId"},
        ),
        "custom_attributes": Field(
            label="Attributes",
            type="object",
            description="Attributes to add or change; those that are absent stay.",
            default={"@path": "$.traits"},
        ),
        "relationship_attributes": RELATIONSHIP_ATTRIBUTES,
        "timestamp": TIMESTAMP,
        "convert_timestamp": CONVERT_TIMESTAMP,
        "object_type_id": object_type_id("traits"),
    },
)


def _about_a_person(action: str) -> BuildEntity:
    def build(call: Call) -> dict[str, Any]:
        return {"type": "person", "action": action, "identifiers": person_identifiers(call.payload["person_id"])}

    return build


def _semantic(slug: str, title: str, description: str, *, action: str, event: str) -> Action:
    return entity_action(
        slug=slug,
        title=title,
        description=description,
        default_subscription=track_of(event),
        build=_about_a_person(action),
        fields={"person_id": REQUIRED_PERSON_ID},
        erases=True,
    )


DELETE_PERSON = _semantic("deletePerson", "Delete Person", "Deletes a person.", action="delete", event="User Deleted")
SUPPRESS_PERSON = _semantic(
    "suppressPerson",
    "Suppress Person",
    "Deletes a person and keeps their identifiers from being added again.",
    action="suppress",
    event="User Suppressed",
)
UNSUPPRESS_PERSON = _semantic(
    "unsuppressPerson",
    "Unsuppress Person",
    "Lets a suppressed person's identifiers be added again.",
    action="unsuppress",
    event="User Unsuppressed",
)


def _merge(call: Call) -> dict[str, Any]:
    primary, secondary = call.payload["primary"], call.payload["secondary"]
    if primary == secondary:
        raise PayloadInvalid("secondary", "is the same person as primary")
    return {
        "type": "person",
        "action": "merge",
        "primary": person_identifiers(primary),
        "secondary": person_identifiers(secondary),
    }


_MERGE = entity_action(
    slug="mergePeople",
    title="Merge People",
    description="Merges one person into another, who stays. It cannot be undone.",
    default_subscription='type = "alias"',
    build=_merge,
    fields={
        "primary": Field(
            label="Person who stays",
            type="string",
            description="By id, e-mail address, or an id that begins with cio_.",
            required=True,
            default={"@path": "$.userId"},
        ),
        "secondary": Field(
            label="Person who goes",
            type="string",
            description="What is known of them is added to the person who stays.",
            required=True,
            default={"@path": "$.previousId"},
        ),
    },
)
MERGE_PEOPLE = replace(_MERGE, merges=True)
