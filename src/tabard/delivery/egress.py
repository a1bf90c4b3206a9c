"""The only way out: requests to destinations over kept HTTP/1.1 connections, kept away from private networks.

Addresses are checked after name resolution, at the moment a socket is made, so that neither a name nor a redirect
nor a second look-up leads inside.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from tabard.delivery.addresses import is_refused
from tabard.delivery.connection import BrokenAnswer, Connection
from tabard.delivery.names import Address, Names
from tabard.destinations.kit.errors import PayloadInvalid, Unreachable
from tabard.destinations.kit.request import HttpRequest, HttpResponse, basic_auth

USER_AGENT: Final = "Tabard"
REDIRECTS_MAX: Final = 3
IDLE_S: Final = 15.0
"""How long a connection is kept idle, a third longer at most: then its other end may be about to close it."""
ORIGINS_MAX: Final = 64
"""Of so many servers connections are kept, for an action that takes its URL from the message."""
_METHOD_KEPT: Final = (307, 308)
_OUR_HEADERS: Final = frozenset(
    {"host", "user-agent", "accept-encoding", "content-length", "transfer-encoding", "connection", "expect", "upgrade"}
)
_WITHOUT_BODY: Final = ("GET", "HEAD")
_PORTS: Final = {"http": 80, "https": 443}
_QUOTED_ALREADY: Final = "%!#$&'()*+,/:;=?@[]~"


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


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a URL leads. origin: requests to one share connections. head: what its requests begin with, but for the
    method: path, and the headers that are the same in all of them.
    """

    scheme: str
    host: str
    port: int
    origin: str
    head: str


class Egress:
    """The connections of one destination instance; it is a `Send` (destinations.kit.request).

    There are as many as requests at once, which `pace` limits.
    """

    def __init__(self, rules: EgressRules, names: Names | None = None) -> None:
        """`names`: shared by all instances of a process."""
        self._rules = rules
        self._names = names or Names()
        self._free: dict[str, deque[Connection]] = {}
        self._tidying: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        """The answer, whatever its status; a body beyond 1 MiB is cut. Raises `NoAnswer`, and `PayloadInvalid` for
        what is no HTTP request.
        """
        for _ in range(REDIRECTS_MAX + 1):
            try:
                answer = await self._once(request)
            except (OSError, BrokenAnswer) as error:
                raise _no_answer(error, self._rules.timeout_s) from error
            url = followed(request.url, answer.headers.get("location", "")) if answer.status in _METHOD_KEPT else ""
            if not url:
                return answer
            request = HttpRequest(request.method, url, request.headers, request.body)
        raise NoAnswer("redirects", f"more than {REDIRECTS_MAX} redirects")

    async def close(self) -> None:
        """Closes the connections that are free; the others close with their requests."""
        self._is_closed = True
        if self._tidying:
            self._tidying.cancel()
        for origin in list(self._free):
            self._drop(origin)

    async def _once(self, request: HttpRequest) -> HttpResponse:
        loop = asyncio.get_running_loop()
        target = _target(request.url)
        sent, until_s = _bytes_of(request, target), loop.time() + self._rules.timeout_s
        connection = self._newest(target.origin) or await self._connected(target)
        answer = await connection.ask(request.method, sent, until_s - loop.time())
        if connection.is_free:
            self._keep(target.origin, connection, loop)
        return answer

    # --- connections ----------------------------------------------------------------------------------------------

    def _newest(self, origin: str) -> Connection | None:
        """The connection that was used last, if it can be used again."""
        free = self._free.get(origin)
        while free:
            connection = free.pop()
            if connection.is_free:
                return connection
        return None

    def _keep(self, origin: str, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_closed:
            connection.close()
            return
        if origin not in self._free:
            if len(self._free) >= ORIGINS_MAX:
                self._drop(next(iter(self._free)))
            self._free[origin] = deque()
        connection.free_since_s = loop.time()
        self._free[origin].append(connection)
        if self._tidying is None:
            self._tidying = loop.call_later(IDLE_S, self._tidy, loop)

    def _tidy(self, loop: asyncio.AbstractEventLoop) -> None:
        """Closes what has been idle for too long; again after a while, as long as something is kept."""
        idle_since_s = loop.time() - IDLE_S
        for origin, free in list(self._free.items()):
            while free and free[0].free_since_s <= idle_since_s:
                free.popleft().close()
            if not free:
                del self._free[origin]
        self._tidying = loop.call_later(IDLE_S / 3, self._tidy, loop) if self._free else None

    def _drop(self, origin: str) -> None:
        for connection in self._free.pop(origin):
            connection.close()

    async def _connected(self, target: _Target) -> Connection:
        async with asyncio.timeout(self._rules.timeout_s):
            addresses = await self._names.addresses(target.host, target.port)
            for address in addresses[:-1]:
                # A dead address must leave time for the next one.
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(self._rules.timeout_s / len(addresses)):
                        return await self._connected_to(address, target)
            return await self._connected_to(addresses[-1], target)

    async def _connected_to(self, address: Address, target: _Target) -> Connection:
        if not self._rules.allows_private and is_refused(address.host):
            raise AddressRefused(f"{address.host} is a private address")
        loop = asyncio.get_running_loop()
        made = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, address.place)
            secure = {"ssl": _tls(), "server_hostname": target.host} if target.scheme == "https" else {}
            _, connection = await loop.create_connection(Connection, sock=made, **secure)  # type: ignore[call-overload]
        except BaseException:
            made.close()
            raise
        return connection  # type: ignore[no-any-return]


