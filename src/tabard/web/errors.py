"""Errors of the web role in the one shape of every Tabard endpoint (docs/design.md §2.8)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.delivery.dead_letter import PlaceInvalid
from tabard.delivery.orders import OrderRefused
from tabard.delivery.replay import ReplayRefused, ReplayUnknown
from tabard.destinations.kit.destination import DestinationTestFailed
from tabard.destinations.kit.trigger_syntax import TriggerInvalid
from tabard.log.interface import LogUnavailable
from tabard.message.parse import Refused as CallRefused
from tabard.workspace.declaration import DeclarationInvalid, Fault
from tabard.workspace.edit import ChangedMeanwhile, SubscriptionUnknown
from tabard.workspace.types import DestinationUnknown, SourceUnknown

_NAMES: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Refused(Exception):
    """A request the web role refuses: `code` from a small set, a sentence that names the fix, the HTTP status.

    faults: each thing that is wrong with what was sent, with its place, where that is known.
    """

    def __init__(self, code: str, message: str, status: int = 400, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.faults = tuple(faults)


_NAMED: Final[dict[type[Exception], tuple[str, int]]] = {
    DestinationUnknown: ("not_found", 404),
    SubscriptionUnknown: ("not_found", 404),
    ReplayUnknown: ("not_found", 404),
    SourceUnknown: ("source_unknown", 400),
    DeclarationInvalid: ("declaration_invalid", 400),
    PlaceInvalid: ("bad_request", 400),
    ReplayRefused: ("replay_refused", 400),
    TriggerInvalid: ("replay_refused", 400),
    ChangedMeanwhile: ("changed_meanwhile", 409),
    DestinationTestFailed: ("destination_test_failed", 409),
    OrderRefused: ("order_refused", 409),
}
"""What other stations refuse, by the names that the command line has for it too."""

REFUSALS: Final = (*_NAMED, CallRefused, HTTPException)
"""Every exception that `refusal_of` knows."""


def refusal_of(problem: Exception) -> Refused:
    """What Starlette (an unknown path, a wrong method) or another station of ours refuses as one of ours."""
    if isinstance(problem, Refused):
        return problem
    if isinstance(problem, HTTPException):
        return Refused(_NAMES.get(problem.status_code, "bad_request"), problem.detail, problem.status_code)
    if isinstance(problem, CallRefused):
        return Refused(str(problem.rejection.reason), f"the collector would refuse this call: {problem}")
    code, status = _NAMED[type(problem)]
    return Refused(code, str(problem), status, getattr(problem, "faults", ()))


def error_answer(refusal: Refused) -> JSONResponse:
    """A refusal in the one error shape."""
    unknown = refusal.status == HTTPStatus.UNAUTHORIZED
    headers = {"WWW-Authenticate": 'Basic realm="tabard"'} if unknown else None
    return JSONResponse(error_body(refusal.code, str(refusal), refusal.faults), refusal.status, headers)


def error_body(code: str, message: str, faults: Sequence[Fault] = ()) -> dict[str, Any]:
    """The one error shape; `errors` are the faults as data, as the collector has them."""
    texts = [f"{each.path}: {each.message}" for each in faults] or [message]
    data = {"errors": [{"field": each.path, "message": each.message} for each in faults]} if faults else {}
    return {"success": False, "code": code, "message": message, "meta": {"errors": texts}, **data}


async def unavailable(_: Request, problem: Exception) -> Response:
    """Answers a log that takes nothing at the moment, as the door does."""
    failure = cast("LogUnavailable", problem)
    headers = {"Retry-After": str(failure.retry_after_s)}
    return JSONResponse(error_body(failure.code, str(failure)), HTTPStatus.SERVICE_UNAVAILABLE, headers)


async def failed(_: Request, __: Exception) -> Response:
    """Answers a fault of ours; Starlette raises it on, to the log."""
    message = "Tabard failed to answer; its log says why"
    return JSONResponse(error_body("internal_error", message), HTTPStatus.INTERNAL_SERVER_ERROR)
