"""From a message to a payload, by a mapping: JSON in which an object with one `@` key is a directive.

A mapping is checked whole and compiled once; applying it only reads. What it reads from a message is data and is
never looked at for directives. Language: wire.md §5.3, actions.md §7.2. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tabard.destinations.kit.directives import DIRECTIVES, Resolve
from tabard.destinations.kit.liquid import LiquidInvalid
from tabard.destinations.kit.mapping_check import (
    METADATA,
    MappingFault,
    is_directive,
    mapping_faults,
    with_root_directive,
)
from tabard.destinations.kit.paths import MISSING
from tabard.destinations.kit.reserved import ReadPath, read_trait

CompiledMapping = Callable[[Mapping[str, Any]], Any]
"""From a message to what the mapping says of it: an object for an object, MISSING where nothing is there.

Raises `directives.MappingFailed` where the message makes it impossible. Parts of the result may be parts of the
message: treat both as read only.
"""


class MappingInvalid(ValueError):
    """A mapping that cannot be used. `faults` holds everything that is wrong, each with its path."""

    def __init__(self, faults: list[MappingFault]) -> None:
        super().__init__(" ".join(map(str, faults)))
        self.faults = faults


def compile_mapping(mapping: Any, read_path: ReadPath = read_trait) -> CompiledMapping:
    """The mapping as a function of the message; MappingInvalid with every fault.

    `read_path` decides how a path is read; by default reserved traits are found in either spelling.
    """
    faults = mapping_faults(mapping)
    if faults:
        raise MappingInvalid(faults)
    compiler = _Compiler(read_path)
    resolve = compiler.compile(with_root_directive(mapping), "")
    if compiler.faults:
        raise MappingInvalid(compiler.faults)
    return resolve


@dataclass
class _Compiler:
    read_path: ReadPath
    faults: list[MappingFault] = field(default_factory=list)

    def compile(self, value: Any, path: str) -> Resolve:
        if isinstance(value, list):
            return _list([self.compile(item, f"{path}/{index}") for index, item in enumerate(value)])
        if not isinstance(value, dict):
            return lambda _root: value
        if is_directive(value):
            return self._directive(value, path)
        return _object([(key, self.compile(item, f"{path}/{key}")) for key, item in value.items()])

    def _directive(self, value: Mapping[str, Any], path: str) -> Resolve:
        name = next(key for key in value if key != METADATA)
        try:
            return DIRECTIVES[name](value[name], f"{path}/{name}", self)
        except LiquidInvalid as error:
            self.faults.append(MappingFault(f"{path}/{name}", f"cannot be read: {error}."))
            return lambda _root: MISSING


def _object(members: list[tuple[str, Resolve]]) -> Resolve:
    def resolve(root: Any) -> Any:
        result = {}
        for key, resolve_member in members:
            value = resolve_member(root)
            if value is not MISSING:
                result[key] = value
        return result

    return resolve


def _list(items: list[Resolve]) -> Resolve:
    """A list keeps its length: an absent item is null."""

    def resolve(root: Any) -> Any:
        values = [resolve_item(root) for resolve_item in items]
        return [None if value is MISSING else value for value in values]

    return resolve
