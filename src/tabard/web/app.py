"""The web role's table of routes. `create_app` is all that compose needs."""

from http import HTTPStatus
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tabard.web import auth, errors, profile_api
from tabard.web.deps import Deps
from tabard.web.pages import docs, messages, operations, people
from tabard.web.render import SecurityHeaders, page


def create_app(deps: Deps) -> Starlette:
    """The ASGI application of the web role."""
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={
            errors.Refused: _refused,
            HTTPException: errors.http_error,
            profile_api.ProfileApiRefused: profile_api.refused,
        },
    )
    app.state.deps = deps
    return app


def _routes() -> list[Route | Mount]:
    space = "/v1/spaces/{space}/collections/{collection}/profiles/{external_id}/{part}"
    return [
        Route("/", lambda _: RedirectResponse("/messages", 303)),
        Route("/login", _login_page, methods=["GET"]),
        Route("/login", auth.log_in, methods=["POST"]),
        Route("/logout", auth.log_out, methods=["POST"]),
        Route("/health", lambda _: JSONResponse({"success": True})),
        Route("/docs", docs.docs_page),
        Route("/messages", messages.messages_page),
        Route("/messages/{message_id}", messages.trace_page),
        Route("/people", people.people_page),
        Route("/people/{profile}", people.person_page),
        Route("/destinations", operations.destinations_page),
        Route("/rejections", operations.rejections_page),
        Route("/api/messages", messages.messages_api),
        Route("/api/trace/{message_id}", messages.trace_api),
        Route("/api/profiles", people.people_api),
        Route("/api/profiles/{profile}", people.person_api),
        Route("/api/profiles/{profile}/timeline", people.timeline_api),
        Route("/api/profiles/{profile}/identity", people.identity_api),
        Route("/api/profiles/{profile}/explain", people.explain_api),
        Route("/api/profiles/{profile}/traits", people.traits_api),
        Route("/api/profiles/{profile}/traits/{key}/history", people.history_api),
        Route("/api/controls", people.control_api, methods=["POST"]),
        Route("/api/destinations", operations.destinations_api),
        Route("/api/rejections", operations.rejections_api),
        Route("/api/status", operations.status_api),
        Route(space, profile_api.profile_api),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ]


def _login_page(request: Request) -> Response:
    return page(request, "login.html", {"wrong": "wrong" in request.query_params})


async def _refused(request: Request, problem: Exception) -> Response:
    """A page sends a stranger to the login and shows other refusals as a page; everything else gets the JSON shape."""
    refusal = cast("errors.Refused", problem)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if wants_page and refusal.status == HTTPStatus.UNAUTHORIZED:
        return RedirectResponse("/login", 303)
    if wants_page:
        return page(request, "refused.html", {"code": refusal.code, "message": str(refusal)}, refusal.status)
    return await errors.refused(request, problem)
