"""The pages of one person, now and as of a time: each shows what `/api/profiles/{profile}` and its parts answer."""

from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from tabard.storage.shown import as_of_json, profile_json, traits_json
from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.errors import Refused
from tabard.web.pages import people
from tabard.web.pages.shown import instant_of, limit_of, place_of
from tabard.web.render import page

_TIMELINE: Final = 20


def person_page(request: Request) -> Response:
    """`GET /people/{profile}`; with `as_of` identifiers, groups and traits as the events up to a time made them.

    Of an identifier in no profile it says why that is so.
    """
    auth.require_admin(request)
    as_of = instant_of(request, "as_of")
    try:
        profile = people.find(request)
    except Refused as problem:
        # Known all the same, perhaps: shared, cut off, deleted.
        explained = people.explain(request, request.path_params["profile"])
        return page(request, "nobody.html", {"explain": explained}, problem.status)
    context = _known(request)
    if as_of is not None:
        past = people.as_of_time(request, profile, as_of)
        context |= {"profile": as_of_json(past, as_of), "provenance": traits_json(past.provenance)}
    else:
        context |= {
            "profile": profile_json(profile),
            "provenance": people.traits(request, profile),
            "explain": people.explain(request, profile.canonical),
            "timeline": people.timeline(request, profile, _TIMELINE),
        }
    return page(request, "person.html", context)


def timeline_page(request: Request) -> Response:
    """`GET /people/{profile}/timeline`."""
    auth.require_admin(request)
    profile = people.find(request)
    timeline = people.timeline(request, profile, limit_of(request), place_of(request, "before"))
    return page(request, "timeline.html", _known(request) | {"profile": profile_json(profile), "timeline": timeline})


def history_page(request: Request) -> Response:
    """`GET /people/{profile}/traits/{key}/history`."""
    auth.require_admin(request)
    profile = people.find(request)
    found = people.history(request, profile)
    shown = {"profile": profile_json(profile), "key": request.path_params["key"], "since": found.get("from", "")}
    return page(request, "history.html", _known(request) | shown | {"history": found["history"]})


def _known(request: Request) -> Json:
    """The person's own address, and the names of the sources by id."""
    deps: Deps = request.app.state.deps
    names = {source.id: source.name for source in deps.readers().workspace.sources()}
    return {"here": f"/people/{quote(request.path_params['profile'], safe='')}", "sources": names}
