"""HTTP as data: what an action wants sent, what came back, and the way to send that is handed in.

An action never opens a connection. It is given a `Send`: delivery's keeps the egress rules, timeouts and
records, preview's only writes down what it was asked.
"""

import base64
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec


class HttpRequest(msgspec.Struct, frozen=True):
    """One request to make. `body` is sent as it is; header names are written in lower case."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class HttpResponse(msgspec.Struct, frozen=True):
    """One answer received, whatever its status. Header names are in lower case; `body` is whole, capped."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def json(self) -> Any:
        """The decoded JSON body, or None where there is none or it is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


class Send(Protocol):
    """Makes one request and returns its answer, also for 4xx and 5xx: see `errors.raise_for_status`.

    Raises `errors.Unreachable` when there is no answer (refused, reset, timed out).
    """

    async def __call__(self, request: HttpRequest, /) -> HttpResponse: ...


def json_request(method: str, url: str, body: Any, headers: Mapping[str, str] | None = None) -> HttpRequest:
    """A request with a JSON body (and its content type)."""
    return HttpRequest(method, url, {"content-type": "application/json", **(headers or {})}, msgspec.json.encode(body))


def form_request(
    method: str, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """A request with a URL-encoded form as its body (and its content type)."""
    content_type = {"content-type": "application/x-www-form-urlencoded"}
    return HttpRequest(method, url, {**content_type, **(headers or {})}, urlencode(form).encode())


def basic_auth(user: str, password: str) -> dict[str, str]:
    """The `authorization` header of HTTP Basic authentication (RFC 7617), as a dict to merge into headers."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}


def bearer_auth(token: str) -> dict[str, str]:
    """The `authorization` header of a bearer token (RFC 6750), as a dict to merge into headers."""
    return {"authorization": f"Bearer {token}"}
