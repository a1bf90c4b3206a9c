"""Errors of the web role in the one shape of every Tabard endpoint (docs/design.md §2.8)."""

from http import HTTPStatus
from typing import Any, Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.log.interface import LogUnavailable

_NAMES: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Refused(Exception):
    """A request the web role refuses: `code` from a small set, a sentence that names the fix, the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def refusal_of(problem: HTTPException) -> Refused:
    """What Starlette itself refuses (an unknown path, a wrong method) as one of ours."""
    return Refused(_NAMES.get(problem.status_code, "bad_request"), problem.detail, problem.status_code)


def error_answer(refusal: Refused) -> JSONResponse:
    """A refusal in the one error shape."""
    unknown = refusal.status == HTTPStatus.UNAUTHORIZED
    headers = {"WWW-Authenticate": 'Basic realm="tabard"'} if unknown else None
    return JSONResponse(error_body(refusal.code, str(refusal)), refusal.status, headers)


def error_body(code: str, message: str) -> dict[str, Any]:
    """The one error shape."""
    return {"success": False, "code": code, "message": message, "meta": {"errors": [message]}}


async def unavailable(_: Request, problem: Exception) -> Response:
    """Answers a log that takes nothing at the moment, as the door does."""
    failure = cast("LogUnavailable", problem)
    headers = {"Retry-After": str(failure.retry_after_s)}
    return JSONResponse(error_body(failure.code, str(failure)), HTTPStatus.SERVICE_UNAVAILABLE, headers)


async def failed(_: Request, __: Exception) -> Response:
    """Answers a fault of ours; Starlette raises it on, to the log."""
    message = "Tabard failed to answer; its log says why"
    return JSONResponse(error_body("internal_error", message), HTTPStatus.INTERNAL_SERVER_ERROR)
