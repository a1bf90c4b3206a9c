"""The rules of identity as functions: what a message asserts, which evidence links, who owns whom (identity.md §3)."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import msgspec

from tabard.identity.controls import LEAVING, SEMANTIC, Control, controls_of, object_key, object_named
from tabard.identity.identifiers import NONE, Kind, anonymous, named
from tabard.message.traits import canonical_trait
from tabard.message.types import CONTROL, Message, Trust

Id = TypeVar("Id")
Who = TypeVar("Who", bound="Ranked")

Stamp = tuple[int, str]
"""(event time, message): the total order of all comparisons. The message is its messageId with its source."""


class Rules(msgspec.Struct, frozen=True):
    """The settings of the rules: L, K and M (§3.3), values that never identify besides the built-in ones (A3), and how
    many traits, and memberships, are kept of one identifier.
    """

    max_alias: int = 10
    max_owners: int = 5
    max_claims: int = 1000
    max_traits: int = 1000
    blocked: frozenset[str] = NONE


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What one message asserts, with its identifiers as text. Without a subject it has no effect (A5), but for a group
    call: that writes the traits of its group all the same (wire.md §2.1).

    `traits`: of the subject (identify) or of `group` (group), under one spelling. `inside`: joins or leaves `group`.
    `previous`: the identifiers an alias may mean by its previousId; they link with the subject once seen.
    """

    type: str
    subject: str | None
    device: str | None = None
    email: str | None = None
    previous: tuple[str, ...] = ()
    group: str | None = None
    inside: bool = True
    traits: dict[str, Any] | None = None
    active: bool = True
    claims_email: bool = False


class Ignored(StrEnum):
    """What a message states that its source may not, so that it has no effect; the rest of the message has."""

    CONTROL = "control"
    ALIAS = "alias"
    EMAIL_CLAIM = "email_claim"


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A message as the rules read it: a fact, or controls."""

    fact: Fact | None
    controls: tuple[Control, ...] = ()
    ignored: Ignored | None = None


UNGROUP: Final = "ungroup"

_MAY_CONTROL: Final = ("track", CONTROL)
# Plain integers: an operation on an enum's flags costs as much as reading an identifier.
_ALIAS: Final = int(Trust.ALIAS)
_EMAIL_CLAIM: Final = int(Trust.EMAIL_CLAIM)


def read(message: Message, rules: Rules) -> Reading:
    """What a message says to the rules. Raises `ControlUnreadable`."""
    if message.type not in _MAY_CONTROL:
        fact = fact_of(message, rules)
        return Reading(fact, (), _ignored(message, fact))
    controls = controls_of(message, rules.blocked)
    if controls:
        return Reading(None, controls)
    event = message.body.get("event")
    ignored = isinstance(event, str) and (event in SEMANTIC or event in LEAVING) and not message.trust & Trust.CONTROL
    return Reading(fact_of(message, rules), (), Ignored.CONTROL if ignored else None)


def _ignored(message: Message, fact: Fact) -> Ignored | None:
    trust = int(message.trust)
    if fact.type == "identify":
        claims = fact.email is not None and fact.subject is not None and fact.subject.startswith("user:")
        return Ignored.EMAIL_CLAIM if claims and not trust & _EMAIL_CLAIM else None
    if fact.type == "alias":
        return Ignored.ALIAS if message.previous_id is not None and not trust & _ALIAS else None
    return None


def fact_of(message: Message, rules: Rules) -> Fact:
    """The fact of a call, or of an `ungroup`."""
    blocked = rules.blocked
    kind = message.type
    body = message.body
    user = _named(message.user_id, blocked) if message.user_id else None
    device = _anonymous(message.anonymous_id, blocked) if message.anonymous_id else None
    if kind == "identify":
        return _identify(message, user, device, blocked)
    subject = user or device
    active = _active(body)
    if kind == "group":
        group = _group(message, blocked)
        return Fact(kind, subject, device, group=group, traits=asserted(body.get("traits")), active=active)
    if kind == "alias":
        may = int(message.trust) & _ALIAS and user is not None
        return Fact(kind, subject, device, previous=_previous(message, user, blocked) if may else (), active=active)
    if kind == CONTROL:
        return Fact(UNGROUP, subject, device, group=_group(message, blocked), inside=False)
    event = body.get("event")
    if isinstance(event, str) and event in LEAVING and message.trust & Trust.CONTROL:
        gone = object_named(body, blocked)
        return Fact(UNGROUP, subject, device, group=gone and f"group:{gone}", inside=False, active=active)
    return Fact(kind, subject, device, active=active)


def asserted_by(kind: str, body: dict[str, Any], subject: str | None) -> dict[str, Any]:
    """The traits an identify asserts of its subject, or a group call of its group, under their one spelling.

    An identify whose subject is an e-mail also asserts `email`, unless it says otherwise (§3.4).
    """
    traits = asserted(body.get("traits"))
    if kind == "identify" and subject is not None and subject.startswith("email:"):
        traits.setdefault("email", subject.removeprefix("email:"))
    return traits


def asserted(traits: Any) -> dict[str, Any]:
    """Traits under their one spelling. Where a message has both spellings of a trait, the camelCase one counts."""
    if not isinstance(traits, dict):
        return {}
    found = {}
    for key, value in traits.items():
        name = canonical_trait(key)
        if name == key or name not in traits:
            found[name] = value
    return found


class Ranked(Protocol):
    """Whatever stands for an identifier: its kind is its rank."""

    @property
    def kind(self) -> int: ...


def evidence(subject: Who, device: Who | None, email: Who | None, previous: Iterable[Who]) -> list[tuple[Who, Who]]:
    """The pairs a live fact links, previous or lower first; `email` and `previous` only where they may link (§3.2)."""
    pairs = []
    if device is not None and subject.kind > Kind.ANON:
        pairs.append((device, subject))
    if email is not None and subject.kind == Kind.USER:
        pairs.append((email, subject))
    pairs += [(one, subject) for one in previous if one is not subject]
    return pairs


def as_claim(x: Who, y: Who) -> tuple[Who, Who] | None:
    """Evidence between ranks as (low, high); None for equals, which an alias edge joins."""
    if x.kind == y.kind:
        return None
    return (x, y) if x.kind < y.kind else (y, x)


def owner(claims: Mapping[Id, Stamp], rank: Callable[[Id], int], max_owners: int) -> Id | None:
    """The owner among a class's pooled claimants: highest rank, then earliest; None above K (§3.3, 3 and 4)."""
    if not claims or len(claims) > max_owners:
        return None
    return min(claims, key=lambda who: (-rank(who), claims[who]))


