"""`bind_request` around every request, for WSGI (Flask, Django) and ASGI (Starlette, FastAPI) applications."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from tabard_client.web_request import bind_request


class WsgiIdentity:
    """`app = WsgiIdentity(app)`: calls made while a request is answered carry its context and anonymousId."""

    def __init__(self, app: Callable[..., Iterable[bytes]], *, proxies_trusted: int = 0) -> None:
        self._app = app
        self._proxies_trusted = proxies_trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        with bind_request(environ, proxies_trusted=self._proxies_trusted):
            return self._app(environ, start_response)


class AsgiIdentity:
    """`app = AsgiIdentity(app)` or `app.add_middleware(AsgiIdentity)`: the same for ASGI, websockets included."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, proxies_trusted: int = 0) -> None:
        self._app = app
        self._proxies_trusted = proxies_trusted

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., object], send: Callable[..., object]
    ) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        with bind_request(scope, proxies_trusted=self._proxies_trusted):
            await self._app(scope, receive, send)
