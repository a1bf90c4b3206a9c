"""Custom attributes at Intercom: flat, of simple types, and known to the workspace before they can be written.

Sources: developers.intercom.com, "Create a data attribute", "Create contact", "Create or update a company".
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tabard.destinations.catalog.intercom.rest_api import RestApi, error_messages
from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.request import HttpResponse
from tabard.destinations.kit.text import json_text

CREATED_MAX = 20
"""Attributes created for one message: whoever may send traits must not fill the workspace with them."""

_BAD_REQUEST = 400
_REFUSALS = range(400, 500)


def flat_attributes(traits: Mapping[str, Any], standard: frozenset[str]) -> dict[str, Any]:
    """The traits that are no standard attributes, one level deep: `address.city` becomes `address_city`.

    Lists become texts. A date under a name that ends in `_at` becomes epoch seconds: by that name Intercom knows dates.
    """
    custom = {key: value for key, value in traits.items() if key not in standard}
    return dict(_flattened(custom, ""))


def _flattened(attributes: Mapping[str, Any], lead: str) -> Iterator[tuple[str, Any]]:
    for key, value in attributes.items():
        name = f"{lead}{key}"
        if isinstance(value, dict):
            yield from _flattened(value, f"{name}_")
        elif isinstance(value, list):
            are_texts = all(isinstance(item, str) for item in value)
            yield name, ", ".join(value) if are_texts else json_text(value)
        elif name.endswith("_at"):
            seconds = date_in_form(value, "unix_s")
            yield name, value if seconds is None else seconds
        else:
            yield name, value


async def write(api: RestApi, method: str, path: str, body: Mapping[str, Any], model: str) -> HttpResponse:
    """The answer to a write, after the custom attributes that the workspace lacked were created there.

    One that cannot be created (its name is taken or not allowed, there are too many, or it has no value) is left out:
    the rest of the person or company matters more. `model` is `contact` or `company`.
    """
    attributes = dict(body.get("custom_attributes", {}))
    created: set[str] = set()
    while True:
        wanted = {**body, "custom_attributes": attributes} if attributes else _without(body)
        answer = await api.ask(method, path, wanted)
        unknown = _unknown_attributes(answer, attributes)
        if not unknown:
            return answer
        for name in unknown:
            may_be_created = name not in created and len(created) < CREATED_MAX and attributes[name] is not None
            if not may_be_created or not await _create(api, name, attributes[name], model):
                del attributes[name]
            created.add(name)


def _without(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "custom_attributes"}


def _unknown_attributes(answer: HttpResponse, attributes: Mapping[str, Any]) -> list[str]:
    """Those of our attributes that a 400 names, in quotes, as ones that do not exist."""
    if answer.status != _BAD_REQUEST:
        return []
    messages = [message for message in error_messages(answer) if "does not exist" in message]
    return [name for name in attributes if any(f"'{name}'" in message for message in messages)]


async def _create(api: RestApi, name: str, value: Any, model: str) -> bool:
    attribute = {"name": name, "model": model, "data_type": _data_type(name, value)}
    answer = await api.ask("POST", "/data_attributes", attribute)
    if answer.status in _REFUSALS:
        return False
    raise_for_status(answer)
    return True


def _data_type(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "date" if name.endswith("_at") else "integer"
    return "float" if isinstance(value, float) else "string"