def survivor(members: Iterable[Id], edges: Iterable[tuple[Id, Id, Stamp]]) -> Id:
    """The canonical identifier of a class: never a previousId in it; if several or none, the latest named (§3.3, 6)."""
    inside = frozenset(members)
    if len(inside) == 1:
        return next(iter(inside))
    latest: dict[Id, Stamp] = {}
    retired = set()
    for previous, target, stamp in edges:
        retired.add(previous)
        if target not in latest or latest[target] < stamp:
            latest[target] = stamp
    return max(inside - retired or inside, key=lambda one: latest.get(one, (-1, "")))


def _identify(message: Message, user: str | None, device: str | None, blocked: frozenset[str]) -> Fact:
    email = _email(message.body.get("traits"), blocked)
    subject = user or email or device
    traits = asserted_by("identify", message.body, subject)
    group = object_key(traits, traits.get("objectId"), blocked) if "objectId" in traits else None
    return Fact(
        "identify",
        subject,
        device,
        email,
        group=group and f"group:{group}",
        traits=traits,
        active=_active(message.body),
        claims_email=bool(int(message.trust) & _EMAIL_CLAIM),
    )


def _email(traits: Any, blocked: frozenset[str]) -> str | None:
    value = traits.get("email") if isinstance(traits, dict) else None
    email = _named(value, blocked) if isinstance(value, str) else None
    return email if email is not None and email.startswith("email:") else None


def _previous(message: Message, user: str | None, blocked: frozenset[str]) -> tuple[str, ...]:
    """previousId has no kind: it is the device and the user or address of that text, whichever was seen."""
    both = (anonymous(message.previous_id, blocked), named(message.previous_id, blocked))
    return tuple(one for one in both if one is not None and one != user)


def _group(message: Message, blocked: frozenset[str]) -> str | None:
    if message.group_id is None:
        return None
    traits = message.body.get("traits")
    group = object_key(traits if isinstance(traits, dict) else {}, message.group_id, blocked)
    return group and f"group:{group}"


def _active(body: dict[str, Any]) -> bool:
    context = body.get("context")
    return not (isinstance(context, dict) and context.get("active") is False)


_named: Final = lru_cache(16_384)(named)
_anonymous: Final = lru_cache(16_384)(anonymous)
