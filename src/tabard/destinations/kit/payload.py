"""From what a mapping gave to the payload an action declared, or the list of what is wrong with it.

Empty values go first: null where the field does not allow it, '' where its type is not text, and '' at the top
level always. Then each value is taken to its field's type; undeclared members are cut, or pass in an open object.
A payload may hold parts of the message, and serves many destinations: it is read only. Rules: actions.md §7.3. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tabard.destinations.kit.coerce import WrongValue, coercion, kind_of
from tabard.destinations.kit.field import Field

_encode = msgspec.json.Encoder().encode


class Payload(dict[str, Any]):
    """The values that an action sends, by field. One payload serves every destination with that mapping: read only."""

    __slots__ = ("_json", "_json_bytes")

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._json: dict[str, bytes] = {}
        self._json_bytes = 0

    def json(self, name: str) -> bytes:
        """One field's value as JSON, encoded once however many destinations send it. KeyError where it is absent."""
        encoded = self._json.get(name)
        if encoded is None:
            encoded = self._json[name] = _encode(self[name])
        return encoded

    def json_bytes(self) -> int:
        """The length of the whole as JSON."""
        if not self._json_bytes:
            self._json_bytes = 1 + sum(len(name) + len(self.json(name)) + 4 for name in self)
        return self._json_bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the path of the field (`products[0].price`) and the reason, which never holds the value."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class PayloadRefused(ValueError):
    """Values that do not fit the declared fields. `problems` holds every fault."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


Coerce = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From mapped values to the payload; raises PayloadRefused."""

_Step = Callable[[Any, list[Problem]], Any]
"""Takes a value to its type and appends what is wrong, with paths relative to the value."""


def compile_fields(fields: Mapping[str, Field]) -> Coerce:
    """The function from mapped values to a payload of these fields."""
    members = _members(fields, is_open=False, is_root=True)

    def coerce(values: Mapping[str, Any]) -> dict[str, Any]:
        problems: list[Problem] = []
        payload: dict[str, Any] = members(values, problems)
        if problems:
            raise PayloadRefused(problems)
        return payload

    return coerce


def check_settings(fields: Mapping[str, Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an instance: what was given, in the declared types, defaults filled in.

    Raises PayloadRefused, also for a URL that is none to send to, or one with credentials in it unless the field is a
    secret: URLs are shown.
    """
    defaults = {key: declared.default for key, declared in fields.items() if declared.default is not None}
    settings = compile_fields(fields)({**defaults, **given})
    urls = (key for key, declared in fields.items() if declared.format == "uri" and settings.get(key))
    faults = [Problem(key, fault) for key in urls if (fault := _fault_of_url(fields[key], str(settings[key])))]
    if faults:
        raise PayloadRefused(faults)
    return settings


def _fault_of_url(field: Field, url: str) -> str:
    try:
        parts = urlsplit(url)
        is_ours = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_ours = False
    if not is_ours:
        return "should be an http or https URL with a host"
    if "@" in parts.netloc and not field.secret:
        return "holds a user name or password, which would be shown; send them as a header, where there is a setting"
    return ""


def _step(field: Field) -> _Step:
    one = _object(field) if field.type == "object" else _scalar(field)
    return _list(one) if field.multiple else one


def _scalar(field: Field) -> _Step:
    coerce = coercion(field)

    def step(value: Any, problems: list[Problem]) -> Any:
        try:
            return coerce(value)
        except WrongValue as error:
            problems.append(Problem("", str(error)))
            return None

    return step


def _object(field: Field) -> _Step:
    members = _members(field.properties, is_open=field.is_open, is_root=False)

    def step(value: Any, problems: list[Problem]) -> Any:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            return members(value, problems)
        problems.append(Problem("", f"should be an object but it is {kind_of(value)}"))
        return None

    return step


def _list(item_step: _Step) -> _Step:
    def step(value: Any, problems: list[Problem]) -> Any:
        result = []
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            before = len(problems)
            result.append(item_step(item, problems))
            _prefix(problems, before, f"[{index}]")
        return result

    return step


def _members(fields: Mapping[str, Field], *, is_open: bool, is_root: bool) -> _Step:
    if is_open and not fields:
        return lambda values, _problems: values
    steps = {
        key: (_step(field), field.allow_null, _keeps_blank(field, is_root), field.lenient)
        for key, field in fields.items()
    }
    required = tuple(key for key, field in fields.items() if field.required)

    def step(values: Any, problems: list[Problem]) -> Any:
        result = {}
        for key, value in values.items():
            declared = steps.get(key)
            if declared is None:
                if is_open:
                    result[key] = value
                continue
            coerce, allows_null, keeps_blank, is_lenient = declared
            if value is None:
                if allows_null:
                    result[key] = None
            elif value != "" or keeps_blank:
                before = len(problems)
                result[key] = coerce(value, problems)
                if is_lenient and len(problems) > before:
                    del result[key], problems[before:]
                _prefix(problems, before, key)
        problems.extend(Problem(key, "is required") for key in required if key not in result)
        return result

    return step


def _keeps_blank(field: Field, is_root: bool) -> bool:
    return field.type in ("string", "text") and not field.multiple and not is_root


def _prefix(problems: list[Problem], start: int, lead: str) -> None:
    for index in range(start, len(problems)):
        path = problems[index].field
        joint = "" if not path or path.startswith("[") else "."
        problems[index] = Problem(f"{lead}{joint}{path}", problems[index].reason)
