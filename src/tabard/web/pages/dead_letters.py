"""Dead letters: search, one with what was sent and answered, and sending them again."""

from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.delivery.dead_letter import LetterSearch, letter_named
from tabard.message.traits import parse_instant
from tabard.web import auth
from tabard.web.deps import Json
from tabard.web.errors import Refused
from tabard.web.pages.changes import back, body_as, deps_of, done_word, form_of, ordered
from tabard.web.pages.shown import instant_of, limit_of
from tabard.web.render import page

_FILTERS: Final = ("destination", "text", "code", "since", "identifier")


class Resend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"everything": "all"}):
    """Which dead letters of a destination (or of a replay, by its id) are sent again: those that meet all of it.

    Without any filter `all` must be true.
    """

    destination: str
    text: str = ""
    code: str = ""
    since: str = ""
    identifier: str = ""
    everything: bool = False


def found(request: Request) -> Json:
    """Context of `/dead-letters`: the newest of those looked for; `next` is the `before` of the next answer."""
    asked, deps = request.query_params, deps_of(request)
    destination = asked.get("destination", "")
    search = LetterSearch(
        consumer=deps.orders.consumer(destination) if destination else None,
        text=asked.get("text", ""),
        code=asked.get("code", ""),
        since=instant_of(request, "since") or 0,
        identifier=asked.get("identifier", ""),
    )
    return deps.readers().deliveries.dead_letters(search, limit_of(request), asked.get("before", ""))


def one(request: Request) -> Json:
    """Context of `/dead-letters/{letter}`: one with its attempts. Raises `Refused` 404."""
    named = letter_named(request.path_params["letter"])
    letter = deps_of(request).readers().deliveries.dead_letter(*named) if named else None
    if letter is None:
        raise _unknown(request)
    return letter


def dead_letters_page(request: Request) -> Response:
    """`GET /dead-letters`."""
    auth.require_admin(request)
    names = [each.name for each in deps_of(request).readers().workspace.destinations()]
    filters = {name: request.query_params.get(name, "") for name in _FILTERS}
    return page(request, "dead_letters.html", found(request) | {"names": names, "filters": filters})


def dead_letters_api(request: Request) -> Response:
    """`GET /api/dead-letters`: the twin of `/dead-letters`."""
    auth.require_admin(request)
    return JSONResponse(found(request))


def dead_letter_page(request: Request) -> Response:
    """`GET /dead-letters/{letter}`."""
    auth.require_admin(request)
    return page(request, "dead_letter.html", {"letter": one(request)})


def dead_letter_api(request: Request) -> Response:
    """`GET /api/dead-letters/{letter}`: the twin of `/dead-letters/{letter}`."""
    auth.require_admin(request)
    return JSONResponse(one(request))


async def resend_api(request: Request) -> Response:
    """`POST /api/dead-letters/resend`: tries all that are looked for again, with the present configuration."""
    await auth.require_change(request)
    asked = await body_as(request, Resend)
    return ordered(await run_in_threadpool(_resend, request, asked))


async def resend_one_api(request: Request) -> Response:
    """`POST /api/dead-letters/{letter}/resend`: tries one again, with the present configuration."""
    await auth.require_change(request)
    return ordered(await run_in_threadpool(_resend_one, request))


async def resend_form(request: Request) -> Response:
    """`POST /dead-letters/resend`: from the page of the search."""
    await auth.require_change(request)
    form = await form_of(request)
    asked = Resend(everything=True, **{name: form.get(name, "") for name in _FILTERS})
    answer = await run_in_threadpool(_resend, request, asked)
    return back("/dead-letters", done_word(answer, "resent"))


async def resend_one_form(request: Request) -> Response:
    """`POST /dead-letters/{letter}/resend`: from the page of one."""
    await auth.require_change(request)
    answer = await run_in_threadpool(_resend_one, request)
    return back("/dead-letters", done_word(answer, "resent"))


def _resend(request: Request, asked: Resend) -> Json:
    since = parse_instant(asked.since) if asked.since else 0
    if since is None:
        raise Refused("bad_request", f"since must be an ISO-8601 time, not {asked.since!r}")
    if not (asked.everything or asked.text or asked.code or asked.since or asked.identifier):
        raise Refused("bad_request", 'say which: text, code, since or identifier, or "all": true')
    orders = deps_of(request).orders
    search = LetterSearch(text=asked.text, code=asked.code, since=since, identifier=asked.identifier)
    return orders.resend(orders.consumer(asked.destination), search)


def _resend_one(request: Request) -> Json:
    named = letter_named(request.path_params["letter"])
    if named is None or deps_of(request).readers().deliveries.dead_letter(*named) is None:
        raise _unknown(request)
    consumer, position = named
    return deps_of(request).orders.resend(consumer, LetterSearch(), (position,))


def _unknown(request: Request) -> Refused:
    letter = request.path_params["letter"]
    return Refused("not_found", f"there is no dead letter {letter!r} (any more)", 404)
