"""What a `tabard.yaml` declares, read from its parsed document: typed, with environment variables put in.

`${NAME}` in a string is the variable's value, `${NAME:-text}` has a default, `$${` is a plain `${`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tabard.workspace.types import SourceKind

VERSION: Final = 1

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Fault(NamedTuple):
    """One thing that is wrong with a destination, and where: `settings.url`, `subscriptions[1].mapping/data/@path`."""

    path: str
    message: str


class DeclarationInvalid(ValueError):
    """It cannot be applied; the text lists every problem with its place. `faults`: those whose place is known."""

    def __init__(self, text: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(text)
        self.faults = tuple(faults)


class SourceDeclared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `sources:`. Without `write_key` the source keeps its key, or gets a new one."""

    name: str
    kind: SourceKind = SourceKind.SERVER
    enabled: bool = True
    permissive: bool = False
    write_key: str = ""
    origins: tuple[str, ...] = ()
    rate_per_s: int = 0
    allow_alias: bool = False
    allow_email_claim: bool = False
    browser_options: dict[str, Any] = {}


class SubscriptionDeclared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a destination's `subscriptions:`. Without `mapping` it gets the action's default one."""

    action: str
    subscribe: str
    name: str = ""
    mapping: dict[str, Any] | None = None
    enabled: bool = True


class DestinationDeclared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `destinations:`; `destination` is its kind (`webhook`). Without `subscriptions` it gets its presets.

    `unset` are settings whose variable has no value: they keep what is stored, or are missing.
    """

    name: str
    destination: str
    enabled: bool = True
    settings: dict[str, Any] = {}
    subscriptions: tuple[SubscriptionDeclared, ...] | None = None
    sources: tuple[str, ...] = ()
    start: str = "now"
    options: dict[str, Any] = {}
    unset: dict[str, str] = {}


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. A section that is absent is left alone."""

    version: int = VERSION
    settings: dict[str, Any] = {}
    sources: tuple[SourceDeclared, ...] | None = None
    destinations: tuple[DestinationDeclared, ...] | None = None


def read_declaration(document: Any, environ: Mapping[str, str]) -> Declaration:
    """The declaration of a parsed YAML document. Raises `DeclarationInvalid`."""
    unset: dict[str, str] = {}
    filled = _filled(document if document is not None else {}, environ, "", unset)
    if isinstance(filled, dict):
        _move_unset_settings(filled, unset)
    if unset:
        raise DeclarationInvalid(
            "; ".join(f"{place}: the environment variable {name} is not set" for place, name in unset.items())
        )
    try:
        declaration = msgspec.convert(filled, Declaration)
    except msgspec.ValidationError as problem:
        raise DeclarationInvalid(str(problem)) from problem
    if declaration.version != VERSION:
        raise DeclarationInvalid(
            f"version {declaration.version} of the file is not known; this release reads {VERSION}"
        )
    for what, entries in (("source", declaration.sources), ("destination", declaration.destinations)):
        names = [entry.name for entry in entries or ()]
        for name in {each for each in names if names.count(each) > 1}:
            raise DeclarationInvalid(f"two {what}s are named {name!r}; give each a name of its own")
    return declaration


def _filled(value: Any, environ: Mapping[str, str], place: str, unset: dict[str, str]) -> Any:
    """The value with its variables put in; `unset` collects place → name of those without a value."""
    if isinstance(value, dict):
        return {key: _filled(each, environ, f"{place}.{key}".lstrip("."), unset) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environ, f"{place}[{index}]", unset) for index, each in enumerate(value)]
    if not isinstance(value, str):
        return value

    def put_in(match: re.Match[str]) -> str:
        name: str | None = match[1]
        if name is None:
            return "${"
        found: str | None = environ.get(name, match[2])
        if found is None:
            unset[place] = name
            return ""
        return found

    return _VARIABLE.sub(put_in, value)


def _move_unset_settings(document: dict[str, Any], unset: dict[str, str]) -> None:
    """Unset variables in the settings of a destination are no error yet: the stored value may be kept."""
    for index, entry in enumerate(document.get("destinations") or ()):
        if not isinstance(entry, dict) or not isinstance(entry.get("settings"), dict):
            continue
        for key in list(entry["settings"]):
            name = unset.pop(f"destinations[{index}].settings.{key}", None)
            if name is not None:
                del entry["settings"][key]
                entry.setdefault("unset", {})[key] = name
