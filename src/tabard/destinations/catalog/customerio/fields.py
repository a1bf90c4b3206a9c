"""Fields that several Customer.io actions declare the same way."""

from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.field import Field

PERSON_ID = Field(
    label="Person id",
    type="string",
    description="Who it is about. An e-mail address identifies by e-mail, an id that begins with cio_ by cio_id.",
    default={"@path": "$.userId"},
)
REQUIRED_PERSON_ID = Field(
    label="Person id",
    type="string",
    description=PERSON_ID.description,
    required=True,
    default={"@path": "$.userId"},
)
ANONYMOUS_ID = Field(
    label="Anonymous id",
    type="string",
    description="Who it is about while the person is not known.",
    default={"@path": "$.anonymousId"},
)
TIMESTAMP = Field(
    label="Timestamp",
    type="datetime",
    date_form="unix_s",
    description="When it happened.",
    default={"@path": "$.timestamp"},
    volatile=True,
)
CREATED_AT = Field(
    label="Created at",
    type="string",
    description="When it was created: ISO 8601, or epoch seconds or milliseconds. Sent as epoch seconds.",
    lenient=True,
    default={"@path": "$.traits.created_at"},
)
CONVERT_TIMESTAMP = Field(
    label="Convert dates",
    type="boolean",
    description="Send ISO 8601 dates among the attributes as epoch seconds, the form Journeys knows dates in.",
    default=True,
)
RELATIONSHIP_ATTRIBUTES = Field(
    label="Relationship attributes",
    type="object",
    description="Attributes of the link between the person and the object.",
    default={"@path": "$.traits.relationshipAttributes"},
)


def object_type_id(where: str) -> Field:
    """The type of an object, read from `object_type_id` or `objectTypeId` of `traits` or `properties`."""
    return Field(
        label="Object type id",
        type="string",
        description='The kind of object, an integer as a text. "1" where the message names none.',
        default=first_of(f"$.{where}.object_type_id", f"$.{where}.objectTypeId"),
    )
