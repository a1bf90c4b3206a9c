"""People: search, one person, and why these identifiers are one person.

The pages of one person are in `person`.
"""

from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.identity.identifiers import anonymous, named
from tabard.message.shown import message_document
from tabard.message.traits import iso_ms
from tabard.storage.interface import AsOf, Profile
from tabard.storage.shown import as_of_json, explanation_json, graph_json, history_json, profile_json, traits_json
from tabard.web import auth
from tabard.web.deps import Deps, Json, Readers
from tabard.web.errors import Refused
from tabard.web.pages.shown import instant_of, limit_of, place_of
from tabard.web.render import page

_IDENTIFIERS: Final = ("user", "email", "anon")
_RECENT_MESSAGES: Final = 200


def find(request: Request) -> Profile:
    """The profile the path names by profile id or by identifier (`user:u1`). Raises `Refused` 404."""
    name = request.path_params["profile"]
    profiles = _readers(request).profiles
    try:
        profile = profiles.profile(name) if ":" in name else profiles.profile_by_id(name)
    except ValueError:
        profile = None
    if profile is None:
        raise Refused("not_found", f"no profile {name!r}; use a profile id or an identifier such as user:u1", 404)
    return profile


def search(request: Request) -> Json:
    """Context of `/people`: who has an identifier, an e-mail that begins so, or a trait (`plan:pro`).

    Without a question: whom the newest messages are about. `next` is the `after` of the next answer.
    """
    text = request.query_params.get("q", "").strip()
    limit = limit_of(request)
    following: str | int | None = None
    key, colon, value = text.partition(":")
    if not text:
        found = _recent(_readers(request), limit)
    elif colon and key not in _IDENTIFIERS:
        found, following = _readers(request).identity.by_trait(key, value, limit, place_of(request, "after") or 0)
    else:
        found = _readers(request).profiles.search(text, limit, request.query_params.get("after", ""))
        following = found[-1].profile_id if len(found) == limit else None
    return {"q": text, "profiles": [profile_json(profile) for profile in found], "next": following}


def traits(request: Request, profile: Profile) -> Json:
    """Each trait with event time, source, messageId and what it replaced."""
    return traits_json(_readers(request).identity.provenance(profile.canonical))


def explain(request: Request, identifier: str) -> Json:
    """Why these identifiers are one person and near misses are not. Raises `Refused` 404 for who is not known."""
    try:
        found = _readers(request).identity.explain(identifier)
    except ValueError:
        found = None
    if found is None:
        raise Refused("not_found", f"nothing is known of {identifier!r} (any more)", 404)
    return explanation_json(found)


def timeline(request: Request, profile: Profile, limit: int, before: int | None = None) -> Json:
    """The profile's messages, newest first; `next` is the `before` of the next answer."""
    found = list(_readers(request).profiles.timeline(profile.canonical, limit, before))
    following = str(found[-1].position) if len(found) == limit else None
    names = {source.id: source.name for source in _readers(request).workspace.sources()}
    return {"messages": [message_document(message, names) for message in found], "next": following}


def history(request: Request, profile: Profile) -> Json:
    """Every write of the trait that the path names, newest first."""
    return history_json(_readers(request).identity.history(profile.canonical, request.path_params["key"]))


def as_of_time(request: Request, profile: Profile, instant_ms: int) -> AsOf:
    """The profile then of the identifier asked for, or else of one that is the same person now."""
    identity = _readers(request).identity
    name = request.path_params["profile"]
    for identifier in dict.fromkeys([name if ":" in name else profile.canonical, *profile.identifiers]):
        found = identity.as_of(identifier, instant_ms)
        if found is not None:
            return found
    raise Refused("not_found", f"{profile.canonical} was not known at {iso_ms(instant_ms)}", 404)


def people_page(request: Request) -> Response:
    """`GET /people`."""
    auth.require_admin(request)
    return page(request, "people.html", search(request))


