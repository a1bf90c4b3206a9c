"""One declared input: of a destination's settings, or of an action's payload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FieldType = Literal["string", "text", "number", "integer", "boolean", "datetime", "object"]
"""`text` is a string that a form shows in a larger box; it validates as `string`."""

DateForm = Literal["as_given", "iso", "date", "unix_s", "unix_ms"]
"""How a `datetime` field wants its instant: as it came, ISO 8601 in UTC, YYYY-MM-DD, epoch seconds or ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One declared input, enough to draw its form, check a value, write its documentation and make test data.

    default: what a new subscription's mapping starts with, in the mapping language (`{"@path": "$.userId"}`,
        or a plain value); for a settings field the plain value used when none is set.
    multiple: a list of `type`; one value is taken as a list of one.
    choices: the only values allowed.
    properties: the members of an `object`, by key. `additional_properties` says whether others may pass;
        by default they may where no member is declared.
    allow_null: null is a value of its own (say, to erase an attribute) and is not dropped.
    date_form: for `datetime`, the form in which the payload carries the instant. A value that is no date is
        refused.
    lenient: a value that cannot be taken for the type is left out, and does not cost the call.
    secret: a setting that is encrypted at rest, never shown again and cut out of what is recorded.
    volatile: it differs with every message (its time, its id) and says nothing of its subject: the option
        `no_needless_calls` does not look at it. volatile_members: the same, of members of an object.
    """

    label: str
    type: FieldType
    description: str = ""
    required: bool = False
    multiple: bool = False
    choices: tuple[str | int, ...] = ()
    default: Any = None
    properties: Mapping[str, "Field"] = field(default_factory=dict)
    additional_properties: bool | None = None
    allow_null: bool = False
    date_form: DateForm = "as_given"
    format: Literal["email", "uri", None] = None
    minimum: float | None = None
    maximum: float | None = None
    lenient: bool = False
    secret: bool = False
    volatile: bool = False
    volatile_members: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether an object field lets undeclared members pass."""
        return not self.properties if self.additional_properties is None else self.additional_properties
