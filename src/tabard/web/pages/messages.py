"""Live messages: the newest that were stored, and the trace of one."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.message.shown import message_document
from tabard.message.types import CALL_TYPES, StoredMessage
from tabard.storage.shown import reason_json
from tabard.web import auth
from tabard.web.deps import Deps, Json
from tabard.web.errors import Refused
from tabard.web.pages.shown import limit_of
from tabard.web.render import page
from tabard.workspace.types import Source

_PARAMETERS: Final = frozenset({"limit", "source", "type"})


def newest(request: Request) -> Json:
    """Context of `/messages`: the newest messages, of one source or type if asked."""
    deps: Deps = request.app.state.deps
    call_type = request.query_params.get("type") or None
    if call_type is not None and call_type not in CALL_TYPES:
        raise Refused("bad_request", f"type must be one of {', '.join(CALL_TYPES)}, not {call_type!r}")
    readers = deps.readers()
    sources = readers.workspace.sources()
    wanted = request.query_params.get("source") or None
    source = next((s.id for s in sources if wanted in (s.id, s.name)), wanted)
    found = readers.messages.newest(limit_of(request), source=source, call_type=call_type)
    return {"messages": _rows(found, sources), "types": list(CALL_TYPES), "sources": [s.name for s in sources]}


def trace(request: Request) -> Json:
    """Context of `/messages/{id}`: the stored message and each destination's decision, attempts and answer.

    `dead` says why it is not delivered where its subject was deleted or suppressed, `ignored` what of it its source
    may not state.
    """
    deps: Deps = request.app.state.deps
    readers = deps.readers()
    message_id = request.path_params["message_id"]
    found = readers.messages.find(message_id)
    if not found:
        raise Refused("not_found", f"no stored message has the messageId {message_id!r}", 404)
    rows = _rows(found, readers.workspace.sources())
    for row, message in zip(rows, found, strict=True):
        dead = readers.messages.why_dead(message)
        row |= {"dead": dead and reason_json(dead), "ignored": readers.identity.ignored(message)}
    return {
        "messages": rows,
        "deliveries": readers.deliveries.trace(message_id),
    }


def _rows(found: list[StoredMessage], sources: list[Source]) -> list[Json]:
    names = {source.id: source.name for source in sources}
    return [message_document(message, names) for message in found]


def messages_page(request: Request) -> Response:
    """`GET /messages`."""
    auth.require_admin(request)
    return page(request, "messages.html", newest(request))


def messages_api(request: Request) -> Response:
    """`GET /api/messages`: the twin of `/messages`. Refuses parameters it does not know."""
    auth.require_admin(request)
    unknown = sorted(request.query_params.keys() - _PARAMETERS)
    if unknown:
        known = ", ".join(sorted(_PARAMETERS))
        raise Refused("bad_request", f"there is no parameter {unknown[0]!r}; there are {known}")
    return JSONResponse(newest(request))


def trace_page(request: Request) -> Response:
    """`GET /messages/{message_id}`."""
    auth.require_admin(request)
    return page(request, "trace.html", trace(request))


def trace_api(request: Request) -> Response:
    """`GET /api/trace/{message_id}`: the twin of `/messages/{message_id}`."""
    auth.require_admin(request)
    return JSONResponse(trace(request))
