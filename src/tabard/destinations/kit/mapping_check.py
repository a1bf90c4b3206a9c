"""What is wrong with a mapping, all of it, each with its path: `/properties/@path should be a string …`.

The rules of the field's engine (actions.md §7.2, §9), checked before a mapping is compiled. Pure.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

DEPTH_MAX = 40
REPLACE_LENGTH_MAX = 10
LIQUID_LENGTH_MAX = 1_000

ROOT_DIRECTIVE = "__segment_internal_directive"
"""A root key whose one directive gets the rest of the mapping as its `mapping` (used with `@transform`)."""

METADATA = "_metadata"
"""A key beside a directive that forms keep their own notes in; it has no effect."""


class MappingFault(NamedTuple):
    """One thing that is wrong with a mapping: its path (`/properties/@path`, '' for the whole) and what it is."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path or '/'} {self.problem}"


Check = Callable[[Any, str, list[MappingFault]], None]
"""Appends what is wrong with a value at a path to the list."""


def mapping_faults(mapping: Any) -> list[MappingFault]:
    """Every fault of a mapping, [] for a sound one."""
    faults: list[MappingFault] = []
    if isinstance(mapping, dict) and ROOT_DIRECTIVE in mapping:
        _check_root_directive(mapping, faults)
    else:
        _anything(mapping, "", faults)
    return faults


def is_directive(value: Any) -> bool:
    """Whether an object is one directive rather than plain members."""
    return isinstance(value, dict) and any(isinstance(key, str) and key.startswith("@") for key in value)


def with_root_directive(mapping: Any) -> Any:
    """The mapping with its root directive, if it has one, wrapped around the other fields."""
    if not isinstance(mapping, dict) or ROOT_DIRECTIVE not in mapping:
        return mapping
    fields = {key: value for key, value in mapping.items() if key != ROOT_DIRECTIVE}
    ((name, argument),) = mapping[ROOT_DIRECTIVE].items()
    return {name: {**argument, "mapping": fields}}


def _check_root_directive(mapping: dict[str, Any], faults: list[MappingFault]) -> None:
    directive = mapping[ROOT_DIRECTIVE]
    if not isinstance(directive, dict) or len(directive) != 1:
        faults.append(MappingFault(f"/{ROOT_DIRECTIVE}", "should be an object with one directive."))
    elif not isinstance(next(iter(directive.values())), dict):
        faults.append(MappingFault(f"/{ROOT_DIRECTIVE}", "should hold a directive whose value is an object."))
    else:
        _anything(with_root_directive(mapping), "", faults)


def _kind(value: Any) -> str:
    if value is None:
        return "a null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "an array"
    return "a directive" if is_directive(value) else "an object"


def _refuse(wanted: str, value: Any, path: str, faults: list[MappingFault]) -> None:
    faults.append(MappingFault(path, f"should be {wanted} but it is {_kind(value)}."))


def _anything(value: Any, path: str, faults: list[MappingFault]) -> None:
    if path.count("/") > DEPTH_MAX:
        faults.append(MappingFault(path, f"is nested more than {DEPTH_MAX} deep."))
    elif is_directive(value):
        _directive(value, path, faults)
    elif isinstance(value, dict):
        for key, item in value.items():
            _anything(item, f"{path}/{key}", faults)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _anything(item, f"{path}/{index}", faults)


def _directive(value: dict[str, Any], path: str, faults: list[MappingFault]) -> None:
    keys = [key for key in value if key != METADATA]
    if len(keys) != 1:
        faults.append(MappingFault(path, f"should only have one @-prefixed key but it has {len(keys)} keys."))
    elif keys[0] not in _DIRECTIVES:
        faults.append(MappingFault(path, f"has an invalid directive: {keys[0]}."))
    else:
        _DIRECTIVES[keys[0]](value[keys[0]], f"{path}/{keys[0]}", faults)


def _text(value: Any, path: str, faults: list[MappingFault]) -> None:
    if not isinstance(value, str):
        _refuse("a string", value, path, faults)


def _text_or_directive(value: Any, path: str, faults: list[MappingFault]) -> None:
    if is_directive(value):
        _directive(value, path, faults)
    elif not isinstance(value, str):
        _refuse("a string or a mapping directive", value, path, faults)


def _object_or_directive(value: Any, path: str, faults: list[MappingFault]) -> None:
    if isinstance(value, dict):
        _anything(value, path, faults)
    else:
        _refuse("a object or a mapping directive", value, path, faults)


