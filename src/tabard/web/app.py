"""The web role's table of routes. `create_app` is all that compose needs."""

from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tabard.log.interface import LogUnavailable
from tabard.web import auth, errors, profile_api
from tabard.web.deps import Deps
from tabard.web.guards import BodyLimit, SecurityHeaders
from tabard.web.pages import dead_letters, destinations, docs, editing, messages, operations, people, person, replays
from tabard.web.render import page


class _Text(PathConvertor):
    """Any text: what starlette calls a path ends at a newline."""

    regex = "(?s:.*)"


register_url_convertor("text", _Text())


def create_app(deps: Deps) -> ASGIApp:
    """The ASGI application of the web role."""
    app = Starlette(
        routes=[*page_routes(), *api_routes()],
        exception_handlers={
            errors.Refused: _refused,
            **dict.fromkeys(errors.REFUSALS, _refused),
            profile_api.ProfileApiRefused: profile_api.refused,
            LogUnavailable: errors.unavailable,
            Exception: errors.failed,
        },
    )
    app.state.deps = deps
    return SecurityHeaders(BodyLimit(app))


def page_routes() -> list[Route | Mount]:
    """What answers HTML, and style and script of it."""
    return [
        Route("/", lambda _: RedirectResponse("/messages", 303)),
        Route("/login", _login_page, methods=["GET"]),
        Route("/login", auth.log_in, methods=["POST"]),
        Route("/logout", auth.log_out, methods=["POST"]),
        Route("/docs", docs.docs_page),
        Route("/messages", messages.messages_page),
        Route("/messages/{message_id:text}", messages.trace_page),
        Route("/people", people.people_page),
        Route("/people/{profile:text}/timeline", person.timeline_page),
        Route("/people/{profile:text}/traits/{key:text}/history", person.history_page),
        Route("/people/{profile:text}", person.person_page),
        Route("/destinations", editing.destinations_page),
        Route("/destinations/{name}", editing.destination_page, methods=["GET"]),
        Route("/destinations/{name}", editing.destination_form, methods=["POST"]),
        Route("/destinations/{name}/subscriptions/{subscription}", editing.subscription_page, methods=["GET"]),
        Route("/destinations/{name}/subscriptions/{subscription}", editing.subscription_form, methods=["POST"]),
        Route("/dead-letters", dead_letters.dead_letters_page),
        Route("/dead-letters/resend", dead_letters.resend_form, methods=["POST"]),
        Route("/dead-letters/{letter}", dead_letters.dead_letter_page),
        Route("/dead-letters/{letter}/resend", dead_letters.resend_one_form, methods=["POST"]),
        Route("/replays", replays.replays_page, methods=["GET"]),
        Route("/replays", replays.start_form, methods=["POST"]),
        Route("/replays/{replay}", replays.replay_page),
        Route("/replays/{replay}/cancel", replays.cancel_form, methods=["POST"]),
        Route("/rejections", operations.rejections_page),
        Route("/quarantined", operations.quarantined_page),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ]


def api_routes() -> list[Route]:
    """What answers JSON, all of it described in openapi-web.yaml."""
    # An identifier or a messageId may hold a slash; longer paths stand first, so that their endings are seen.
    space = "/v1/spaces/{space}/collections/{collection}/profiles/{external_id:text}/{part}"
    profile = "/api/profiles/{profile:text}"
    return [
        Route("/health", lambda _: JSONResponse({"success": True})),
        Route("/openapi.json", docs.openapi_api),
        Route("/openapi-web.json", docs.openapi_web_api),
        Route("/api/messages", messages.messages_api),
        Route("/api/trace/{message_id:text}", messages.trace_api),
        Route("/api/profiles", people.people_api),
        Route(f"{profile}/timeline", people.timeline_api),
        Route(f"{profile}/identity", people.identity_api),
        Route(f"{profile}/explain", people.explain_api),
        Route(f"{profile}/traits/{{key:text}}/history", people.history_api),
        Route(f"{profile}/traits", people.traits_api),
        Route(profile, people.person_api),
        Route("/api/profile-changes", people.changes_api),
        Route("/api/controls", people.control_api, methods=["POST"]),
        *_destination_routes(),
        Route("/api/dead-letters", dead_letters.dead_letters_api),
        Route("/api/dead-letters/resend", dead_letters.resend_api, methods=["POST"]),
        Route("/api/dead-letters/{letter}", dead_letters.dead_letter_api),
        Route("/api/dead-letters/{letter}/resend", dead_letters.resend_one_api, methods=["POST"]),
        Route("/api/replays", replays.replays_api, methods=["GET"]),
        Route("/api/replays", replays.start_api, methods=["POST"]),
        Route("/api/replays/{replay}", replays.replay_api),
        Route("/api/replays/{replay}/cancel", replays.cancel_api, methods=["POST"]),
        Route("/api/rejections", operations.rejections_api),
        Route("/api/quarantined", operations.quarantined_api),
        Route("/api/status", operations.status_api),
        Route(space, profile_api.profile_api),
    ]


def _destination_routes() -> list[Route]:
    destination = "/api/destinations/{name}"
    subscription = f"{destination}/subscriptions/{{subscription}}"
    return [
        Route("/api/destinations", destinations.destinations_api),
        Route(destination, destinations.destination_api, methods=["GET"]),
        Route(destination, destinations.edit_api, methods=["PATCH"]),
        Route(f"{destination}/enable", destinations.enable_api, methods=["POST"]),
        Route(f"{destination}/disable", destinations.disable_api, methods=["POST"]),
        Route(f"{destination}/pause", destinations.pause_api, methods=["POST"]),
        Route(f"{destination}/resume", destinations.resume_api, methods=["POST"]),
        Route(f"{destination}/test", destinations.test_api, methods=["POST"]),
        Route(f"{destination}/preview", destinations.preview_api, methods=["POST"]),
        Route(f"{destination}/subscriptions", destinations.add_subscription_api, methods=["POST"]),
        Route(subscription, destinations.subscription_api, methods=["GET"]),
        Route(subscription, destinations.edit_subscription_api, methods=["PATCH"]),
        Route(subscription, destinations.remove_subscription_api, methods=["DELETE"]),
    ]


def _login_page(request: Request) -> Response:
    asked = request.query_params
    return page(request, "login.html", {"wrong": "wrong" in asked, "next": asked.get("next", "")})


async def _refused(request: Request, problem: Exception) -> Response:
    """A page sends a stranger to the login and shows other refusals as a page; everything else gets the JSON shape."""
    refusal = errors.refusal_of(problem)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if wants_page and refusal.status == HTTPStatus.UNAUTHORIZED:
        # The path as it was written: an identifier in it may hold an encoded slash.
        wanted = request.scope["raw_path"].decode("latin-1") + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(auth.login_address(wanted if request.method == "GET" else ""), 303)
    if wants_page:
        return page(request, "refused.html", {"code": refusal.code, "message": str(refusal)}, refusal.status)
    return errors.error_answer(refusal)
