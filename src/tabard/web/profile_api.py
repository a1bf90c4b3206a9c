"""The Segment-compatible Profile API (wire.md §6.1): same paths, parameters, shapes and status codes."""

import base64
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.message.traits import iso_ms
from tabard.message.types import StoredMessage
from tabard.storage.interface import Profile
from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.errors import Refused
from tabard.web.pages.shown import instant_of, message_json

_KINDS: Final = {"user_id": "user", "email": "email", "anonymous_id": "anon"}
_TYPES: Final = {kind: name for name, kind in _KINDS.items()}
_LIMIT_MAX: Final = 200
_EVENTS_SCANNED_MAX: Final = 10_000


class ProfileApiRefused(Exception):
    """A refusal in this API's own error shape: `{"error": {"code", "message"}}`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def refused(_: Request, problem: Exception) -> Response:
    """Answers a `ProfileApiRefused`."""
    refusal = cast("ProfileApiRefused", problem)
    return JSONResponse({"error": {"code": refusal.code, "message": str(refusal)}}, refusal.status)


def profile_api(request: Request) -> Response:
    """`GET /v1/spaces/{space}/collections/{collection}/profiles/{external_id}/{part}`."""
    try:
        auth.require_admin(request)
    except Refused as problem:
        raise ProfileApiRefused(401, "authentication_error", str(problem)) from problem
    part = _PARTS.get(request.path_params["part"])
    if part is None:
        raise ProfileApiRefused(404, "not_found", f"no such resource; there are {', '.join(_PARTS)}")
    answer = part(request)
    return JSONResponse(answer, headers={"Request-Id": request.app.state.deps.clock.new_id()})


def _profile(request: Request) -> Profile:
    deps: Deps = request.app.state.deps
    if request.path_params["collection"] != "users":
        raise ProfileApiRefused(404, "not_found", "this resource exists in the collection `users` only")
    kind, _, value = request.path_params["external_id"].partition(":")
    if kind == "use" or not value:
        profile = deps.readers().profiles.profile_by_id(request.path_params["external_id"])
    elif kind in _KINDS:
        text = value.lower() if kind == "email" else value
        profile = deps.readers().profiles.profile(f"{_KINDS[kind]}:{text}")
    else:
        raise ProfileApiRefused(400, "validation_error", f"identifier types are {', '.join(_KINDS)}, not {kind!r}")
    if profile is None:
        raise ProfileApiRefused(404, "not_found", "Profile not found.")
    return profile


def _traits(request: Request) -> Json:
    deps: Deps = request.app.state.deps
    if request.path_params["collection"] == "accounts":
        return {"traits": _cut(request, _account(request)["traits"])} | _cursor(request, 0, False)
    profile = _profile(request)
    traits: dict[str, Any] = profile.traits
    if request.query_params.get("verbose") == "true":
        known = deps.readers().identity.traits(profile.canonical) or {}
        traits = {
            key: {"value": e["value"], "source_id": e["source"], "updated_at": e["timestamp"]}
            for key, e in known.items()
        }
    rows, cursor = _page(request, sorted(_cut(request, traits).items()), 10)
    return {"traits": dict(rows)} | cursor


def _account(request: Request) -> Json:
    deps: Deps = request.app.state.deps
    group_id = request.path_params["external_id"].partition(":")[2]
    group = deps.readers().identity.group(group_id)
    if group is None:
        raise ProfileApiRefused(404, "not_found", "Account not found.")
    return group


def _external_ids(request: Request) -> Json:
    deps: Deps = request.app.state.deps
    profile = _profile(request)
    graph = deps.readers().identity.identity(profile.canonical) or {"nodes": []}
    wanted = set(filter(None, request.query_params.get("include", "").split(",")))
    data = []
    for node in graph["nodes"]:
        kind, _, value = node["identifier"].partition(":")
        if wanted and _TYPES[kind] not in wanted:
            continue
        data.append({
            "source_id": node.get("source"), "collection": "users", "id": value, "type": _TYPES[kind],
            "created_at": node.get("firstSeen"), "encoding": "none", "first_message_id": node.get("firstMessageId"),
        })  # fmt: skip
    rows, cursor = _page(request, data, 25)
    return {"data": rows} | cursor


def _events(request: Request) -> Json:
    deps: Deps = request.app.state.deps
    profile = _profile(request)
    try:
        start, end = instant_of(request, "start"), instant_of(request, "end")
    except Refused as problem:
        raise ProfileApiRefused(400, "validation_error", str(problem)) from problem
    include = set(filter(None, request.query_params.get("include", "").split(",")))
    exclude = set(filter(None, request.query_params.get("exclude", "").split(",")))
    limit, offset = _limit(request, 10), _offset(request)

    def wanted(message: StoredMessage) -> bool:
        event = message_json(message)["message"] or {}
        name = event.get("event", message.type)
        return (
            (start is None or message.timestamp >= start)
            and (end is None or message.timestamp < end)
            and (not include or name in include)
            and name not in exclude
        )

    before = None if offset == 0 else offset
    timeline = deps.readers().profiles.timeline(profile.canonical, _EVENTS_SCANNED_MAX, before)
    found = list(islice(filter(wanted, timeline), limit + 1))
    more = len(found) > limit
    rows = [_event(message, profile) for message in found[:limit]]
    return {"data": rows} | _cursor(request, found[limit - 1].position if more else 0, more)


def _event(message: StoredMessage, profile: Profile) -> Json:
    body = message_json(message)["message"] or {}
    return {
        "external_ids": [_external_id(identifier) for identifier in profile.identifiers],
        "context": body.get("context", {}),
        "type": message.type,
        "message_id": message.message_id,
        "source_id": message.source,
        "timestamp": iso_ms(message.timestamp),
        "properties": body.get("properties", body.get("traits", {})),
        "event": body.get("event"),
        "related": {"users": [{"id": profile.profile_id}]},
    }


def _external_id(identifier: str) -> Json:
    kind, _, value = identifier.partition(":")
    return {"collection": "users", "type": _TYPES[kind], "id": value, "encoding": "none"}


def _metadata(request: Request) -> Json:
    profile = _profile(request)
    return {
        "metadata": {
            "created_at": iso_ms(profile.first_seen),
            "updated_at": iso_ms(profile.last_seen),
            "expires_at": None,
        }
    }


def _links(request: Request) -> Json:
    if request.path_params["collection"] == "accounts":
        linked = [{"to_collection": "users", "external_ids": [_external_id(i)]} for i in _account(request)["members"]]
    else:
        linked = [
            {"to_collection": "accounts", "external_ids": [{"type": "group_id", "id": group, "encoding": "none"}]}
            for group in _profile(request).groups
        ]
    rows, cursor = _page(request, linked, 20)
    return {"data": rows} | cursor


_PARTS: Final[dict[str, Callable[[Request], Json]]] = {
    "traits": _traits,
    "external_ids": _external_ids,
    "events": _events,
    "metadata": _metadata,
    "links": _links,
}


def _cut(request: Request, traits: Json) -> Json:
    include = set(filter(None, request.query_params.get("include", "").split(",")))
    return {key: value for key, value in traits.items() if not include or key in include}


def _page(request: Request, rows: list[Any], default: int) -> tuple[list[Any], Json]:
    limit, offset = _limit(request, default), _offset(request)
    more = offset + limit < len(rows)
    return rows[offset : offset + limit], _cursor(request, offset + limit, more)


def _limit(request: Request, default: int) -> int:
    text = request.query_params.get("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= _LIMIT_MAX:
        raise ProfileApiRefused(400, "validation_error", f"limit must be a whole number from 1 to {_LIMIT_MAX}")
    return int(text)


def _offset(request: Request) -> int:
    text = request.query_params.get("next", "")
    try:
        return int(base64.urlsafe_b64decode(text)) if text else 0
    except ValueError as problem:
        raise ProfileApiRefused(400, "validation_error", "next must be the cursor of an earlier answer") from problem


def _cursor(request: Request, following: int, more: bool) -> Json:
    token = base64.urlsafe_b64encode(str(following).encode()).decode() if more else ""
    return {"cursor": {"url": request.url.path, "has_more": more, "next": token, "limit": _limit(request, 10)}}
