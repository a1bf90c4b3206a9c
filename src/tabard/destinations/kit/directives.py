"""The directives of the mapping language, each as a function from its argument to a resolver (actions.md §7.2).

Arguments have passed `mapping_check`. A resolver takes the root (the message, or the item of an `@arrayPath`) and
returns a value or MISSING. Pure.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from tabard.destinations.kit.liquid import compile_liquid
from tabard.destinations.kit.mapping_check import is_empty
from tabard.destinations.kit.paths import MISSING, Read, parse_path, split_path
from tabard.destinations.kit.reserved import ReadPath
from tabard.destinations.kit.text import json_text, text_of

Resolve = Callable[[Any], Any]


class MappingFailed(ValueError):
    """A sound mapping that cannot be worked out for this message. `path` is the directive's place in the mapping."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Compiler(Protocol):
    """What a directive needs to compile its own parts."""

    @property
    def read_path(self) -> ReadPath: ...

    def compile(self, value: Any, path: str) -> Resolve: ...


Directive = Callable[[Any, str, Compiler], Resolve]


def _path(argument: Any, path: str, compiler: Compiler) -> Resolve:
    if isinstance(argument, str):
        return compiler.read_path(parse_path(argument))
    name = compiler.compile(argument, path)
    read_named = lru_cache(maxsize=256)(lambda text: compiler.read_path(parse_path(text)))

    def resolve(root: Any) -> Any:
        text = name(root)
        if not isinstance(text, str):
            raise MappingFailed(path, "the path to read should be a text")
        return read_named(text)(root)

    return resolve


_PLACEHOLDER = re.compile(r"\{\{\{(.+?)\}\}\}|\{\{(.+?)\}\}")


def _template(argument: Any, path: str, compiler: Compiler) -> Resolve:
    if isinstance(argument, str):
        return _fill(argument, compiler.read_path)
    name = compiler.compile(argument, path)

    def resolve(root: Any) -> Any:
        text = name(root)
        if not isinstance(text, str):
            raise MappingFailed(path, "the template should be a text")
        return _fill(text, compiler.read_path)(root)

    return resolve


def _fill(template: str, read_path: ReadPath) -> Resolve:
    """Each placeholder replaced once: braces inside a value stay what they are."""
    pieces: list[tuple[str, Read]] = []
    end = 0
    for found in _PLACEHOLDER.finditer(template):
        keys = split_path((found[1] or found[2]).strip())
        pieces.append((template[end : found.start()], read_path(keys)))
        end = found.end()
    tail = template[end:]
    return lambda root: "".join([lead + text_of(read(root)) for lead, read in pieces]) + tail


def _literal(argument: Any, path: str, compiler: Compiler) -> Resolve:
    return compiler.compile(argument, path)


