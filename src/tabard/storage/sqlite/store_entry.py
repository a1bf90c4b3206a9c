"""A fact on its way into the store: the message row it stands in, and its identifiers as nodes."""

from collections.abc import Callable, Sequence
from enum import IntFlag
from typing import Any, Final, NamedTuple

import msgspec

from tabard.identity.rules import UNGROUP, Fact, evidence
from tabard.message.types import CALL_TYPES, CONTROL
from tabard.storage.sqlite.store_nodes import Node

TYPES: Final = (*CALL_TYPES, CONTROL)
"""The types of messages; a row holds the index."""
TYPE_CODES: Final = {name: code for code, name in enumerate(TYPES)}
IDENTIFY: Final = "identify"
GROUP: Final = "group"


class Role(IntFlag):
    """In which roles a message mentions an identifier; none = an earlier copy of the message did."""

    SUBJECT = 1
    DEVICE = 2
    EMAIL = 4
    PREVIOUS = 8
    GROUP = 16
    CONTROL = 32


class MessageFlag(IntFlag):
    """What a message row says of its fact besides the identifiers; ERASED and PURGED: its body is gone."""

    UNGROUP = 1
    CONTROL = 2
    INACTIVE = 4
    CLAIMS_EMAIL = 8
    ERASED = 16
    PURGED = 32
    FACT = UNGROUP | CONTROL | INACTIVE | CLAIMS_EMAIL


# Plain integers for the paths that run once a message: an operation on an enum's flags costs ten times as much.
_SUBJECT, _DEVICE, _EMAIL, _PREVIOUS, _GROUP = (int(role) for role in list(Role)[:5])
_UNGROUP: Final = int(MessageFlag.UNGROUP)
_INACTIVE: Final = int(MessageFlag.INACTIVE)
_CLAIMS_EMAIL: Final = int(MessageFlag.CLAIMS_EMAIL)
TRUST_SHIFT: Final = 8
"""The flags of a row hold its trust from this bit on."""


class Row(NamedTuple):
    """A row of `message`; `body` is empty where it was not asked for."""

    position: int
    source: int
    type: int
    flags: int
    seq: int
    received_at: int
    timestamp: int
    message_id: str
    links: bytes
    body: bytes = b""

    @property
    def trust(self) -> int:
        """What the message may do (`message.types.Trust`)."""
        return self.flags >> TRUST_SHIFT


NO_LINK: Final = -1
UNCHAINED: Final = -2

decode_links: Final = msgspec.msgpack.Decoder(list[int]).decode
encode_links: Final = msgspec.msgpack.Encoder().encode


class Entry:
    """A fact with its nodes. `m` is the message (with its source) in comparisons; `traits` is None where they are
    gone.
    """

    __slots__ = (
        "active", "claims_email", "device", "email", "group", "inside", "m", "position", "previous", "subject", "t",
        "traits", "type",
    )  # fmt: skip

    def __init__(self, position: int, t: int, m: str, kind: str) -> None:
        self.position = position
        self.t = t
        self.m = m
        self.type = kind
        self.subject: Node | None = None
        self.device: Node | None = None
        self.email: Node | None = None
        self.group: Node | None = None
        self.previous: Sequence[Node] = ()
        self.inside = True
        self.traits: dict[str, Any] | None = None
        self.active = True
        self.claims_email = False

    @property
    def held(self) -> tuple[int, str, int]:
        """The entry as holder of a register."""
        return self.t, self.m, self.position

    @property
    def about(self) -> Node | None:
        """Whose life and death are the fact's: its subject's; of a group call that names no person, the group's."""
        return self.group if self.subject is None and self.type == GROUP else self.subject

    def roles(self) -> dict[Node, int]:
        """Node → roles, of all identifiers mentioned."""
        found: dict[Node, int] = {}
        for node, role in (
            (self.subject, _SUBJECT),
            (self.device, _DEVICE),
            (self.email, _EMAIL),
            (self.group, _GROUP),
        ):
            if node is not None:
                found[node] = found.get(node, 0) | role
        for node in self.previous:
            found[node] = found.get(node, 0) | _PREVIOUS
        return found

    def flags(self) -> int:
        """The entry's `MessageFlag`s."""
        return (
            (_UNGROUP if self.type == UNGROUP else 0)
            | (0 if self.active else _INACTIVE)
            | (_CLAIMS_EMAIL if self.claims_email else 0)
        )

    def pairs(self) -> list[tuple[Node, Node]]:
        """The pairs this fact links."""
        if self.subject is None:
            return []
        return evidence(self.subject, self.device, self.email if self.claims_email else None, self.previous)


def entry_of(position: int, t: int, m: str, fact: Fact, node: Callable[[str], Node]) -> Entry:
    """The entry of a fact; `node` gives an identifier by its text."""
    entry = Entry(position, t, m, fact.type)
    if fact.subject is not None:
        entry.subject = node(fact.subject)
    if fact.device is not None:
        entry.device = node(fact.device)
    if fact.email is not None:
        entry.email = node(fact.email)
        entry.claims_email = fact.claims_email
    if fact.group is not None:
        entry.group = node(fact.group)
        entry.inside = fact.inside
    if fact.previous:
        entry.previous = [node(text) for text in fact.previous]
    entry.traits = fact.traits
    entry.active = fact.active
    return entry


def texts_of(fact: Fact) -> list[str]:
    """All identifiers a fact mentions."""
    found = [one for one in (fact.subject, fact.device, fact.email, fact.group) if one is not None]
    return [*found, *fact.previous]
