"""Controls: deletions, suppressions and cuts as facts with times, compared with the times of other facts (§3.2)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from tabard.identity.identifiers import named, parsed, usable
from tabard.message.traits import parse_instant
from tabard.message.types import CONTROL, Message, Trust

T = TypeVar("T")

EVERYTHING: Final = "*"
"""The other end of a cut that severs an identifier from all others."""

SEMANTIC: Final = {
    "User Deleted": ("delete",),
    "Delete Person": ("delete",),
    "User Suppressed": ("delete", "suppress"),
    "Suppress Person": ("delete", "suppress"),
    "User Unsuppressed": ("unsuppress",),
    "Unsuppress Person": ("unsuppress",),
    "Object Deleted": ("delete",),
    "Delete Object": ("delete",),
}
"""Customer.io's events that are controls, and their titles (wire.md §4.6). Suppressing there removes and blocks."""

LEAVING: Final = frozenset({"Relationship Deleted", "Delete Relationship"})
"""The events by which a person leaves an object."""

_OBJECTS: Final = frozenset({"Object Deleted", "Delete Object"})


class Control(msgspec.Struct, frozen=True):
    """One control. `ids` of a delete, suppress or unsuppress; of a cut or uncut both ends, the second perhaps `*`.

    `until`: a cut reaches evidence up to this event time (ms), None = for ever.
    """

    kind: str
    ids: tuple[str, ...]
    until: int | None = None


class ControlUnreadable(ValueError):
    """A control record lacks what it is about; it goes to quarantine."""


def controls_of(message: Message, blocked: frozenset[str]) -> tuple[Control, ...]:
    """The controls a message states: those of the admin API, and the semantic events of a source that may.

    An `ungroup` is a fact of its subject and no control. Raises `ControlUnreadable`.
    """
    if message.type == CONTROL:
        return _stated(message.body)
    event = message.body.get("event")
    if message.type != "track" or event not in SEMANTIC or not message.trust & Trust.CONTROL:
        return ()
    whom = object_named(message.body, blocked) if event in _OBJECTS else named(message.user_id, blocked)
    if whom is None:
        return ()
    target = f"group:{whom}" if event in _OBJECTS else whom
    return tuple(Control(kind, (target,)) for kind in SEMANTIC[event])


def deleted_in(controls: Iterable[Control]) -> tuple[str, ...]:
    """The people that controls delete, as text."""
    named = (id_ for control in controls if control.kind == "delete" for id_ in control.ids)
    return tuple(id_ for id_ in named if not id_.startswith("group:"))


def object_named(body: dict[str, Any], blocked: frozenset[str]) -> str | None:
    """The group an event's properties name by objectId and objectTypeId."""
    properties = body.get("properties")
    return object_key(properties, properties.get("objectId"), blocked) if isinstance(properties, dict) else None


def object_key(typed: dict[str, Any], value: Any, blocked: frozenset[str]) -> str | None:
    """The one key of an object: its id, with `type/` before it unless the type is Customer.io's default, 1."""
    text = usable(value, blocked)
    if text is None:
        return None
    kind = usable(typed.get("objectTypeId", typed.get("object_type_id")), frozenset())
    return text if kind in (None, "1") else f"{kind}/{text}"


_FORMS: Final = {
    "delete": '{"type": "delete", "ids": ["user:u1"]}',
    "suppress": '{"type": "suppress", "ids": ["user:u1"]}',
    "unsuppress": '{"type": "unsuppress", "ids": ["user:u1"]}',
    "cut": '{"type": "cut", "a": "user:u1", "b": "anon:a1"}',
    "uncut": '{"type": "uncut", "a": "user:u1", "b": "anon:a1"}',
}
"""The controls that name identifiers, and how each is written."""


def _stated(body: dict[str, Any]) -> tuple[Control, ...]:
    kind = body.get("type")
    if kind == "ungroup":
        return ()
    if not isinstance(kind, str) or kind not in _FORMS:
        raise ControlUnreadable(f"there is no control {kind!r}; there are {', '.join([*_FORMS, 'ungroup'])}")
    try:
        if kind not in ("cut", "uncut"):
            ids = _named(body, kind, "ids", list)
            return (Control(kind, tuple(dict.fromkeys(parsed(str(one)) for one in ids))),)
        ends = [_named(body, kind, end, str) for end in ("a", "b")]
        pair = tuple(EVERYTHING if end == EVERYTHING else parsed(end) for end in ends)
        until = _until(body) if kind == "cut" else None
        # An identifier has no link with itself that could be cut.
        return (Control(kind, pair, until),) if pair[0] != pair[1] else ()
    except ValueError as problem:
        raise ControlUnreadable(f"{kind}: {problem}") from problem


def _named(body: dict[str, Any], kind: str, field: str, wanted: type[T]) -> T:
    """What a control names in a field."""
    value = body.get(field)
    if not isinstance(value, wanted):
        missing = "it names no" if value is None else f"{value!r} cannot be its"
        raise ValueError(f"{missing} `{field}`; write it as {_FORMS[kind]}")  # noqa: TRY004 (a value of a document)
    return value


def _until(body: dict[str, Any]) -> int | None:
    if body.get("until") is None:
        return None
    until = parse_instant(body["until"])
    if until is None:
        raise ValueError(f"`until` {body['until']!r} is no time; write ISO 8601, such as 2026-01-31T12:00:00Z")
    return until


class Switch(msgspec.Struct, frozen=True, order=True):
    """One control as it bears on one identifier; sorted by (t, m). `other` is the far end of a cut."""

    t: int
    m: str
    kind: str
    other: str = ""
    until: int | None = None

    def cuts(self, t: int) -> bool:
        """Whether it is a cut that reaches evidence of `t`."""
        return self.kind == "cut" and (self.until is None or t <= self.until)


def dead(switches: Sequence[Switch], t: int) -> bool:
    """Whether an identifier is dead at `t`: deleted at or after it, or suppressed by the latest switch up to it."""
    return silencing(switches, t) is not None


def silencing(switches: Sequence[Switch], t: int) -> Switch | None:
    """The control by which an identifier is dead at `t`: the first delete at or after it, else a suppress."""
    for switch in switches:
        if switch.kind == "delete" and t <= switch.t:
            return switch
    latest = suppression(switches, t)
    return latest if latest is not None and latest.kind == "suppress" else None


def suppression(switches: Sequence[Switch], t: int) -> Switch | None:
    """The suppress or unsuppress that holds at `t`: the latest up to it."""
    return next((one for one in reversed(switches) if one.t <= t and one.kind in ("suppress", "unsuppress")), None)


def severed(switches: Sequence[Switch], other: Sequence[Switch], pair: tuple[str, str], t: int) -> bool:
    """Whether the pair is cut for evidence at `t`. Its arguments are those of `cut_or_uncut`."""
    latest = cut_or_uncut(switches, other, pair)
    return latest is not None and latest.cuts(t)


def cut_or_uncut(switches: Sequence[Switch], other: Sequence[Switch], pair: tuple[str, str]) -> Switch | None:
    """The switch that decides about a pair: the latest cut or uncut of it, or of either with `*`.

    `switches` are those of the pair's first identifier, `other` those of its second.
    """
    latest: Switch | None = None
    for side, far in ((switches, pair[1]), (other, pair[0])):
        for switch in side:
            bears = switch.kind in ("cut", "uncut") and switch.other in (far, EVERYTHING)
            if bears and (latest is None or (latest.t, latest.m) < (switch.t, switch.m)):
                latest = switch
    return latest
