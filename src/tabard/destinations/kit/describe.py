"""What is made from a declaration: JSON schema, form description, documentation page, test data. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.field import DateForm, Field

_SCHEMA_TYPES = {"text": "string", "datetime": ["string", "number"]}
_DATE_EXAMPLES: dict[DateForm, str | int] = {
    "as_given": "2024-03-05T10:20:30.123Z",
    "iso": "2024-03-05T10:20:30.123Z",
    "date": "2024-03-05",
    "unix_s": 1709634030,
    "unix_ms": 1709634030123,
}


def json_schema(fields: Mapping[str, Field]) -> dict[str, Any]:
    """The JSON schema (2020-12) of an object of these fields, with their labels and descriptions."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object_schema(fields, is_open=False)}


def _object_schema(fields: Mapping[str, Field], *, is_open: bool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: _field_schema(field) for key, field in fields.items()},
        "required": [key for key, field in fields.items() if field.required],
        "additionalProperties": is_open,
    }


def _field_schema(field: Field) -> dict[str, Any]:
    notes = {"title": field.label, **({"description": field.description} if field.description else {})}
    value = _value_schema(field)
    schema = {"type": "array", "items": value} if field.multiple else value
    return {**notes, **(_or_null(schema) if field.allow_null else schema)}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*types, "null"], **choices}


def _value_schema(field: Field) -> dict[str, Any]:
    if field.type == "object":
        return _object_schema(field.properties, is_open=field.is_open)
    limits = {
        "enum": list(field.choices) or None,
        "format": field.format,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "writeOnly": field.secret or None,
    }
    kind = _SCHEMA_TYPES.get(field.type, field.type)
    return {"type": kind, **{key: value for key, value in limits.items() if value is not None}}


def form(fields: Mapping[str, Field]) -> list[dict[str, Any]]:
    """The inputs of a form in order: key, label, description, type, required, and what else the field declares."""
    return [{"key": key, **_input(field)} for key, field in fields.items()]


def _input(field: Field) -> dict[str, Any]:
    described = {
        "label": field.label,
        "description": field.description,
        "type": field.type,
        "required": field.required,
        "multiple": field.multiple,
        "choices": list(field.choices),
        "default": field.default,
        "secret": field.secret,
    }
    return {**described, "properties": form(field.properties)} if field.properties else described


def docs_page(destination: Destination) -> str:
    """The destination's page in Markdown: settings, what it does by default, and each action's fields."""
    return "\n".join(_page_lines(destination)).rstrip() + "\n"


def _page_lines(destination: Destination) -> Iterator[str]:
    yield from (f"# {destination.name}", "", destination.description, "")
    names = ", ".join(f"`{name}`" for name in (destination.name, destination.slug, *destination.aliases))
    yield from (f"In a message's `integrations` object it is named {names}.", "")
    yield from ("## Settings", "", *_table(destination.settings), "")
    if destination.presets:
        yield from ("## What a new instance does", "", "| subscription | action | trigger |", "| --- | --- | --- |")
        for preset in destination.presets:
            yield f"| {preset.name} | `{preset.action}` | `{_cell(preset.subscribe)}` |"
        yield ""
    yield from ("## Actions", "")
    for action in destination.actions:
        yield from _action_lines(action)


def _action_lines(action: Action) -> Iterator[str]:
    yield from (f"### {action.title} (`{action.slug}`)", "", action.description, "")
    if action.default_subscription:
        yield from (f"Suggested trigger: `{_cell(action.default_subscription)}`", "")
    if action.perform_batch and action.batch_size > 1:
        yield from (f"Sent in batches of at most {action.batch_size} items and {action.batch_bytes} bytes.", "")
    elif action.perform_batch:
        limit = f"in batches of at most {action.batch_bytes} bytes"
        yield from (f"Sent one by one, or {limit} where the destination's option `batch_size` is above 1.", "")
    yield from (*_table(action.fields), "")


def _table(fields: Mapping[str, Field]) -> Iterator[str]:
    yield from ("| field | type | needed | what it is | default |", "| --- | --- | --- | --- | --- |")
    for path, field in _flattened(fields):
        default = "" if field.default is None else f"`{_cell(json.dumps(field.default, ensure_ascii=False))}`"
        needed = "yes" if field.required else ""
        cells = (f"`{path}`", _type_in_words(field), needed, _cell(field.description or field.label), default)
        yield f"| {' | '.join(cells)} |"


def _flattened(fields: Mapping[str, Field], lead: str = "") -> Iterator[tuple[str, Field]]:
    for key, field in fields.items():
        yield f"{lead}{key}", field
        yield from _flattened(field.properties, f"{lead}{key}{'[]' if field.multiple else ''}.")


def _type_in_words(field: Field) -> str:
    words = str(field.type).replace("datetime", "date")
    if field.choices:
        words = "one of " + ", ".join(f"`{choice}`" for choice in field.choices)
    return f"list of {words}" if field.multiple else f"{words}, secret" if field.secret else words


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def example_values(fields: Mapping[str, Field]) -> dict[str, Any]:
    """Values for every field, the same each time, that the fields accept as they are: test data and samples."""
    return {key: _example(key, field) for key, field in fields.items()}


def _example(key: str, field: Field) -> Any:
    value = _one_example(key, field)
    return [value] if field.multiple else value


def _one_example(key: str, field: Field) -> Any:
    if field.choices:
        return field.choices[0]
    if field.type == "object":
        return example_values(field.properties) or ({"key": "value"} if field.is_open else {})
    if field.type == "datetime":
        return _DATE_EXAMPLES[field.date_form]
    if field.type == "boolean":
        return True
    if field.type in ("number", "integer"):
        return int(next((bound for bound in (field.minimum, field.maximum) if bound is not None), 1))
    formats = {"email": "cool.person@example.com", "uri": "https://example.com/path"}
    return formats[field.format] if field.format else f"example {key}"
