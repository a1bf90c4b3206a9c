"""Replays: a range of the past sent again to one destination, with its progress."""

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.delivery.replay import BEGINNING, ONLY, asked
from tabard.web import auth
from tabard.web.deps import Json
from tabard.web.errors import Refused
from tabard.web.pages.changes import back, body_as, deps_of, done_word, form_of, ordered
from tabard.web.pages.shown import limit_of
from tabard.web.render import page


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A replay to begin: what was received from `since` (a time, or `beginning`) to `until` ('' for now)."""

    destination: str
    since: str
    until: str = ""
    only: str = "all"
    trigger: str = ""
    rate_per_s: float = 0.0


def found(request: Request) -> Json:
    """Context of `/replays`: the newest with progress and books; `next` is the `before` of the next answer."""
    destination, deps = request.query_params.get("destination", ""), deps_of(request)
    consumer = deps.orders.consumer(destination) if destination else None
    before = request.query_params.get("before", "")
    return deps.readers().deliveries.replays(limit_of(request), before, consumer)


def one(request: Request) -> Json:
    """Context of `/replays/{replay}`. Raises `Refused` 404."""
    id_ = request.path_params["replay"]
    replay = deps_of(request).readers().deliveries.replay(id_)
    if replay is None:
        raise Refused("not_found", f"there is no replay {id_!r}", 404)
    return replay


def replays_page(request: Request) -> Response:
    """`GET /replays`: with the form that begins one."""
    auth.require_admin(request)
    return _page(request, {"destination": request.query_params.get("destination", "")}, None)


def replays_api(request: Request) -> Response:
    """`GET /api/replays`: the twin of `/replays`."""
    auth.require_admin(request)
    return JSONResponse(found(request))


def replay_page(request: Request) -> Response:
    """`GET /replays/{replay}`."""
    auth.require_admin(request)
    return page(request, "replay.html", {"replay": one(request)})


def replay_api(request: Request) -> Response:
    """`GET /api/replays/{replay}`: the twin of `/replays/{replay}`."""
    auth.require_admin(request)
    return JSONResponse(one(request))


async def start_api(request: Request) -> Response:
    """`POST /api/replays`: begins one; `replay` in the answer is its id, once the deliverer has taken the order."""
    await auth.require_change(request)
    start = await body_as(request, Start)
    return ordered(await run_in_threadpool(_start, request, start))


async def cancel_api(request: Request) -> Response:
    """`POST /api/replays/{replay}/cancel`: ends one where it is."""
    await auth.require_change(request)
    return ordered(await run_in_threadpool(deps_of(request).orders.cancel_replay, request.path_params["replay"]))


async def start_form(request: Request) -> Response:
    """`POST /replays`: from the page; what is refused is shown above the form as it was filled in."""
    await auth.require_change(request)
    form = await form_of(request)
    try:
        rate_per_s = float(form.get("ratePerS") or 0)
        start = Start(
            destination=form.get("destination", ""),
            since=form.get("since") or BEGINNING,
            until=form.get("until", ""),
            only=form.get("only", "all"),
            trigger=form.get("trigger", "").strip(),
            rate_per_s=rate_per_s,
        )
        answer = await run_in_threadpool(_start, request, start)
    except ValueError as problem:
        return _page(request, form, str(problem))
    word = done_word(answer, "")
    return back("/replays", word) if word else back(f"/replays/{answer['replay']}", "started")


async def cancel_form(request: Request) -> Response:
    """`POST /replays/{replay}/cancel`: from its page."""
    await auth.require_change(request)
    replay = request.path_params["replay"]
    answer = await run_in_threadpool(deps_of(request).orders.cancel_replay, replay)
    return back(f"/replays/{replay}", done_word(answer, "cancelled"))


def _start(request: Request, start: Start) -> Json:
    replay = asked(
        since=start.since, until=start.until, only=start.only, trigger=start.trigger, rate_per_s=start.rate_per_s
    )
    return deps_of(request).orders.start_replay(start.destination, replay)


def _page(request: Request, form: dict[str, str], problem: str | None) -> Response:
    names = [each.name for each in deps_of(request).readers().workspace.destinations()]
    shown = found(request) | {"names": names, "choices": list(ONLY), "form": form, "problem": problem}
    return page(request, "replays.html", shown, 400 if problem else 200)
