"""Objects (companies, courses …) and their links to people. Source: wire.md §4.4, §4.6."""

from typing import Any

from tabard.destinations.catalog.customerio.entity import (
    date_in_seconds,
    in_seconds,
    known_or_anonymous,
    object_identifiers,
    relationship,
)
from tabard.destinations.catalog.customerio.fields import (
    ANONYMOUS_ID,
    CONVERT_TIMESTAMP,
    CREATED_AT,
    PERSON_ID,
    RELATIONSHIP_ATTRIBUTES,
    object_type_id,
)
from tabard.destinations.catalog.customerio.track_api import entity_action
from tabard.destinations.catalog.customerio.triggers import track_of
from tabard.destinations.kit.action import Call
from tabard.destinations.kit.errors import PayloadInvalid
from tabard.destinations.kit.field import Field

# Said elsewhere in the entity, or spread among the attributes.
_NO_ATTRIBUTES = {
    "createdAt",
    "created_at",
    "object_type_id",
    "objectTypeId",
    "objectAttributes",
    "relationshipAttributes",
}


def _saved_object(call: Call) -> dict[str, Any]:
    payload = call.payload
    given = payload.get("custom_attributes", {})
    attributes = in_seconds({key: value for key, value in given.items() if key not in _NO_ATTRIBUTES}, payload)
    if "created_at" in payload:
        attributes["created_at"] = date_in_seconds(payload["created_at"], payload)
    person = known_or_anonymous(payload, "user_id")
    is_anonymous = person is not None and "anonymous_id" in person
    entity = {
        "type": "object",
        "action": "identify_anonymous" if is_anonymous else "identify",
        "identifiers": object_identifiers(payload["id"], payload.get("object_type_id")),
        "attributes": attributes,
    }
    return {**entity, "cio_relationships": relationship(person, payload)} if person else entity


CREATE_UPDATE_OBJECT = entity_action(
    slug="createUpdateObject",
    title="Create or Update Object",
    description=(
        "Creates an object or adds to and changes its attributes, and relates the person of the call to it: known "
        "people at once, anonymous ones when they are identified."
    ),
    default_subscription='type = "group"',
    build=_saved_object,
    fields={
        "id": Field(
            label="Object id",
            type="string",
            description="Which object it is.",
            required=True,
            default={"@path": "$.groupId"},
        ),
        "created_at": CREATED_AT,
        "custom_attributes": Field(
            label="Object attributes",
            type="object",
            description="The group's traits, and those under objectAttributes.",
            default={
                "@merge": {
                    "direction": "right",
                    "objects": [{"@path": "$.traits"}, {"@path": "$.traits.objectAttributes"}],
                }
            },
        ),
        "relationship_attributes": RELATIONSHIP_ATTRIBUTES,
        "user_id": PERSON_ID,
        "anonymous_id": ANONYMOUS_ID,
        "object_type_id": object_type_id("traits"),
        "convert_timestamp": CONVERT_TIMESTAMP,
    },
)

_OBJECT_ID = Field(
    label="Object id",
    type="string",
    description="Which object is meant.",
    required=True,
    default={"@path": "$.properties.objectId"},
)


def _deleted_object(call: Call) -> dict[str, Any]:
    identifiers = object_identifiers(call.payload["object_id"], call.payload.get("object_type_id"))
    return {"type": "object", "action": "delete", "identifiers": identifiers}


DELETE_OBJECT = entity_action(
    slug="deleteObject",
    title="Delete Object",
    description="Deletes an object and its links to people.",
    default_subscription=track_of("Object Deleted"),
    build=_deleted_object,
    erases=True,
    fields={"object_id": _OBJECT_ID, "object_type_id": object_type_id("properties")},
)


def _deleted_relationship(call: Call) -> dict[str, Any]:
    person = known_or_anonymous(call.payload, "person_id")
    if person is None:
        raise PayloadInvalid("person_id", "is required where there is no anonymous id")
    return {
        "type": "object",
        "action": "delete_relationships",
        "identifiers": object_identifiers(call.payload["object_id"], call.payload.get("object_type_id")),
        "cio_relationships": [{"identifiers": person}],
    }


DELETE_RELATIONSHIP = entity_action(
    slug="deleteRelationship",
    title="Delete Relationship",
    description="Cuts the link between a person and an object.",
    default_subscription=track_of("Relationship Deleted"),
    build=_deleted_relationship,
    erases=True,
    fields={
        "person_id": PERSON_ID,
        "anonymous_id": ANONYMOUS_ID,
        "object_id": _OBJECT_ID,
        "object_type_id": object_type_id("properties"),
    },
)
