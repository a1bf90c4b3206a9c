"""`bind_request` around every request, for WSGI (Flask, Django) and ASGI (Starlette, FastAPI) applications."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from tabard_client.identity import bind, resumed
from tabard_client.web_request import bind_request

log = logging.getLogger("tabard_client")


def _bind(request: object, proxies_trusted: int) -> bind:
    """The request's identity; nobody's where it cannot be read, for the application must be asked in any case."""
    try:
        return bind_request(request, proxies_trusted=proxies_trusted)
    except Exception:
        log.exception("nobody is bound: the request cannot be read")
        return bind()


class WsgiIdentity:
    """`app = WsgiIdentity(app)`: calls made while a request is answered carry its context and anonymousId.

    A streamed body is part of the answer: the bind is taken up again for each of its parts and for its close.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], *, proxies_trusted: int = 0) -> None:
        self._app = app
        self._proxies_trusted = proxies_trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        with _bind(environ, self._proxies_trusted) as person:
            body = self._app(environ, start_response)
        return body if _runs_no_code(body, environ) else _BoundBody(body, person)


def _runs_no_code(body: Iterable[bytes], environ: dict[str, Any]) -> bool:
    """A plain sequence, or the server's own file wrapper, which the server must recognise to send it fast."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(body, list | tuple) or (isinstance(wrapper, type) and isinstance(body, wrapper))


class _BoundBody:
    """The parts of `body`, each made within `person`; between them the thread is the server's again."""

    def __init__(self, body: Iterable[bytes], person: bind) -> None:
        self._body = body
        self._person = person
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with resumed(self._person):
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)

    def close(self) -> None:
        """Close the body, as WSGI asks of whoever wraps one."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with resumed(self._person):
                close()


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
        with _bind(scope, self._proxies_trusted):
            await self._app(scope, receive, send)
