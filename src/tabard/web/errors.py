"""Errors of the web role in the one shape of every Tabard endpoint (docs/design.md §2.8)."""

from http import HTTPStatus
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Refused(Exception):
    """A request the web role refuses: `code` from a small set, a sentence that names the fix, the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def error_body(code: str, message: str) -> dict[str, Any]:
    """The one error shape."""
    return {"success": False, "code": code, "message": message, "meta": {"errors": [message]}}


async def refused(_: Request, problem: Exception) -> Response:
    """Answers a `Refused`."""
    refusal = cast("Refused", problem)
    unknown = refusal.status == HTTPStatus.UNAUTHORIZED
    headers = {"WWW-Authenticate": 'Basic realm="tabard"'} if unknown else None
    return JSONResponse(error_body(refusal.code, str(refusal)), refusal.status, headers)


async def http_error(_: Request, problem: Exception) -> Response:
    """Answers what Starlette itself refuses: an unknown path, a wrong method."""
    refusal = cast("HTTPException", problem)
    names = {404: "not_found", 405: "method_not_allowed"}
    body = error_body(names.get(refusal.status_code, "bad_request"), refusal.detail)
    return JSONResponse(body, refusal.status_code, refusal.headers)
