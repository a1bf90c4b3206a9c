"""Every recorded mapping gives what the field's engine gives, but for the rows listed (docs/actions.md)."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tabard.destinations.kit.directives import MappingFailed
from tabard.destinations.kit.field import Field, FieldType
from tabard.destinations.kit.mapping import MappingInvalid, compile_mapping
from tabard.destinations.kit.mapping_check import mapping_faults
from tabard.destinations.kit.paths import MISSING, parse_path, read_keys
from tabard.destinations.kit.payload import PayloadRefused, compile_fields

Peer = Callable[[str], Any]

LIQUID_DEPARTURES = {
    "{{ uni | size }}": "we count characters, they count UTF-16 units",
    "{{ o }}": "a whole object is written in Python's form",
    "{{ arr }}": "a whole list is written in Python's form",
    "{{ s | md5 }}": "an unknown filter is refused, not ignored",
    '{{ "now" | date: "" }}': "a mapping has no clock",
    '{{ objs | where: "id", 1 | size }}': "where asks for a list of objects only",
}
REFUSED = "refused"


def without_undefined(value: Any) -> Any:
    """Their holes in lists are nulls here, as in the JSON they become."""
    if isinstance(value, dict):
        return None if value == {"$undef": 1} else {key: without_undefined(item) for key, item in value.items()}
    return [without_undefined(item) for item in value] if isinstance(value, list) else value


def outcome(mapping: Any, message: Mapping[str, Any]) -> Any:
    try:
        return compile_mapping(mapping, read_keys)(message)
    except (MappingInvalid, MappingFailed):
        return REFUSED


def same(ours: Any, theirs: Any) -> bool:
    """Equal with true and 1 told apart, which Python does not."""
    return (ours is MISSING) == (theirs is MISSING) and json.dumps(ours, default=str, sort_keys=True) == json.dumps(
        theirs, default=str, sort_keys=True
    )


def test_every_recorded_mapping_gives_the_same_result(peer: Peer) -> None:
    cases = peer("mapping_kit.json")
    rows = [row for row in cases["transform"] if not row.get("js_quirk")]
    wrong, departed = [], set()
    for row in rows:
        message = cases["event_D"] if row["event"] == "D" else row["event"]
        if not isinstance(message, dict):
            continue  # a message is always an object here: the door and the types see to it
        theirs = REFUSED if "throws" in row else without_undefined(row["out"]) if "out" in row else MISSING
        ours = outcome(row["mapping"], message)
        template = row["mapping"].get("k", {}).get("@liquid") if isinstance(row["mapping"].get("k"), dict) else None
        if template in LIQUID_DEPARTURES:
            departed.add(template)
            assert not same(ours, theirs), template
        elif not same(ours, theirs):
            wrong.append((row["id"], row["mapping"], ours, theirs))
    assert len(rows) == 626
    assert wrong == []
    assert departed == set(LIQUID_DEPARTURES)


def test_every_recorded_fault_of_a_mapping_is_found_at_the_same_place(peer: Peer) -> None:
    for row in peer("mapping_kit.json")["validate_mapping"]:
        errors = [str(each) for each in mapping_faults(row["mapping"])]
        assert errors == (row["throws"]["errors"] if "throws" in row else []), row["id"]


def test_every_recorded_path_reads_the_same_value(peer: Peer) -> None:
    rows = [row for row in peer("mapping_kit.json")["get_path"] if isinstance(row["path"], str)]
    for row in rows:
        assert same(read_keys(parse_path(row["path"]))(row["object"]), row.get("out", MISSING)), row["path"]
    assert len(rows) == 16


def test_every_recorded_default_mapping_gives_the_same_result(peer: Peer) -> None:
    cases = peer("action_payloads.json")
    count = 0
    for action in cases["actions"]:
        mapping = compile_mapping(action["mapping"], read_keys)
        for case in action["cases"]:
            count += 1
            theirs = case.get("mapped", case.get("payload"))
            assert same(mapping(cases["events"][case["event"]]), theirs), (action["id"], case["event"])
    assert count == 962


def test_reserved_traits_add_to_a_default_mapping_and_change_nothing_else(peer: Peer) -> None:
    cases = peer("action_payloads.json")
    richer = 0
    for action in cases["actions"]:
        mapping = compile_mapping(action["mapping"])
        for case in action["cases"]:
            ours, theirs = mapping(cases["events"][case["event"]]), case.get("mapped", case.get("payload"))
            richer += ours != theirs
            assert _holds_all(ours, theirs), (action["id"], case["event"])
    assert richer == 52


def _holds_all(ours: Any, theirs: Any) -> bool:
    """Whether ours has all of theirs: members may be added; a text made by a template or a condition may differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(key in ours and _holds_all(ours[key], item) for key, item in theirs.items())
    return type(ours) is type(theirs)


def test_every_recorded_payload_is_coerced_or_refused_the_same_way(peer: Peer) -> None:
    wrong, count = [], 0
    for action in peer("action_payloads.json")["actions"]:
        if "uuid" in _formats(action["schema"]):
            continue  # no field here declares that format
        coerce = compile_fields(fields_of(action["schema"]))
        for case in action["cases"]:
            count += 1
            theirs = REFUSED if "invalid" in case else case["payload"]
            try:
                ours: Any = coerce(case.get("mapped", case.get("payload")))
            except PayloadRefused:
                ours = REFUSED
            if not same(ours, theirs):
                wrong.append((action["id"], case["event"], ours, theirs))
    assert wrong == []
    assert count == 958


def test_every_recorded_empty_value_is_kept_or_dropped_the_same_way(peer: Peer) -> None:
    for row in peer("mapping_kit.json")["remove_empty_values"]:
        if row["value"].get("product", {}).get("location", 0) is None:
            row["schema"]["properties"]["product"]["additionalProperties"] = True
        fields = fields_of({"required": [], **row["schema"]})
        assert compile_fields(fields)(row["value"]) == row["out"], row["id"]


def fields_of(schema: Mapping[str, Any]) -> dict[str, Field]:
    """Fields for the properties of one of their schemas."""
    required = schema.get("required", ())
    return {key: _field(property_, key in required) for key, property_ in schema.get("properties", {}).items()}


def _field(schema: Mapping[str, Any], required: bool) -> Field:
    types = _types(schema)
    inner = schema.get("items", {}) if "array" in types else schema
    return Field(
        label="-",
        type=_field_type(_types(inner)),
        required=required,
        multiple="array" in types,
        choices=tuple(inner.get("enum", ())),
        properties=fields_of(inner),
        additional_properties=inner.get("additionalProperties"),
        allow_null="null" in types,
        format=inner["format"] if inner.get("format") in ("email", "uri") else None,
        minimum=inner.get("minimum"),
        maximum=inner.get("maximum"),
    )


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", "string")
    return kind if isinstance(kind, list) else [kind]


def _field_type(types: list[str]) -> FieldType:
    wanted = [name for name in types if name not in ("null", "array")] or ["string"]
    return "datetime" if set(wanted) == {"string", "number"} else wanted[0]  # type: ignore[return-value]


def _formats(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("format"), str):
            yield schema["format"]
        for item in schema.values():
            yield from _formats(item)
