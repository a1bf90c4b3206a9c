"""The Segment-compatible Profile API (wire.md §6.1): same paths, parameters, shapes and status codes."""

import base64
from collections.abc import Callable
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.identity.identifiers import anonymous, named
from tabard.message.shown import message_document
from tabard.message.traits import canonical_trait, iso_ms
from tabard.message.types import StoredMessage
from tabard.storage.interface import Group, Profile, TraitWrite
from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.errors import Refused
from tabard.web.pages.shown import LIMIT_MAX, instant_of, number_of
from tabard.web.profile_subject import (
    ID_PREFIX,
    Subject,
    account,
    event,
    external_id,
    filtered,
    first_mentions,
    latest,
    moment,
    newest_first,
    oldest_first,
    user,
)

_READ_AS: Final[dict[str, Callable[[str], str | None]]] = {
    "user_id": named,
    "email": lambda value: f"email:{value.strip().lower()}",
    "anonymous_id": anonymous,
}
_LIMITS: Final = {"traits": 10, "external_ids": 25, "events": 10, "metadata": 1, "links": 20}


class ProfileApiRefused(Exception):
    """A refusal in this API's own error shape: `{"error": {"code", "message"}}`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def refused(request: Request, problem: Exception) -> Response:
    """Answers a `ProfileApiRefused`."""
    refusal = cast("ProfileApiRefused", problem)
    body = {"error": {"code": refusal.code, "message": str(refusal)}}
    return JSONResponse(body, refusal.status, _request_id(request))


def profile_api(request: Request) -> Response:
    """`GET /v1/spaces/{space}/collections/{collection}/profiles/{external_id}/{part}`."""
    try:
        auth.require_admin(request)
    except Refused as problem:
        raise ProfileApiRefused(401, "authentication_error", str(problem)) from problem
    part = _PARTS.get((request.path_params["collection"], request.path_params["part"]))
    if part is None:
        known = ", ".join(f"{collection}/…/{name}" for collection, name in _PARTS)
        raise ProfileApiRefused(404, "not_found", f"no such resource; there are {known}")
    return JSONResponse(part(request), headers=_request_id(request))


def _request_id(request: Request) -> dict[str, str]:
    return {"Request-Id": request.app.state.deps.clock.new_id()}


def _deps(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


def _profile(request: Request) -> Profile:
    profiles = _deps(request).readers().profiles
    external_id = request.path_params["external_id"]
    kind, colon, value = external_id.partition(":")
    if not colon:
        profile = profiles.profile_by_id(external_id.removeprefix(ID_PREFIX))
    elif kind in _READ_AS:
        identifier = _READ_AS[kind](value)
        profile = profiles.profile(identifier) if identifier else None
    else:
        raise ProfileApiRefused(400, "validation_error", f"identifier types are {', '.join(_READ_AS)}, not {kind!r}")
    if profile is None:
        raise ProfileApiRefused(404, "not_found", "Profile not found.")
    return profile


def _account(request: Request) -> Group:
    kind, _, group_id = request.path_params["external_id"].partition(":")
    if kind != "group_id":
        raise ProfileApiRefused(400, "validation_error", f"accounts are named group_id:ID, not {kind!r}")
    group = _deps(request).readers().identity.group(group_id)
    if group is None:
        raise ProfileApiRefused(404, "not_found", "Account not found.")
    return group


def _subject(request: Request) -> Subject:
    readers = _deps(request).readers()
    if request.path_params["collection"] == "accounts":
        return account(_account(request), readers)
    return user(_profile(request), readers)


def _traits(request: Request) -> Json:
    profile = _profile(request)
    traits = profile.traits
    if _is_verbose(request):
        written = _deps(request).readers().identity.provenance(profile.canonical)
        traits = {key: _verbose(value, written.get(key)) for key, value in traits.items()}
    return _traits_page(request, traits)


def _verbose(value: Any, written: TraitWrite | None) -> Json:
    """A derived trait (the full name) was written by nobody."""
    return {
        "value": value,
        "source_id": written.message.source if written else None,
        "updated_at": iso_ms(written.message.timestamp) if written else None,
    }


def _account_traits(request: Request) -> Json:
    return _traits_page(request, _account(request).traits)


def _traits_page(request: Request, traits: Json) -> Json:
    # Audiences and computed traits do not exist here: asked for by class, there are none.
    wanted = {} if request.query_params.get("class") else traits
    include = {canonical_trait(name) for name in _names(request, "include")}
    rows = [item for item in sorted(wanted.items()) if not include or item[0] in include]
    shown, cursor = _page(request, rows)
    return {"traits": dict(shown)} | cursor


def _external_ids(request: Request) -> Json:
    subject = _subject(request)
    include = _names(request, "include")
    firsts, part = first_mentions(subject)
    data = []
    for identifier in subject.identifiers:
        shown, first = external_id(identifier), firsts.get(identifier)
        if include and shown["type"] not in include:
            continue
        data.append(
            shown
            | {
                "source_id": first.source if first else None,
                "created_at": iso_ms(first.timestamp) if first else None,
                "first_message_id": first.message_id if first else None,
            }
        )
    rows, cursor = _page(request, data)
    return {"data": rows} | cursor | part


def _events(request: Request) -> Json:
    subject = _subject(request)
    wanted = _event_filter(request)
    limit = _limit(request)
    if request.query_params.get("sort", "desc") not in ("asc", "desc"):
        raise ProfileApiRefused(400, "validation_error", "sort is asc or desc")
    part: Json = {}
    if request.query_params.get("sort") == "asc":
        messages, part = oldest_first(subject, _deps(request).readers().messages, _place(request))
    else:
        messages = newest_first(subject, _place(request))
    found, following = filtered(messages, wanted, limit)
    return {"data": [event(message, subject) for message in found]} | _cursor(request, following) | part


def _event_filter(request: Request) -> Callable[[StoredMessage], bool]:
    try:
        start, end = instant_of(request, "start"), instant_of(request, "end")
    except Refused as problem:
        raise ProfileApiRefused(400, "validation_error", str(problem)) from problem
    include, exclude = _names(request, "include"), _names(request, "exclude")

    def wanted(message: StoredMessage) -> bool:
        if (start is not None and message.timestamp < start) or (end is not None and message.timestamp >= end):
            return False
        name = (message_document(message)["message"] or {}).get("event", message.type)
        return (not include or name in include) and name not in exclude

    return wanted


def _metadata(request: Request) -> Json:
    profile = _profile(request)
    metadata = {
        "created_at": iso_ms(profile.first_seen),
        "updated_at": iso_ms(profile.last_seen),
        "expires_at": None,
    }
    if _is_verbose(request):
        metadata |= _ends(*latest(user(profile, _deps(request).readers())))
    return {"metadata": metadata}


def _account_metadata(request: Request) -> Json:
    known, part = latest(_subject(request))
    times = [message.timestamp for message in known]
    metadata: Json = {
        "created_at": iso_ms(min(times)) if times and not part else None,
        "updated_at": iso_ms(max(times)) if times else None,
        "expires_at": None,
    }
    return {"metadata": metadata | (_ends(known, part) if _is_verbose(request) else part)}


def _ends(known: list[StoredMessage], part: Json) -> Json:
    """The first message, where all are known, and the last."""
    first = min(known, key=moment, default=None) if not part else None
    ends: Json = {}
    for name, message in (("first", first), ("last", max(known, key=moment, default=None))):
        ends[f"{name}_message_id"] = message.message_id if message else None
        ends[f"{name}_source_id"] = message.source if message else None
    return ends | part


def _links(request: Request) -> Json:
    linked = [
        {"to_collection": "accounts", "external_ids": [{"type": "group_id", "id": group, "encoding": "none"}]}
        for group in _profile(request).groups
    ]
    rows, cursor = _page(request, linked)
    return {"data": rows} | cursor


def _account_links(request: Request) -> Json:
    """The members, the latest resolved first; a page may be short of the limit and still have more behind it."""
    group = _account(request)
    members = _deps(request).readers().identity.members
    found, following = members(group.group_id, _limit(request), _place(request))
    linked = [{"to_collection": "users", "external_ids": [external_id(one)]} for one in found]
    return {"data": linked} | _cursor(request, following)


_PARTS: Final[dict[tuple[str, str], Callable[[Request], Json]]] = {
    ("users", "traits"): _traits,
    ("users", "external_ids"): _external_ids,
    ("users", "events"): _events,
    ("users", "metadata"): _metadata,
    ("users", "links"): _links,
    ("accounts", "traits"): _account_traits,
    ("accounts", "external_ids"): _external_ids,
    ("accounts", "events"): _events,
    ("accounts", "metadata"): _account_metadata,
    ("accounts", "links"): _account_links,
}


def _is_verbose(request: Request) -> bool:
    return request.query_params.get("verbose") == "true"


def _names(request: Request, parameter: str) -> set[str]:
    return set(filter(None, request.query_params.get(parameter, "").split(",")))


def _page(request: Request, rows: list[Any]) -> tuple[list[Any], Json]:
    limit, start = _limit(request), _place(request) or 0
    following = start + limit
    return rows[start:following], _cursor(request, following if following < len(rows) else None)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_LIMITS[request.path_params["part"]]))
    limit = number_of(text)
    if limit is None or not 1 <= limit <= LIMIT_MAX:
        raise ProfileApiRefused(400, "validation_error", f"limit must be a whole number from 1 to {LIMIT_MAX}")
    return limit


def _place(request: Request) -> int | None:
    """Where the cursor of an earlier answer ends; None without one."""
    text = request.query_params.get("next")
    if not text:
        return None
    try:
        place = number_of(base64.urlsafe_b64decode(text).decode("ascii"))
    except ValueError:
        place = None
    if place is None:
        raise ProfileApiRefused(400, "validation_error", "next must be the cursor of an earlier answer")
    return place


def _cursor(request: Request, following: int | None) -> Json:
    token = "" if following is None else base64.urlsafe_b64encode(str(following).encode()).decode()
    cursor = {"url": request.url.path, "has_more": following is not None, "next": token, "limit": _limit(request)}
    return {"cursor": cursor}