def _truth(value: Any, path: str, faults: list[MappingFault]) -> None:
    if not isinstance(value, bool):
        _refuse("a boolean", value, path, faults)


def _one_of(*choices: str) -> Check:
    def check(value: Any, path: str, faults: list[MappingFault]) -> None:
        if not isinstance(value, str):
            _refuse("a string", value, path, faults)
        elif value.lower() not in choices:
            faults.append(MappingFault(path, f'should be one of {", ".join(choices)} but it is "{value}".'))

    return check


def _exactly_one_of(*choices: str) -> Check:
    def check(value: Any, path: str, faults: list[MappingFault]) -> None:
        if value not in choices:
            faults.append(MappingFault(path, f"should be one of {', '.join(choices)}."))

    return check


def _short_text(length_min: int) -> Check:
    def check(value: Any, path: str, faults: list[MappingFault]) -> None:
        if not isinstance(value, str):
            _refuse("a string", value, path, faults)
        elif len(value) > REPLACE_LENGTH_MAX:
            faults.append(MappingFault(path, f"should be a string of length {REPLACE_LENGTH_MAX} or less."))
        elif len(value) < length_min:
            faults.append(MappingFault(path, f"should be a string of length {length_min} or greater."))

    return check


def _liquid_text(value: Any, path: str, faults: list[MappingFault]) -> None:
    if not isinstance(value, str):
        _refuse("a string", value, path, faults)
    elif len(value) > LIQUID_LENGTH_MAX:
        faults.append(MappingFault(path, f"is limited to {LIQUID_LENGTH_MAX} characters."))


def _members(checks: dict[str, Check], *required: str) -> Check:
    """An object of which the listed members are checked; the required ones are there and not '', 0, null or false."""

    def check(value: Any, path: str, faults: list[MappingFault]) -> None:
        if not isinstance(value, dict) or is_directive(value):
            _refuse("an object", value, path, faults)
            return
        for name, check_member in checks.items():
            if name in value:
                check_member(value[name], f"{path}/{name}", faults)
            elif name in required:
                faults.append(MappingFault(path, f'should have field "{name}" but it doesn\'t.'))
        empty = (name for name in required if name in value and is_empty(value[name]))
        faults.extend(MappingFault(path, f'requires a "{name}" key.') for name in empty)

    return check


def is_empty(value: Any) -> bool:
    """Whether a value counts as not given: null, false, 0 or ''; lists and objects never do."""
    return not value and not isinstance(value, dict | list)


def _condition(value: Any, path: str, faults: list[MappingFault]) -> None:
    _members(dict.fromkeys(("exists", "blank", "then", "else"), _anything))(value, path, faults)
    if not isinstance(value, dict) or is_directive(value):
        return
    if all(is_empty(value.get(key)) for key in ("exists", "blank")):
        faults.append(MappingFault(path, 'requires an "exists" key or a "blank" key.'))


def _objects(value: Any, path: str, faults: list[MappingFault]) -> None:
    if not isinstance(value, list):
        _refuse("an array", value, path, faults)
        return
    for index, item in enumerate(value):
        _object_or_directive(item, f"{path}/{index}", faults)


def _path_and_shape(value: Any, path: str, faults: list[MappingFault]) -> None:
    if not isinstance(value, list):
        _refuse("an array", value, path, faults)
        return
    _text_or_directive(value[0] if value else None, path, faults)
    for shape in value[1:2]:
        _anything(shape, f"{path}/1", faults)


_DIRECTIVES: dict[str, Check] = {
    "@path": _text_or_directive,
    "@template": _text_or_directive,
    "@literal": _anything,
    "@excludeWhenNull": _anything,
    "@liquid": _liquid_text,
    "@if": _condition,
    "@arrayPath": _path_and_shape,
    "@case": _members({"operator": _exactly_one_of("lower", "upper"), "value": _anything}, "operator"),
    "@replace": _members(
        {
            "pattern": _short_text(1),
            "replacement": _short_text(0),
            "pattern2": _short_text(1),
            "replacement2": _short_text(0),
            "ignorecase": _truth,
            "global": _truth,
            "value": _anything,
        },
        "pattern",
        "value",
    ),
    "@merge": _members({"direction": _one_of("left", "right"), "objects": _objects}, "direction", "objects"),
    "@transform": _members({"apply": _object_or_directive, "mapping": _anything}, "apply", "mapping"),
    "@flatten": _members({"separator": _text, "value": _anything, "omitArrays": _truth}, "separator", "value"),
    "@json": _members({"mode": _one_of("encode", "decode"), "value": _anything}, "mode", "value"),
}
