"""The option "no needless calls": an identify whose mapped request equals the last delivered one is not sent.

Per subscription and identifier one hash is kept of what was last delivered, with the configuration version in it, so
that a changed mapping sends everything once more. An identify is unchanged if its hash is the last one of each of its
identifiers: whatever else was delivered to any of them meanwhile makes it needed. Whatever may have changed the person
by another way (a replay, a late delivery, a merge, an erasure) makes it needed too.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from tabard.delivery.compiled import Compiled
from tabard.delivery.entry import Entry, Item
from tabard.delivery.ledger import Ledger
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.plan import Planned

HASH_BYTES = 16
KNOWN_MAX = 50_000
_DELETED = "User Deleted"

_encode = msgspec.json.Encoder(order="deterministic").encode


LookUp = Callable[[set[bytes]], Awaitable[Mapping[bytes, bytes]]]
"""Reads the last delivered hashes of subjects."""


class Needless:
    """What was last delivered, as far as it is known here; `unknown` names what has to be looked up first.

    One for all consumers of a destination instance. What changes goes with the commits of its live consumer.
    """

    def __init__(self, compiled: Compiled, look_up: LookUp, ledger: Ledger) -> None:
        self.compiled = compiled
        self.look_up = look_up
        self._ledger = ledger
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def unknown(self, items: Iterable[Item]) -> set[bytes]:
        """Subjects of these messages whose last delivered hash must be read before the messages are taken."""
        subjects = {
            subject
            for item in items
            if item.stored.type == "identify"
            for id_, _ in self.compiled.subscriptions
            for subject in _subjects(item.body, id_)
        }
        return subjects - self._known.keys()

    def learn(self, subjects: Iterable[bytes], found: Mapping[bytes, bytes]) -> None:
        """What was read; a subject that is not in `found` was never delivered to."""
        for subject in subjects:
            # What was delivered or forgotten since the reading began is newer.
            self._known.setdefault(subject, found.get(subject, b""))
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def is_unchanged(self, entry: Entry, subscription_id: str, planned: Planned) -> bool:
        """Whether sending this would repeat what the destination has already, under every identifier of it."""
        if entry.type != "identify" or entry.item is None:
            return False
        last = {self._known.get(subject) for subject in _subjects(entry.item.body, subscription_id)}
        return last == {self._hash(planned)}

    def delivered(self, entry: Entry, subscription_id: str, planned: Planned) -> None:
        """Live traffic has delivered this: remembers it, or forgets its people where more than traits changed."""
        action = planned.subscription.action
        if entry.item is None:
            return
        if entry.type == "alias" or action.erases or action.merges or entry.late or _deletes(entry.item.body):
            self.forget(entry)
        elif entry.type == "identify":
            hash_ = self._hash(planned)
            for subject in _subjects(entry.item.body, subscription_id):
                self._known[subject] = self._ledger.delivered_hashes[subject] = hash_
                self._ledger.forgotten_hashes.discard(subject)

    def forget(self, entry: Entry) -> None:
        """Nobody knows any more what the destination has of a message's people: it died, or went another way."""
        if entry.item is not None:
            self.forget_people(_identifiers(entry.item.body))

    def forget_people(self, identifiers: Iterable[str]) -> None:
        """The same of identifiers as text (`user:u1`): the destination was asked to erase them."""
        for identifier in identifiers:
            for id_, _ in self.compiled.subscriptions:
                subject = _subject(identifier, id_)
                self._known[subject] = b""
                self._ledger.delivered_hashes.pop(subject, None)
                self._ledger.forgotten_hashes.add(subject)

    def _hash(self, planned: Planned) -> bytes:
        lasting = _lasting(planned.subscription.action.fields, planned.payload)
        text = self.compiled.version.to_bytes(8, "big") + _encode(lasting)
        return blake2b(text, digest_size=HASH_BYTES).digest()


def _lasting(fields: Mapping[str, Field], payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a payload says of its subject: without what differs with every message."""
    found: dict[str, Any] = {}
    for key, value in payload.items():
        members = fields[key].volatile_members
        if members and isinstance(value, dict):
            found[key] = {name: each for name, each in value.items() if name not in members}
        elif not fields[key].volatile:
            found[key] = value
    return found


def _subjects(message: Mapping[str, Any], subscription_id: str) -> list[bytes]:
    return [_subject(identifier, subscription_id) for identifier in _identifiers(message)]


def _subject(identifier: str, subscription_id: str) -> bytes:
    """An identifier at one subscription."""
    return blake2b(_encode([subscription_id, identifier]), digest_size=HASH_BYTES).digest()


def _identifiers(message: Mapping[str, Any]) -> list[str]:
    """All that a destination may know a message's people by, as text."""
    traits = message.get("traits")
    email = traits.get("email") if isinstance(traits, dict) else None
    previous = message.get("previousId")
    named = (
        ("user", message.get("userId")), ("anon", message.get("anonymousId")), ("email", email), ("user", previous),
        ("anon", previous),
    )  # fmt: skip
    return [f"{kind}:{value}" for kind, value in named if value]


def _deletes(message: Mapping[str, Any]) -> bool:
    return message.get("event") == _DELETED
