"""A person or an account with its messages, as the Profile API shows them (wire.md §6.1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from tabard.identity.identifiers import anonymous, named
from tabard.message.shown import message_document
from tabard.message.traits import iso_ms
from tabard.message.types import StoredMessage, offset_of, partition_of
from tabard.storage.interface import Group, MessageReader, Profile
from tabard.web.deps import Json, Readers

ID_PREFIX: Final = "use_"
"""Stands before a profile id."""
MESSAGES_LOOKED_AT_MAX: Final = 10_000
POSITIONS_LOOKED_AT_MAX: Final = 100_000
FIRSTS_LOOKED_AT_MAX: Final = 1000

_TYPES: Final = {"user": "user_id", "email": "email", "anon": "anonymous_id", "group": "group_id"}
_CHUNK: Final = 200


@dataclass(frozen=True)
class Subject:
    """Whom the messages are about.

    `identifiers`: as text such as `user:u1`, of an account its one `group:acme`. `timeline(limit, before)`: messages,
    the latest resolved first. `positions(limit, after)`: where they are, oldest first, the latest `limit`. `person`:
    the profile id of whom a message is about, None for nobody who is known.
    """

    identifiers: Sequence[str]
    timeline: Callable[[int, int | None], Sequence[StoredMessage]]
    positions: Callable[[int, int | None], list[int]]
    person: Callable[[StoredMessage], str | None]


def user(profile: Profile, readers: Readers) -> Subject:
    """A person."""
    name, profiles = profile.canonical, readers.profiles
    return Subject(
        identifiers=profile.identifiers,
        timeline=lambda limit, before: list(profiles.timeline(name, limit, before)),
        positions=lambda limit, after: profiles.positions(name, limit, after),
        person=lambda _: profile.profile_id,
    )


def account(group: Group, readers: Readers) -> Subject:
    """A group: its messages are the calls that name it."""
    name, identity = group.group_id, readers.identity

    def person(message: StoredMessage) -> str | None:
        mentioned = next(iter(_mentioned(message)), None)
        profile = readers.profiles.profile(mentioned) if mentioned else None
        return profile.profile_id if profile else None

    return Subject(
        identifiers=[f"group:{name}"],
        timeline=lambda limit, before: identity.group_timeline(name, limit, before),
        positions=lambda limit, after: identity.group_positions(name, limit, after),
        person=person,
    )


def external_id(identifier: str) -> Json:
    """An identifier as this API writes it."""
    kind, _, value = identifier.partition(":")
    collection = "accounts" if kind == "group" else "users"
    return {"collection": collection, "type": _TYPES[kind], "id": value, "encoding": "none"}


def newest_first(subject: Subject, before: int | None = None) -> Iterator[StoredMessage]:
    """The subject's messages, the latest resolved first, read as they are asked for."""
    while True:
        found = subject.timeline(_CHUNK, before)
        yield from found
        if len(found) < _CHUNK:
            return
        before = found[-1].position


def oldest_first(subject: Subject, messages: MessageReader, after: int | None) -> tuple[Iterator[StoredMessage], Json]:
    """The subject's messages behind a position, oldest first; of more than 100,000 the latest, and that it is so."""
    positions = subject.positions(POSITIONS_LOOKED_AT_MAX + 1, after)
    kept = positions[-POSITIONS_LOOKED_AT_MAX:]
    found = (message for position in kept for message in messages.read(partition_of(position), offset_of(position), 1))
    if len(kept) == len(positions):
        return found, {}
    first = next(found)
    return chain((first,), found), {"truncated": True, "from": iso_ms(first.timestamp)}


def latest(subject: Subject) -> tuple[list[StoredMessage], Json]:
    """The subject's messages, newest first; of more than 1,000 the latest, and that these are not all."""
    known = list(islice(newest_first(subject), FIRSTS_LOOKED_AT_MAX + 1))
    if len(known) <= FIRSTS_LOOKED_AT_MAX:
        return known, {}
    return known[:-1], {"truncated": True, "from": iso_ms(known[-2].timestamp)}


def first_mentions(subject: Subject) -> tuple[dict[str, StoredMessage], Json]:
    """Identifier → the earliest message that carries it; none, and what was looked at, where there are too many."""
    firsts: dict[str, StoredMessage] = {}
    known, part = latest(subject)
    for message in [] if part else sorted(known, key=moment, reverse=True):
        of_group = [one for one in subject.identifiers if one.startswith("group:")]
        firsts |= dict.fromkeys(of_group or _mentioned(message), message)
    return firsts, part


def moment(message: StoredMessage) -> tuple[int, str]:
    """When it happened: the order of facts, whatever order they arrived in."""
    return message.timestamp, message.message_id


def filtered(
    messages: Iterator[StoredMessage], wanted: Callable[[StoredMessage], bool], limit: int
) -> tuple[list[StoredMessage], int | None]:
    """At most `limit` wanted ones of the first 10,000, and the position to go on behind, None at the end."""
    found: list[StoredMessage] = []
    last = None
    for looked_at, message in enumerate(messages):
        if looked_at == MESSAGES_LOOKED_AT_MAX:
            return found, last
        last = message.position
        if wanted(message):
            if len(found) == limit:
                return found, found[-1].position
            found.append(message)
    return found, None


def event(message: StoredMessage, subject: Subject) -> Json:
    """A message as this API's event."""
    body = message_document(message)["message"] or {}
    person = subject.person(message)
    return {
        "external_ids": [external_id(identifier) for identifier in subject.identifiers],
        "context": body.get("context", {}),
        "type": message.type,
        "message_id": message.message_id,
        "source_id": message.source,
        "timestamp": iso_ms(message.timestamp),
        "properties": body.get("properties", body.get("traits", {})),
        "event": body.get("event"),
        "related": {"users": [{"id": f"{ID_PREFIX}{person}"}] if person else []},
    }


def _mentioned(message: StoredMessage) -> list[str]:
    """The identifiers of people that a message carries, its subject first."""
    body = message_document(message)["message"] or {}
    traits = body.get("traits") if message.type == "identify" else None
    email = traits.get("email") if isinstance(traits, dict) else None
    found = (named(body.get("userId")), named(email), anonymous(body.get("anonymousId")))
    return [identifier for identifier in found if identifier]
