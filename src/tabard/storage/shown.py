"""What the store answers about people, as JSON data: the same on the command line and over HTTP."""

from typing import Any

from tabard.message.traits import iso_ms
from tabard.message.types import position_text
from tabard.storage.interface import (
    AsOf,
    Behind,
    Explanation,
    IdentityGraph,
    Profile,
    Reason,
    TraitHistory,
    TraitWrite,
)

Json = dict[str, Any]


def profile_json(profile: Profile) -> Json:
    """A profile as the API shows it; times in ISO-8601."""
    shown = {
        "profileId": profile.profile_id,
        "canonical": profile.canonical,
        "identifiers": list(profile.identifiers),
        "traits": profile.traits,
        "groups": list(profile.groups),
        "events": profile.events,
        "firstSeen": iso_ms(profile.first_seen),
        "lastSeen": iso_ms(profile.last_seen),
    }
    return shown | _truncated(profile)


def as_of_json(past: AsOf, instant: int) -> Json:
    """A profile as the events up to a time (ms) made it."""
    return {"asOf": iso_ms(instant), **profile_json(past.profile)}


def traits_json(provenance: dict[str, TraitWrite]) -> Json:
    """Each trait with the write that is shown."""
    return {key: write_json(write) for key, write in provenance.items()}


def write_json(write: TraitWrite) -> Json:
    """One write of a trait: value, event time, source, message, and the write it replaced (not what that replaced)."""
    before = write.replaced
    return _write(write) | {"replaced": before and _write(before)} | _truncated(write)


def history_json(history: TraitHistory) -> Json:
    """The writes of a trait; `truncated` and `from` where only the messages from an event time on were looked at."""
    shown = {"history": [write_json(write) for write in history.writes]}
    return shown if history.since is None else shown | {"truncated": True, "from": iso_ms(history.since)}


def _truncated(answer: Profile | TraitWrite | Explanation | IdentityGraph) -> Json:
    return {"truncated": True} if answer.truncated else {}


def explanation_json(explanation: Explanation) -> Json:
    """Why these identifiers are one person (`together`) and why near misses are not (`apart`)."""
    return {
        "profileId": explanation.profile_id,
        "canonical": explanation.canonical,
        "together": [reason_json(reason) for reason in explanation.together],
        "apart": [reason_json(reason) for reason in explanation.apart],
    } | _truncated(explanation)


def reason_json(reason: Reason) -> Json:
    """A conclusion in a sentence, and the message or control behind it."""
    return {
        "identifier": reason.identifier,
        "other": reason.other,
        "name": reason.name,
        "sentence": reason.sentence,
        "message": behind_json(reason.message),
    }


def graph_json(graph: IdentityGraph) -> Json:
    """The identifiers of a profile and each piece of evidence between two of them with its message."""
    evidence = [
        {"low": claim.low, "high": claim.high, "kind": claim.kind, "message": behind_json(claim.message)}
        for claim in graph.evidence
    ]
    return {"nodes": list(graph.nodes), "evidence": evidence} | _truncated(graph)


def _write(write: TraitWrite) -> Json:
    message = write.message
    return {
        "value": write.value,
        "identifier": write.identifier,
        "timestamp": iso_ms(message.timestamp),
        "source": message.source,
        "messageId": message.message_id,
    }


def behind_json(message: Behind | None) -> Json | None:
    """The message or control behind a conclusion; its position and time as text."""
    if message is None:
        return None
    return {
        "messageId": message.message_id,
        "type": message.type,
        "source": message.source,
        "timestamp": iso_ms(message.timestamp),
        "position": position_text(message.position),
    }