def people_api(request: Request) -> Response:
    """`GET /api/profiles`: the twin of `/people`."""
    auth.require_admin(request)
    return JSONResponse(search(request))


def person_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}`, as of an event time with `as_of`."""
    auth.require_admin(request)
    as_of = instant_of(request, "as_of")
    profile = find(request)
    if as_of is None:
        return JSONResponse(profile_json(profile))
    return JSONResponse(as_of_json(as_of_time(request, profile, as_of), as_of))


def timeline_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/timeline`: newest first; `before` is the `next` of the answer before."""
    auth.require_admin(request)
    return JSONResponse(timeline(request, find(request), limit_of(request), place_of(request, "before")))


def identity_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/identity`: nodes, claims and edges, each with the message behind it."""
    auth.require_admin(request)
    graph = _readers(request).identity.identity(find(request).canonical)
    return JSONResponse(graph_json(graph) if graph else {"nodes": [], "evidence": []})


def explain_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/explain`: why these identifiers are one person, or why one is in no profile."""
    auth.require_admin(request)
    name = request.path_params["profile"]
    return JSONResponse(explain(request, name if ":" in name else find(request).canonical))


def traits_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/traits`: each with its provenance; with `as_of` those of a past time."""
    auth.require_admin(request)
    as_of = instant_of(request, "as_of")
    profile = find(request)
    if as_of is None:
        return JSONResponse(traits(request, profile))
    return JSONResponse(traits_json(as_of_time(request, profile, as_of).provenance))


def history_api(request: Request) -> Response:
    """`GET /api/profiles/{profile}/traits/{key}/history`: every write of one trait, newest first."""
    auth.require_admin(request)
    return JSONResponse(history(request, find(request)))


def changes_api(request: Request) -> Response:
    """`GET /api/profile-changes`: which profile each identifier moved to, in order; `next` is the `after` to go on.

    Each identifier's newest move only. Without anything new the list is empty and `next` stays.
    """
    auth.require_admin(request)
    after = place_of(request, "after") or 0
    found = _readers(request).profiles.changes(after, limit_of(request))
    return JSONResponse({"changes": msgspec.to_builtins(found), "next": found[-1].seq if found else after})


async def control_api(request: Request) -> Response:
    """`POST /api/controls`: states a delete, suppress, unsuppress, cut, uncut or ungroup.

    With `"person": true` the `ids` are made to all identifiers of these people, as they are now; the answer lists them.
    The answer to a delete says in `stillHeld` what holds data afterwards, and until when.
    """
    await auth.require_change(request)
    deps: Deps = request.app.state.deps
    try:
        control: dict[str, Any] = msgspec.json.decode(await request.body(), type=dict[str, Any])
        answer: Json = {"success": True}
        if control.pop("person", False):
            named = msgspec.convert(control.get("ids"), list[str])
            answer["ids"] = control["ids"] = await run_in_threadpool(deps.controls.whole, named)
        # It waits for the lock of the admin partition and for the disk.
        if control.get("type") == "delete":
            answer["stillHeld"] = await run_in_threadpool(deps.controls.still_held)
        answer["position"] = await run_in_threadpool(deps.controls.append, control)
    except (msgspec.MsgspecError, ValueError) as problem:
        raise Refused("bad_request", f"not a control: {problem}") from problem
    return JSONResponse(answer)


def _readers(request: Request) -> Readers:
    deps: Deps = request.app.state.deps
    return deps.readers()


def _recent(readers: Readers, limit: int) -> list[Profile]:
    found: dict[str, Profile] = {}
    for message in readers.messages.newest(_RECENT_MESSAGES):
        body = msgspec.json.decode(message.body) if message.body else {}
        identifier = named(body.get("userId")) or anonymous(body.get("anonymousId"))
        profile = readers.profiles.profile(identifier) if identifier else None
        if profile is not None:
            found.setdefault(profile.profile_id, profile)
        if len(found) == limit:
            break
    return list(found.values())