def _if(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    asked = "blank" if is_empty(argument.get("exists")) else "exists"
    value = compiler.compile(argument[asked], f"{path}/{asked}")
    holds = _exists if asked == "exists" else _is_not_blank
    then = compiler.compile(argument["then"], f"{path}/then") if "then" in argument else _missing
    otherwise = _missing if is_empty(argument.get("else")) else compiler.compile(argument["else"], f"{path}/else")
    return lambda root: then(root) if holds(value(root)) else otherwise(root)


def _missing(_root: Any) -> Any:
    return MISSING


def _exists(value: Any) -> bool:
    return value is not None and value is not MISSING


def _is_not_blank(value: Any) -> bool:
    """`blank` holds for what is there and differs from '' the loose way: not for 0, false or an empty list either."""
    return bool(value) or isinstance(value, dict)


def _case(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    value = compiler.compile(argument["value"], f"{path}/value") if "value" in argument else _missing
    change = str.lower if argument["operator"] == "lower" else str.upper

    def resolve(root: Any) -> Any:
        found = value(root)
        return change(found) if isinstance(found, str) else found

    return resolve


def _replace(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    value = compiler.compile(argument["value"], f"{path}/value")
    flags = re.IGNORECASE if argument.get("ignorecase", False) else re.NOFLAG
    count = 0 if argument.get("global", True) else 1
    steps = [
        (re.compile(re.escape(argument[pattern]), flags), _replacement(argument.get(replacement, "")))
        for pattern, replacement in (("pattern", "replacement"), ("pattern2", "replacement2"))
        if pattern in argument
    ]

    def resolve(root: Any) -> Any:
        found = value(root)
        text = text_of(found) if isinstance(found, str | int | float) else ""
        for pattern, replacement in steps:
            text = pattern.sub(replacement, text, count=count)
        return text

    return resolve


_REPLACEMENT_MARK = re.compile(r"\$([$&`'])")


def _replacement(text: str) -> Callable[[re.Match[str]], str]:
    """`$&` is what was found, `` $` `` and `$'` what is before and after it, `$$` a dollar sign."""

    def replace(found: re.Match[str]) -> str:
        marks = {
            "$": "$",
            "&": found[0],
            "`": found.string[: found.start()],
            "'": found.string[found.end() :],
        }
        return _REPLACEMENT_MARK.sub(lambda mark: marks[mark[1]], text)

    return replace if "$" in text else lambda _found: text


def _array_path(argument: list[Any], path: str, compiler: Compiler) -> Resolve:
    items = _path(argument[0], path, compiler) if isinstance(argument[0], str) else compiler.compile(argument[0], path)
    shape = argument[1] if len(argument) > 1 else None
    if not isinstance(shape, dict) or not shape:
        return items
    each = compiler.compile(shape, f"{path}/1")

    def resolve(root: Any) -> Any:
        found = items(root)
        if not isinstance(found, dict | list):
            return found
        shaped = [each(item) for item in (found if isinstance(found, list) else [found])]
        return [None if item is MISSING else item for item in shaped]

    return resolve


def _merge(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    parts = [compiler.compile(part, f"{path}/objects/{index}") for index, part in enumerate(argument["objects"])]
    if argument["direction"] == "left":
        parts.reverse()

    def resolve(root: Any) -> Any:
        merged: dict[str, Any] = {}
        for part in parts:
            merged.update(_as_members(part(root)))
        return merged

    return resolve


def _as_members(value: Any) -> Mapping[str, Any]:
    """An object's members; a list's or text's items by number; nothing for the rest."""
    if isinstance(value, dict):
        return value
    return {str(index): item for index, item in enumerate(value)} if isinstance(value, list | str) else {}


def _transform(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    apply = compiler.compile(argument["apply"], f"{path}/apply")
    mapping = compiler.compile(argument["mapping"], f"{path}/mapping")

    def resolve(root: Any) -> Any:
        new_root = apply(root)
        return mapping(new_root if isinstance(new_root, dict) else {})

    return resolve


def _flatten(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    value = compiler.compile(argument["value"], f"{path}/value")
    separator, omit_lists = argument["separator"], argument.get("omitArrays", False)

    def resolve(root: Any) -> Any:
        flat: dict[str, Any] = {}
        _flatten_into(flat, value(root), "", separator, omit_lists=omit_lists)
        return flat

    return resolve


def _flatten_into(flat: dict[str, Any], value: Any, name: str, separator: str, *, omit_lists: bool) -> None:
    if isinstance(value, dict) or (isinstance(value, list) and not omit_lists):
        for key, item in _as_members(value).items():
            below = f"{name}{separator}{key}" if name else key
            _flatten_into(flat, item, below, separator, omit_lists=omit_lists)
    elif value is not MISSING:
        flat[name] = value


def _json(argument: Mapping[str, Any], path: str, compiler: Compiler) -> Resolve:
    value = compiler.compile(argument["value"], f"{path}/value")
    convert = {"encode": json_text, "decode": _decoded}.get(argument["mode"], _missing)

    def resolve(root: Any) -> Any:
        found = value(root)
        return found if found is MISSING else convert(found)

    return resolve


def _decoded(value: Any) -> Any:
    """What a JSON text says; any other value, and a text that is not JSON, as it is."""
    try:
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, UnicodeEncodeError):
        return value


def _exclude_when_null(argument: Any, path: str, compiler: Compiler) -> Resolve:
    value = compiler.compile(argument, path)
    return lambda root: _without_nulls(value(root))


def _without_nulls(value: Any) -> Any:
    """Nulls are absent, in objects at any depth; lists keep theirs."""
    if value is None:
        return MISSING
    if not isinstance(value, dict):
        return value
    return {key: kept for key, item in value.items() if (kept := _without_nulls(item)) is not MISSING}


def _liquid(argument: str, path: str, _compiler: Compiler) -> Resolve:
    render = compile_liquid(argument)

    def resolve(root: Any) -> Any:
        try:
            return render(root)
        except ValueError as error:
            raise MappingFailed(path, str(error)) from error

    return resolve


DIRECTIVES: dict[str, Directive] = {
    "@path": _path,
    "@template": _template,
    "@literal": _literal,
    "@if": _if,
    "@case": _case,
    "@replace": _replace,
    "@arrayPath": _array_path,
    "@merge": _merge,
    "@transform": _transform,
    "@flatten": _flatten,
    "@json": _json,
    "@excludeWhenNull": _exclude_when_null,
    "@liquid": _liquid,
}