def _no_answer(error: Exception, timeout_s: float) -> NoAnswer:
    if isinstance(error, TimeoutError):
        return NoAnswer("timeout", f"no whole answer within {timeout_s:g} s")
    if isinstance(error, AddressRefused):
        return NoAnswer("refused_address", f"{error}; set egress_private to allow it")
    if isinstance(error, BrokenAnswer):
        return NoAnswer("broken_answer", f"the answer is not HTTP: {error}")
    return NoAnswer("connection", f"cannot connect, or the connection broke: {error}")


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


@lru_cache(maxsize=1_024)
def _target(url: str) -> _Target:
    """Where a URL leads. Raises `PayloadInvalid` for what is no http or https URL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode()
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise PayloadInvalid("url", "is no http or https URL") from error
    if not host:
        raise PayloadInvalid("url", "names no host")
    shown = f"[{host}]" if ":" in host else host
    place = shown if port == _PORTS[parts.scheme] else f"{shown}:{port}"
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_QUOTED_ALREADY)
    user = basic_auth(unquote(parts.username), unquote(parts.password or "")) if parts.username else {}
    headers = {"host": place, "user-agent": USER_AGENT, "accept-encoding": "identity", **user}
    head = "\r\n".join([f"{path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())])
    return _Target(parts.scheme, host, port, f"{parts.scheme}://{place}", head)


def _bytes_of(request: HttpRequest, target: _Target) -> bytes:
    """The request as it is sent. To whom it goes and how it is framed is ours to say, whatever its headers do."""
    lines = [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in _OUR_HEADERS]
    if request.body or request.method not in _WITHOUT_BODY:
        lines.append(f"content-length: {len(request.body)}")
    fields = "\r\n".join([*lines, "", ""])
    # A line break in a value would begin another header, or another request.
    breaks = len(lines) + 1
    if fields.count("\n") != breaks or fields.count("\r") != breaks or "\0" in fields:
        raise PayloadInvalid("headers", "hold a line break")
    if not request.method.isalpha():
        raise PayloadInvalid("method", "is none")
    return f"{request.method} {target.head}\r\n{fields}".encode() + request.body


def followed(url: str, location: str) -> str:
    """Where a redirect is followed to, '' where it is not: to its own origin only, or its https on the usual ports.

    Any header may be a credential, and the body is somebody's data: neither goes where the operator did not send it.
    """
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        schemes, ports = (old.scheme, new.scheme), (old.port or _PORTS[old.scheme], new.port or _PORTS[new.scheme])
    except (ValueError, KeyError):
        return ""
    is_same = schemes[0] == schemes[1] and ports[0] == ports[1]
    is_its_https = schemes == ("http", "https") and ports == (80, 443)
    return target if location and old.hostname == new.hostname and (is_same or is_its_https) else ""
