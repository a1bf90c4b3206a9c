"""Destinations: their state and books, and changing what they are sent. The API of it; the forms: `editing`."""

from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.web import auth
from tabard.web.deps import Json
from tabard.web.errors import Refused
from tabard.web.pages.changes import body_as, deps_of
from tabard.workspace.edit import DestinationEdit, PreviewAsked, SubscriptionEdit
from tabard.workspace.types import DestinationInstance

LAST_MAX: Final = 1_000
"""Messages that one preview over the web looks at."""


def listed(request: Request) -> Json:
    """Context of `/destinations`: each configured destination, its state and its books."""
    return {"destinations": deps_of(request).destinations.listed()}


def described(request: Request) -> Json:
    """Context of `/destinations/{name}`: one with its mappings and what its kind declares."""
    return deps_of(request).destinations.described(request.path_params["name"])


def subscription(request: Request) -> Json:
    """Context of `/destinations/{name}/subscriptions/{subscription}`: one, and the action it switches on."""
    destination, wanted = described(request), request.path_params["subscription"]
    return chosen(destination, wanted)


def chosen(destination: Json, wanted: str) -> Json:
    """One subscription of a destination, by id or name, with the declaration of its action. Raises `Refused` 404."""
    for key in ("id", "name"):
        for each in destination["subscriptions"]:
            if each[key] == wanted:
                return {**each, "declaration": action_of(destination, each["action"])}
    raise Refused("not_found", f"{destination['name']} has no subscription {wanted!r}", 404)


def action_of(destination: Json, action: str) -> Json | None:
    """What the destination's kind declares of an action; None where it has none of that name."""
    actions: list[Json] = (destination["declaration"] or {}).get("actions", [])
    return next((each for each in actions if each["action"] == action), None)


def checked_preview(asked: PreviewAsked) -> PreviewAsked:
    """What is asked, if it can be. Raises `Refused`."""
    if (asked.event is None) == (asked.last is None):
        raise Refused("bad_request", "give either an event, or how many of the last messages to look at (last)")
    if asked.last is not None and not 1 <= asked.last <= LAST_MAX:
        raise Refused("bad_request", f"last must be a whole number from 1 to {LAST_MAX}")
    return asked


def destinations_api(request: Request) -> Response:
    """`GET /api/destinations`: the twin of `/destinations`."""
    auth.require_admin(request)
    return JSONResponse(listed(request))


def destination_api(request: Request) -> Response:
    """`GET /api/destinations/{name}`: the twin of `/destinations/{name}`."""
    auth.require_admin(request)
    return JSONResponse(described(request))


def subscription_api(request: Request) -> Response:
    """`GET /api/destinations/{name}/subscriptions/{subscription}`: the twin of the page of one."""
    auth.require_admin(request)
    return JSONResponse(subscription(request))


async def edit_api(request: Request) -> Response:
    """`PATCH /api/destinations/{name}`: changes what is named, the rest stays."""
    await auth.require_change(request)
    return await _edited(request, await body_as(request, DestinationEdit))


async def enable_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/enable`."""
    await auth.require_change(request)
    return await _edited(request, DestinationEdit(enabled=True))


async def disable_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/disable`: its messages are filtered from now on."""
    await auth.require_change(request)
    return await _edited(request, DestinationEdit(enabled=False))


async def pause_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/pause`: its cursor is held from now on, nothing is lost."""
    await auth.require_change(request)
    destinations = deps_of(request).destinations
    return _document(request, await run_in_threadpool(destinations.pause, request.path_params["name"]))


async def resume_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/resume`: ends a pause."""
    await auth.require_change(request)
    destinations = deps_of(request).destinations
    return _document(request, await run_in_threadpool(destinations.resume, request.path_params["name"]))


async def test_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/test`: asks the destination whether its settings work."""
    await auth.require_change(request)
    found = await run_in_threadpool(deps_of(request).destinations.test, request.path_params["name"])
    return JSONResponse({"ok": True, "name": found.name, "id": found.id})


async def preview_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/preview`: what it would send, also by what is not saved."""
    await auth.require_change(request)
    asked = checked_preview(await body_as(request, PreviewAsked))
    destinations, name = deps_of(request).destinations, request.path_params["name"]
    return JSONResponse(await run_in_threadpool(destinations.preview, name, asked))


async def add_subscription_api(request: Request) -> Response:
    """`POST /api/destinations/{name}/subscriptions`: switches an action on (once more)."""
    await auth.require_change(request)
    edit = await body_as(request, SubscriptionEdit)
    destinations, name = deps_of(request).destinations, request.path_params["name"]
    return _document(request, await run_in_threadpool(destinations.add_subscription, name, edit), 201)


async def edit_subscription_api(request: Request) -> Response:
    """`PATCH /api/destinations/{name}/subscriptions/{subscription}`: changes what is named, the rest stays."""
    await auth.require_change(request)
    edit = await body_as(request, SubscriptionEdit)
    destinations, names = deps_of(request).destinations, request.path_params
    changed = await run_in_threadpool(destinations.edit_subscription, names["name"], names["subscription"], edit)
    return _document(request, changed)


async def remove_subscription_api(request: Request) -> Response:
    """`DELETE /api/destinations/{name}/subscriptions/{subscription}`."""
    await auth.require_change(request)
    destinations, names = deps_of(request).destinations, request.path_params
    changed = await run_in_threadpool(destinations.remove_subscription, names["name"], names["subscription"])
    return _document(request, changed)


async def _edited(request: Request, edit: DestinationEdit) -> Response:
    destinations, name = deps_of(request).destinations, request.path_params["name"]
    return _document(request, await run_in_threadpool(destinations.edit, name, edit))


def _document(request: Request, instance: DestinationInstance, status: int = 200) -> Response:
    """The destination as it is stored now."""
    document: dict[str, Any] = deps_of(request).destinations.document(instance)
    return JSONResponse(document, status)
