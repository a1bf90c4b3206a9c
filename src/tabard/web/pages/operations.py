"""Destinations with their numbers, and what the door refused."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.pages.shown import limit_of
from tabard.web.render import page


def destinations(request: Request) -> Json:
    """Context of `/destinations`: each configured destination, its books, and the newest dead letters."""
    deps: Deps = request.app.state.deps
    readers = deps.readers()
    books = readers.deliveries.books()
    rows = [
        {
            "id": instance.id,
            "name": instance.name,
            "slug": instance.slug,
            "enabled": instance.enabled,
            "actions": [subscription.action for subscription in instance.subscriptions if subscription.enabled],
            "books": books.get(instance.id, {}),
        }
        for instance in readers.workspace.destinations()
    ]
    return {"destinations": rows, "deadLetters": readers.deliveries.dead_letters(None, limit_of(request, 20))}


def rejections(request: Request) -> Json:
    """Context of `/rejections`: the newest refusals with their reason and the fix."""
    deps: Deps = request.app.state.deps
    source = request.query_params.get("source") or None
    return {"rejections": deps.readers().rejections.newest(limit_of(request), source)}


def destinations_page(request: Request) -> Response:
    """`GET /destinations`."""
    auth.require_admin(request)
    return page(request, "destinations.html", destinations(request))


def destinations_api(request: Request) -> Response:
    """`GET /api/destinations`: the twin of `/destinations`."""
    auth.require_admin(request)
    return JSONResponse(destinations(request))


def rejections_page(request: Request) -> Response:
    """`GET /rejections`."""
    auth.require_admin(request)
    return page(request, "rejections.html", rejections(request))


def rejections_api(request: Request) -> Response:
    """`GET /api/rejections`: the twin of `/rejections`."""
    auth.require_admin(request)
    return JSONResponse(rejections(request))


def status_api(request: Request) -> Response:
    """`GET /api/status`: roles, lags and books, as `tabard status --json`."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    return JSONResponse(deps.status())
