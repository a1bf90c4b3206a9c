"""The option "no needless calls": an identify whose mapped request equals the last delivered one is not sent.

Per subscription and subject one hash is kept of what was last delivered, with the configuration version in it, so
that a changed mapping sends everything once more.
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

_encode = msgspec.json.Encoder(order="deterministic").encode


LookUp = Callable[[set[bytes]], Awaitable[Mapping[bytes, bytes]]]
"""Reads the last delivered hashes of subjects."""


class Needless:
    """What was last delivered, as far as it is known here; `unknown` names what has to be looked up first."""

    def __init__(self, compiled: Compiled, look_up: LookUp) -> None:
        self.compiled = compiled
        self.look_up = look_up
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def unknown(self, items: Iterable[Item]) -> set[bytes]:
        """Subjects of these messages whose last delivered hash must be read before the messages are taken."""
        subjects = {
            subject_hash(item.body, id_)
            for item in items
            if item.stored.type == "identify"
            for id_, _ in self.compiled.subscriptions
        }
        return subjects - self._known.keys()

    def learn(self, subjects: Iterable[bytes], found: Mapping[bytes, bytes]) -> None:
        """What was read; a subject that is not in `found` was never delivered to."""
        for subject in subjects:
            self._known[subject] = found.get(subject, b"")
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def is_unchanged(self, entry: Entry, subscription_id: str, planned: Planned) -> bool:
        """Whether sending this would repeat what the destination has already."""
        if entry.type != "identify" or entry.item is None:
            return False
        subject = subject_hash(entry.item.body, subscription_id)
        return self._known.get(subject) == self._hash(planned)

    def delivered(self, entry: Entry, subscription_id: str, planned: Planned, ledger: Ledger) -> None:
        """Remembers what was delivered."""
        if entry.type == "identify" and entry.item is not None:
            subject = subject_hash(entry.item.body, subscription_id)
            self._known[subject] = ledger.delivered_hashes[subject] = self._hash(planned)
            ledger.forgotten_hashes.discard(subject)

    def forget(self, entry: Entry, ledger: Ledger) -> None:
        """A delivery of this subject died: nobody knows what the destination has of it."""
        if entry.item is None:
            return
        for id_, _ in self.compiled.subscriptions:
            subject = subject_hash(entry.item.body, id_)
            self._known[subject] = b""
            ledger.delivered_hashes.pop(subject, None)
            ledger.forgotten_hashes.add(subject)

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


def subject_hash(message: Mapping[str, Any], subscription_id: str) -> bytes:
    """Whom a message is about at one subscription."""
    traits = message.get("traits")
    email = traits.get("email") if isinstance(traits, dict) else None
    subject = [subscription_id, message.get("userId"), message.get("anonymousId") or email]
    return blake2b(_encode(subject), digest_size=HASH_BYTES).digest()
