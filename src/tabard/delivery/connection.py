"""One kept HTTP/1.1 connection to a destination: a request at a time, its answer read with limits.

Written on httptools' parser: a general client costs five times the CPU of all else in a delivery (docs/delivery.md).
"""

import asyncio
from typing import Any, Final

import httptools

from tabard.destinations.kit.request import HttpResponse

ANSWER_BYTES_MAX: Final = 1024 * 1024
"""An answer's body is cut there; the rest is not read."""
HEAD_BYTES_MAX: Final = 64 * 1024
_FINAL: Final = 200


class BrokenAnswer(ValueError):
    """What came is no whole HTTP answer."""


class Connection(asyncio.Protocol):
    """Made by `loop.create_connection`; `is_free` says whether it may be asked (again)."""

    def __init__(self) -> None:
        self.is_free = False
        self.free_since_s = 0.0
        self._transport: Any = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._method = ""
        self._head_bytes = 0
        self._headers: dict[str, str] = {}
        self._is_in_body = False
        self._body: list[bytes] = []
        self._body_bytes = 0

    async def ask(self, method: str, request: bytes, timeout_s: float) -> HttpResponse:
        """The answer to a request, head and body as they are sent.

        Raises TimeoutError, OSError where the connection breaks before an answer began, and `BrokenAnswer`. After
        that, or where the wait is cancelled, the connection is closed.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[HttpResponse] = loop.create_future()
        self._answer = answer
        self.is_free, self._method = False, method
        timer = loop.call_later(timeout_s, self._failed, TimeoutError())
        self._transport.write(request)
        try:
            return await answer
        finally:
            timer.cancel()
            self._answer = None
            if not self.is_free:
                self.close()

    def close(self) -> None:
        """Closes the connection at once."""
        self.is_free = False
        if self._transport is not None:
            self._transport.abort()

    # --- what the transport says ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport, self.is_free = transport, True

    def data_received(self, data: bytes) -> None:
        """Some of an answer; anything else ends the connection."""
        if self._answer is None or self._answer.done():
            self.close()
            return
        try:
            self._parser.feed_data(data)
            if not self._is_in_body:
                self._count_head(len(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, BrokenAnswer) as problem:
            self._failed(BrokenAnswer(str(problem.__context__ or problem)))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed: the end of an answer without a length, else a failure."""
        if self._is_in_body and exc is None and not self._has_length():
            self._answered()
        elif self._is_in_body:
            self._failed(BrokenAnswer("the connection closed within the answer"))
        else:
            self._failed(ConnectionResetError(str(exc or "closed by the other side")))
        self.is_free = False
        # The parser holds this object as this object holds the parser.
        self._parser = None

    # --- what the parser says -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A further answer that nobody asked for: the connection is of no more use."""
        if self._answer is None or self._answer.done():
            self.is_free = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header or trailer."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if self._is_in_body:
            self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is whole; an answer to HEAD ends here, whatever length it names."""
        self._is_in_body = True
        if self._method == "HEAD":
            self._answered()

    def on_body(self, part: bytes) -> None:
        """Some of the body, beyond the limit cut."""
        room = ANSWER_BYTES_MAX - self._body_bytes
        self._body.append(part[:room])
        self._body_bytes += len(part)
        if len(part) > room:
            self._answered()

    def on_message_complete(self) -> None:
        """The answer is whole; one like 103 only announces another."""
        if self._parser.get_status_code() < _FINAL:
            self._headers, self._is_in_body = {}, False
        else:
            self._answered(is_whole=True)

    # --- ends -----------------------------------------------------------------------------------------------------

    def _answered(self, *, is_whole: bool = False) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        answer.set_result(HttpResponse(self._parser.get_status_code(), self._headers, body))
        # Whoever answers before all was sent may not read the rest.
        self.is_free = is_whole and self._parser.should_keep_alive() and not self._transport.get_write_buffer_size()
        self._headers, self._body, self._body_bytes = {}, [], 0
        self._head_bytes, self._is_in_body = 0, False

    def _failed(self, error: Exception) -> None:
        self.is_free = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _has_length(self) -> bool:
        return "content-length" in self._headers or "transfer-encoding" in self._headers

    def _count_head(self, number: int) -> None:
        self._head_bytes += number
        if self._head_bytes > HEAD_BYTES_MAX:
            raise BrokenAnswer(f"its head is larger than {HEAD_BYTES_MAX // 1024} KiB")
