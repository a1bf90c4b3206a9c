"""People: search, one person, and why these identifiers are one person."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.message.traits import iso_ms
from tabard.storage.interface import Profile
from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.errors import Refused
from tabard.web.pages.shown import instant_of, limit_of, message_json
from tabard.web.render import page


def profile_json(profile: Profile) -> Json:
    """A profile as the API shows it; times in ISO-8601."""
    return {
        "profileId": profile.profile_id,
        "canonical": profile.canonical,
        "identifiers": list(profile.identifiers),
        "traits": profile.traits,
        "groups": list(profile.groups),
        "events": profile.events,
        "firstSeen": iso_ms(profile.first_seen),
        "lastSeen": iso_ms(profile.last_seen),
    }


def find(request: Request) -> Profile:
    """The profile the path names by profile id or by identifier (`user:u1`). Raises `Refused` 404."""
    deps: Deps = request.app.state.deps
    name = request.path_params["profile"]
    profiles = deps.readers().profiles
    profile = profiles.profile(name) if ":" in name else profiles.profile_by_id(name)
    if profile is None:
        raise Refused("not_found", f"no profile {name!r}; use a profile id or an identifier such as user:u1", 404)
    return profile


def search(request: Request) -> Json:
    """Context of `/people`: profiles with an identifier, an e-mail prefix or a trait (`trait=plan:pro`)."""
    deps: Deps = request.app.state.deps
    text = request.query_params.get("q", "").strip()
    found = deps.readers().profiles.search(text, limit_of(request), request.query_params.get("after", ""))
    rows = [profile_json(profile) for profile in found]
    return {"q": text, "profiles": rows, "next": rows[-1]["canonical"] if len(rows) == limit_of(request) else None}


def person(request: Request) -> Json:
    """Context of `/people/{profile}`: the profile, its newest messages and the plain words that explain it."""
    deps: Deps = request.app.state.deps
    profile = find(request)
    readers = deps.readers()
    timeline = readers.profiles.timeline(profile.canonical, 20)
    return {
        "profile": profile_json(profile),
        "traits": readers.identity.traits(profile.canonical) or {},
        "explain": readers.identity.explain(profile.canonical) or {},
        "timeline": [message_json(message) for message in timeline],
    }


def people_page(request: Request) -> Response:
    """`GET /people`."""
    auth.require_admin(request)
    return page(request, "people.html", search(request))


def people_api(request: Request) -> Response:
    """`GET /api/profiles`: the twin of `/people`."""
    auth.require_admin(request)
    return JSONResponse(search(request))


def person_page(request: Request) -> Response:
    """`GET /people/{profile}`."""
    auth.require_admin(request)
    return page(request, "person.html", person(request))


def person_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}`, as of an event time with `as_of`."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    as_of = instant_of(request, "as_of")
    profile = find(request)
    answer = profile_json(profile)
    if as_of is not None:
        traits = deps.readers().identity.traits(profile.canonical, as_of) or {}
        answer |= {"asOf": iso_ms(as_of), "traits": {key: entry["value"] for key, entry in traits.items()}}
    return JSONResponse(answer)


def timeline_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/timeline`: newest first; `before` is the `next` of the answer before."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    limit = limit_of(request)
    before = request.query_params.get("before", "")
    if before and not before.isdigit():
        raise Refused("bad_request", "before must be the `next` value of an earlier answer")
    found = list(deps.readers().profiles.timeline(find(request).canonical, limit, int(before) if before else None))
    following = str(found[-1].position) if len(found) == limit else None
    return JSONResponse({"messages": [message_json(message) for message in found], "next": following})


def identity_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/identity`: nodes, claims and edges, each with the message behind it."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    return JSONResponse(deps.readers().identity.identity(find(request).canonical))


def explain_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/explain`: why these identifiers are one person."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    return JSONResponse(deps.readers().identity.explain(find(request).canonical))


def traits_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/traits`: each with event time, source and messageId; `as_of` for a past time."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    return JSONResponse(deps.readers().identity.traits(find(request).canonical, instant_of(request, "as_of")) or {})


def history_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/traits/{key}/history`: every write of one trait, newest first."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    return JSONResponse(
        {"history": deps.readers().identity.history(find(request).canonical, request.path_params["key"])}
    )


async def control_api(request: Request) -> Response:
    """`POST /api/controls`: states a delete, suppress, unsuppress, cut or uncut."""
    await auth.require_change(request)
    deps: Deps = request.app.state.deps
    try:
        control: dict[str, Any] = msgspec.json.decode(await request.body(), type=dict[str, Any])
        position = deps.controls.append(control)
    except (msgspec.MsgspecError, ValueError) as problem:
        raise Refused("bad_request", f"not a control: {problem}") from problem
    return JSONResponse({"success": True, "position": position})
