"""The only way out: requests to destinations over aiohttp, kept away from private networks.

Addresses are checked after name resolution, at the moment a socket is made, so that neither a name nor a redirect
nor a second look-up leads inside.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import yarl

from tabard.delivery.addresses import is_refused
from tabard.destinations.kit.errors import Unreachable
from tabard.destinations.kit.request import HttpRequest, HttpResponse

USER_AGENT: Final = "Tabard"
ANSWER_BYTES_MAX: Final = 1024 * 1024
REDIRECTS_MAX: Final = 3
_METHOD_KEPT: Final = (307, 308)
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class NoAnswer(Unreachable):
    """No answer came. `code`: timeout, refused_address, connection, or broken_answer."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class AddressRefused(OSError):
    """The address is not one that destinations may have."""


@dataclass(frozen=True, slots=True)
class EgressRules:
    """timeout_s: for a whole request with its answer. allows_private: lets destinations be at private addresses."""

    timeout_s: float = 10.0
    allows_private: bool = False
    connections_max: int = 128


class Egress:
    """The connections of one destination instance; it is a `Send` (destinations.kit.request)."""

    def __init__(self, rules: EgressRules) -> None:
        """Must be made inside the event loop that uses it."""
        self._rules = rules
        connector = aiohttp.TCPConnector(
            limit=rules.connections_max,
            ttl_dns_cache=30,
            socket_factory=_any_socket if rules.allows_private else _public_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=rules.timeout_s),
            headers={"user-agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        """The answer, whatever its status; a body beyond 1 MiB is cut. Raises `NoAnswer`."""
        try:
            return await self._follow(request)
        except TimeoutError as error:
            raise NoAnswer("timeout", f"no whole answer within {self._rules.timeout_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            refused = _refusal(error)
            if refused:
                raise NoAnswer("refused_address", f"{refused}; set egress_private to allow it") from error
            raise NoAnswer("connection", f"cannot connect: {error.os_error}") from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise NoAnswer("connection", f"the connection broke: {error}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise NoAnswer("broken_answer", f"{type(error).__name__}: {error}") from error

    async def _follow(self, request: HttpRequest) -> HttpResponse:
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._once(request)
            target = answer.headers.get("location")
            if answer.status not in _METHOD_KEPT or not target:
                return answer
            request = _redirected(request, target)
        raise NoAnswer("redirects", f"more than {REDIRECTS_MAX} redirects")

    async def _once(self, request: HttpRequest) -> HttpResponse:
        async with self._session.request(
            request.method,
            yarl.URL(request.url),
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as response:
            body = await _body(response.content)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status, headers, body)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


async def _body(content: aiohttp.StreamReader) -> bytes:
    first = await content.read(ANSWER_BYTES_MAX)
    if content.at_eof():
        return first
    chunks, size = [first], len(first)
    while size < ANSWER_BYTES_MAX and (chunk := await content.read(ANSWER_BYTES_MAX - size)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _redirected(request: HttpRequest, target: str) -> HttpRequest:
    """The request to where the answer pointed; credentials do not follow to another origin."""
    url = urljoin(request.url, target)
    if urlsplit(url).scheme not in ("http", "https"):
        raise NoAnswer("broken_answer", "it redirects to something that is not http")
    if urlsplit(url)[:2] == urlsplit(request.url)[:2]:
        return HttpRequest(request.method, url, request.headers, request.body)
    kept = {name: value for name, value in request.headers.items() if name.lower() not in _CREDENTIAL_HEADERS}
    return HttpRequest(request.method, url, kept, request.body)


def _refusal(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, AddressRefused):
            return str(error)
        os_error = getattr(error, "os_error", None)
        error = os_error if isinstance(os_error, AddressRefused) else error.__cause__
    return ""


_AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, Sequence[Any]]


def _any_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def _public_socket(info: Any) -> socket.socket:
    address = info[4][0]
    if is_refused(address):
        raise AddressRefused(f"{address} is a private address")
    return _any_socket(info)
