"""What pages and twins have in common: query parameters with limits, and messages, profiles and reasons as JSON."""

from typing import Any, Final

from starlette.requests import Request

from tabard.message.traits import iso_ms, parse_instant
from tabard.message.types import position_text
from tabard.storage.interface import Behind, Explanation, IdentityGraph, Profile, Reason, TraitHistory, TraitWrite
from tabard.web.errors import Refused

LIMIT_MAX: Final = 200
_DIGITS_MAX: Final = 18

Json = dict[str, Any]


def number_of(text: str) -> int | None:
    """A whole number in decimal digits, None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None


def limit_of(request: Request, default: int = 50) -> int:
    """The `limit` parameter. Raises `Refused` if it is no number from 1 to 200."""
    text = request.query_params.get("limit", str(default))
    limit = number_of(text)
    if limit is None or not 1 <= limit <= LIMIT_MAX:
        raise Refused("bad_request", f"limit must be a whole number from 1 to {LIMIT_MAX}, not {text!r}")
    return limit


def place_of(request: Request, name: str) -> int | None:
    """A parameter that holds the `next` of an earlier answer, None where absent. Raises `Refused`."""
    text = request.query_params.get(name)
    if not text:
        return None
    place = number_of(text)
    if place is None:
        raise Refused("bad_request", f"{name} must be the `next` value of an earlier answer")
    return place


def instant_of(request: Request, name: str) -> int | None:
    """A time parameter in milliseconds, None where absent. Raises `Refused` for what is no time."""
    text = request.query_params.get(name)
    if not text:
        return None
    instant = parse_instant(text)
    if instant is None:
        raise Refused("bad_request", f"{name} must be an ISO-8601 time or an epoch number, not {text!r}")
    return instant


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
        "together": [_reason(reason) for reason in explanation.together],
        "apart": [_reason(reason) for reason in explanation.apart],
    } | _truncated(explanation)


def graph_json(graph: IdentityGraph) -> Json:
    """The identifiers of a profile and each piece of evidence between two of them with its message."""
    evidence = [
        {"low": claim.low, "high": claim.high, "kind": claim.kind, "message": _behind(claim.message)}
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


def _reason(reason: Reason) -> Json:
    return {
        "identifier": reason.identifier,
        "other": reason.other,
        "name": reason.name,
        "sentence": reason.sentence,
        "message": _behind(reason.message),
    }


def _behind(message: Behind | None) -> Json | None:
    if message is None:
        return None
    return {
        "messageId": message.message_id,
        "type": message.type,
        "source": message.source,
        "timestamp": iso_ms(message.timestamp),
        "position": position_text(message.position),
    }
