"""What pages and API have in common where they change something: bodies, forms, and what is said afterwards."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tabard.web.deps import Deps, Json
from tabard.web.errors import Refused
from tabard.workspace.edit import read_edit

T = TypeVar("T")

DONE: Final = {
    "saved": "Saved.",
    "added": "Added.",
    "removed": "Removed.",
    "enabled": "Enabled: what comes from now on is delivered.",
    "disabled": "Disabled: messages are filtered until it is enabled.",
    "paused": "Paused: nothing is sent and nothing is lost until it is resumed.",
    "resumed": "Resumed.",
    "tested": "The destination accepts its settings.",
    "resent": "Sent again.",
    "cancelled": "Cancelled.",
    "started": "Begun.",
    "waiting": "The order waits for the deliverer; it is carried out when that next runs.",
}
"""What a page says after a change, by the word in its address."""


def deps_of(request: Request) -> Deps:
    """What the web role works with."""
    found: Deps = request.app.state.deps
    return found


async def body_as(request: Request, kind: type[T]) -> T:
    """The JSON body as that struct; an absent body is {}. Raises `Refused`, `DeclarationInvalid` with the place."""
    try:
        document: Any = msgspec.json.decode(await request.body() or b"{}")
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Refused("bad_request", f"the body is no JSON: {problem}") from problem
    return read_edit(document, kind)


def ordered(answer: Mapping[str, Any]) -> JSONResponse:
    """What the deliverer said to an order; 202 while it waits for one."""
    waits = bool(answer.get("waiting"))
    return JSONResponse({"success": True, **answer}, HTTPStatus.ACCEPTED if waits else HTTPStatus.OK)


def back(path: str, word: str) -> Response:
    """The page to see after a change by form, which then says what was done (`DONE`)."""
    return RedirectResponse(f"{path}?done={word}", HTTPStatus.SEE_OTHER)


def done_word(answer: Json, word: str) -> str:
    """The word for an order that was carried out, or waits."""
    return "waiting" if answer.get("waiting") else word


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form as texts; of a name given twice the last."""
    return {name: str(value) for name, value in (await request.form()).items()}
