"""uvicorn's HTTP/1.1 with the limits it lacks: the bytes of a head, the time of head and body."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tabard.settings import Settings

_LINE_BYTES: Final = 4  # ": " and the line's end


class _TooLarge(Exception):
    """Raised within the parser, which then lets the request be refused."""


def bounded_http(settings: Settings) -> type[HttpToolsProtocol]:
    """The protocol of one connection, with `header_bytes_max`, `header_timeout_s` and `body_timeout_s`."""

    class Bounded(_Bounded):
        limits = settings

    return Bounded


class _Bounded(HttpToolsProtocol):
    limits: Settings

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False
        self._in_head = True
        self._fed_bytes = self._head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """The first head is awaited."""
        super().connection_made(transport)
        self._expect_within(self.limits.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; a head that is too large already is not waited for."""
        if self._refused:
            return
        if self._in_head:
            self._expect_head()
            self._fed_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._fed_bytes > self.limits.header_bytes_max:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """A head begins, perhaps behind a request in the same piece."""
        self._expect_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._head_bytes += len(name) + len(value) + _LINE_BYTES
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete; the body is awaited."""
        if self._head_bytes > self.limits.header_bytes_max:
            self._refuse_head()
            raise _TooLarge
        self._in_head = False
        self._expect_within(self.limits.body_timeout_s)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole; the next head may come."""
        self._expect_nothing()
        self._in_head = True
        self._fed_bytes = self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, unless it was refused already."""
        if not self._refused:
            super().send_400_response(msg)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._expect_within(self.limits.header_timeout_s)

    def _expect_within(self, timeout_s: float) -> None:
        self._expect_nothing()
        late = "The request did not arrive in time."
        self._deadline = self.loop.call_later(timeout_s, self._refuse, b"408 Request Timeout", late)

    def _expect_nothing(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _refuse_head(self) -> None:
        text = f"The request head is larger than {self.limits.header_bytes_max} bytes."
        self._refuse(b"431 Request Header Fields Too Large", text)

    def _refuse(self, status: bytes, text: str) -> None:
        """Answers in place of the application, unless that has begun to, and ends the connection."""
        self._refused = True
        self._expect_nothing()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            head = b"HTTP/1.1 %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n" % (status, len(text))
            self.transport.write(head + b"connection: close\r\n\r\n" + text.encode())
        self.transport.close()
