"""A local HTTP server in a vendor's place: it checks what the vendor checks, remembers what it took, fails on demand.

Only the network is doubled: requests go through Tabard's own HTTP client, their host swapped for this server's.
"""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from tabard.delivery.egress import Egress, EgressRules
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send

HOST_HEADER = "x-stand-in-host"
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Fault:
    """What happens to the next request instead of its answer: a status, a broken connection, or silence."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    is_reset: bool = False
    hangs_s: float = 0.0
    is_carried_out: bool = False  # the vendor does the work and the answer is lost


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: Any


class StandIn:
    """The base of all stand-ins: subclasses add routes, and `refusal` for what holds for every request.

    `faults` are for the next requests, in order; None lets one pass.
    """

    hosts: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.faults: deque[Fault | None] = deque()

    def routes(self) -> list[web.RouteDef]:
        """The vendor's endpoints."""
        raise NotImplementedError

    def refusal(self, request: web.Request, body: Any) -> web.Response | None:
        """An answer to a request that may not even be looked at (credentials, headers), or None."""
        raise NotImplementedError

    def paths(self) -> list[str]:
        """Method and path of everything that came in, in order."""
        return [f"{each.method} {each.path}" for each in self.received]

    @web.middleware
    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        host = request.headers[HOST_HEADER]
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.method, host, request.path_qs, headers, body))
        if host not in self.hosts:
            return web.json_response({"error": f"no such host: {host}"}, status=421)
        fault = self.faults.popleft() if self.faults else None
        if fault and fault.is_carried_out:
            await handler(request)
        if fault and fault.hangs_s:
            await asyncio.sleep(fault.hangs_s)
        if fault and (fault.is_reset or fault.hangs_s):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault:
            return web.json_response(fault.body, status=fault.status, headers=fault.headers)
        refused = self.refusal(request, body)
        return refused or await handler(request)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Redirected"]:
        """The server on a free port, and a `Send` whose requests to the vendor's hosts come here."""
        application = web.Application(middlewares=[self._handle], client_max_size=20_000_000)
        application.add_routes(self.routes())
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        egress = Egress(EgressRules(timeout_s=TIMEOUT_S, allows_private=True))
        try:
            yield Redirected(egress, f"http://127.0.0.1:{port}")
        finally:
            await egress.close()
            await runner.cleanup()


def basic(user: str, password: str) -> str:
    """The Authorization header of a user and password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Redirected:
    """A `Send` through the real client, with the host replaced by the stand-in's and kept in a header."""

    def __init__(self, egress: Send, base: str) -> None:
        self._egress = egress
        self.base = base

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        parts = urlsplit(request.url)
        assert parts.scheme == "https"
        url = self.base + parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {**request.headers, HOST_HEADER: parts.netloc}
        return await self._egress(HttpRequest(request.method, url, headers, request.body))
