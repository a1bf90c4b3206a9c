"""The parts of an entity of the Track API v2: who it is about, and attributes with dates in seconds. Pure.

Sources: docs.customer.io, Track API, "Make a single request"; wire.md §3.4, §3.5.
"""

import re
from collections.abc import Mapping
from typing import Any

from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.traits import is_email

CIO_ID_PREFIX = "cio_"
DEFAULT_OBJECT_TYPE = "1"

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?")


def person_identifiers(person_id: str | None, email: str | None = None) -> dict[str, str] | None:
    """How Journeys is told who a person is: `cio_id` for an id that begins with cio_, `email` for an address, or `id`.

    The e-mail address stands in for a missing id. None where there is neither.
    """
    if not person_id:
        return {"email": email} if email else None
    if person_id.startswith(CIO_ID_PREFIX):
        return {"cio_id": person_id.removeprefix(CIO_ID_PREFIX)}
    return {"email": person_id} if is_email(person_id) else {"id": person_id}


def known_or_anonymous(payload: Mapping[str, Any], id_key: str) -> dict[str, str] | None:
    """The identifiers of a known person, else the anonymous id of an anonymous one; None where there is neither."""
    known = person_identifiers(payload.get(id_key))
    if known or "anonymous_id" not in payload:
        return known
    return {"anonymous_id": payload["anonymous_id"]}


def object_identifiers(object_id: str, object_type_id: str | None) -> dict[str, str]:
    """How Journeys is told which object is meant; the type is "1" unless the message says otherwise."""
    return {"object_type_id": object_type_id or DEFAULT_OBJECT_TYPE, "object_id": object_id}


def relationship(identifiers: Mapping[str, str], payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The one relationship a call can state, with the attributes of the relationship where it has some."""
    attributes = payload.get("relationship_attributes")
    link = {"identifiers": dict(identifiers)}
    return [{**link, "relationship_attributes": in_seconds(attributes, payload)} if attributes else link]


def in_seconds(attributes: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with ISO dates as epoch seconds, inside objects too but not in lists; as given if switched off."""
    return _converted(attributes) if payload.get("convert_timestamp", True) else dict(attributes)


def date_in_seconds(value: Any, payload: Mapping[str, Any]) -> Any:
    """A value that is known to be a date, ISO or epoch seconds or milliseconds, as epoch seconds; others as given."""
    seconds = date_in_form(value, "unix_s") if payload.get("convert_timestamp", True) else None
    return value if seconds is None else seconds


def _converted(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _converted_value(value) for key, value in attributes.items()}


def _converted_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _converted(value)
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        seconds = date_in_form(value, "unix_s")
        return value if seconds is None else seconds
    return value
