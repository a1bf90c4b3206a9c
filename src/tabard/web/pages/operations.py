"""What the door refused, what could not be processed, and how it goes."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.pages.shown import limit_of
from tabard.web.render import page


def rejections(request: Request) -> Json:
    """Context of `/rejections`: the newest refusals with their reason and the fix."""
    deps: Deps = request.app.state.deps
    readers = deps.readers()
    names = {source.id: source.name for source in readers.workspace.sources()}
    wanted = request.query_params.get("source") or None
    source = next((id_ for id_, name in names.items() if wanted == name), wanted)
    rows = readers.rejections.newest(limit_of(request), source)
    return {"rejections": [row | {"sourceName": names.get(row["source"], row["source"])} for row in rows]}


def quarantined(request: Request) -> Json:
    """Context of `/quarantined`: the newest records that were accepted and could not be processed."""
    deps: Deps = request.app.state.deps
    return deps.readers().quarantine.shown(limit_of(request))


def rejections_page(request: Request) -> Response:
    """`GET /rejections`."""
    auth.require_admin(request)
    return page(request, "rejections.html", rejections(request))


def rejections_api(request: Request) -> Response:
    """`GET /api/rejections`: the twin of `/rejections`."""
    auth.require_admin(request)
    return JSONResponse(rejections(request))


def quarantined_page(request: Request) -> Response:
    """`GET /quarantined`."""
    auth.require_admin(request)
    return page(request, "quarantined.html", quarantined(request))


def quarantined_api(request: Request) -> Response:
    """`GET /api/quarantined`: the twin of `/quarantined`."""
    auth.require_admin(request)
    return JSONResponse(quarantined(request))


def status_api(request: Request) -> Response:
    """`GET /api/status`: roles, lags and books, as `tabard status --json`."""
    auth.require_admin(request)
    deps: Deps = request.app.state.deps
    return JSONResponse(deps.status())
