"""HTTP/1.1 on one connection: whole requests to the door, answers back in order, limits on all that a client can send.

Written on httptools' parser without ASGI between: a task, an event and two messages a request would cost as much as
all the rest of an accepted call. Bounded are the bytes of the head, the time for head and body, the bytes of a body and
of all bodies held, the connections in total and per address; from a client that does not read nothing is read.
"""

import asyncio
import math
from collections import deque
from typing import Final

import httptools

from tabard.collector.connections import Connections
from tabard.collector.request import Answer, Request

KEEP_ALIVE_S: Final = 75.0
"""How long an idle connection stays: longer than the 60 s of the usual load balancers, which would race us."""

ANSWER_S: Final = 60.0
"""How long an answer may take before the client is let go; what it sent may still be kept."""

LINGER_S: Final = 5.0
"""How long we go on reading after an early refusal: closing at once would take the answer away from the client."""

REST_S: Final = 2.0
"""How long a request that has begun to arrive may take to arrive whole once the collector stops."""

HELD_BYTES_MAX: Final = 96 * 1024 * 1024
"""Bytes of bodies that one process holds at once; further bodies are dropped and answered with 503."""

_HEADER_OVERHEAD_BYTES: Final = 4  # ": " and the line's end
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n\r\n"
_KEEP: Final = b"connection: keep-alive\r\n\r\n"
_END: Final = b"\r\n"
_DIGITS_MAX: Final = 20
_NEVER: Final = math.inf


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < _DIGITS_MAX else 0


class Connection(asyncio.Protocol):
    """One connection. The requests of a pipeline are answered one after the other."""

    def __init__(self, shared: Connections) -> None:
        self.peer = ""
        self.deadline = _NEVER
        self._shared = shared
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._lost = False
        self._deaf = False  # what still comes in is thrown away
        self._half_closed = False  # nothing more can come in
        self._reading = True
        self._unread = False  # the client does not take our answers
        # the request that comes in
        self._in_head = True
        self._head_fed_bytes = 0
        self._wire_bytes = 0
        self.on_message_begin()
        # the request that is answered, and those behind it
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._answering: Request | None = None
        self._answering_bytes = 0
        self._keep_open = True
        self._answer_by = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection in, or refuses it where there are too many."""
        self._transport = transport  # type: ignore[assignment]
        peername = transport.get_extra_info("peername")
        self.peer = str(peername[0]) if peername else ""
        self.deadline = self._shared.now() + self._shared.settings.header_timeout_s
        if not self._shared.admit(self):
            self._refuse(self._shared.respond.unavailable("too_many_connections", "too many connections are open", 1))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (why does not matter)
        """Counts the connection out and lets go of what it held."""
        self._lost = True
        self._shared.dismiss(self)
        self._release(self._body_bytes)
        self._forget_waiting()

    def eof_received(self) -> bool:
        """Whether the connection stays: a client that has sent all may still wait for its answer."""
        is_owed = self._answering is not None or bool(self._waiting)
        if not is_owed or self._transport.get_extra_info("sslcontext") is not None:
            return False
        self._deaf = self._half_closed = True
        return True

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, which calls the `on_…` methods below."""
        if self._deaf:
            return
        if self._in_head:
            if not self._head_fed_bytes and self._answering is None:
                self.deadline = self._shared.now() + self._shared.settings.header_timeout_s
            self._head_fed_bytes += len(data)
        else:
            self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as problem:
            self._refuse(self._shared.respond.malformed(f"this is no HTTP request: {problem}"))
            return
        if self._in_head and self._head_fed_bytes > self._shared.settings.header_bytes_max:
            self._refuse_head()
        elif self._wire_bytes > self._shared.wire_bytes_max:
            self._refuse_body()

    # -- the parser's calls, in their order

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._dropped: bool = False
        self._no_room: bool = False

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a chunked body, which nobody asked for."""
        if not self._in_head:
            return
        self._head_bytes += len(name) + len(value) + _HEADER_OVERHEAD_BYTES
        name = name.lower()
        headers = self._headers
        headers[name] = value if name not in headers else headers[name] + b", " + value

    def on_headers_complete(self) -> None:
        """The head is complete."""
        shared = self._shared
        self._in_head = False
        self._wire_bytes = 0
        if self._head_bytes > shared.settings.header_bytes_max:
            self._refuse_head()
            return
        self.deadline = shared.now() + (REST_S if shared.draining else shared.settings.body_timeout_s)
        if _number(self._headers.get(b"content-length", b"")) > shared.wire_bytes_max:
            self._refuse_body()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and self._answering is None:
            self._transport.write(_CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        if self._dropped:
            return
        shared = self._shared
        self._body.append(chunk)
        self._body_bytes += len(chunk)
        shared.held_bytes += len(chunk)
        self._no_room = shared.held_bytes > HELD_BYTES_MAX
        if self._no_room or self._body_bytes > shared.body_bytes_max:
            self._drop_body()

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._deaf or self._parser.should_upgrade():
            return
        body = self._body
        request = Request(
            self._parser.get_method(),
            self._url,
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            self.peer,
            self._dropped,
        )
        keep_open = self._parser.should_keep_alive()
        self._in_head = True
        self._head_fed_bytes = self._body_bytes = self._wire_bytes = 0
        if self._no_room:
            self._refuse(self._shared.respond.unavailable("busy", "too many bodies are held: come again", 1))
        elif self._answering is None and not self._waiting and not self._unread:
            self._ask(request, keep_open)
        else:
            self._waiting.append((request, keep_open))
            self._pause()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Reads the request as if it had not asked for another protocol; the parser leaves its body out otherwise."""
        if self._parser.get_method() == b"CONNECT":
            self._refuse(self._shared.respond.malformed("this is no proxy"))
            return
        kept = ((name, value) for name, value in self._headers.items() if name not in (b"upgrade", b"connection"))
        head = b"%s %s HTTP/1.1\r\n" % (self._parser.get_method(), self._url)
        self._parser = httptools.HttpRequestParser(self)
        self._in_head, self._head_fed_bytes = True, 0
        self.data_received(head + b"".join(b"%s: %s\r\n" % header for header in kept) + b"\r\n" + rest)

    # -- answers

    def _ask(self, request: Request, keep_open: bool) -> None:
        self._answering = request
        self._answering_bytes = len(request.body)
        self._keep_open = keep_open and self._keep_open
        self.deadline = self._answer_by = self._shared.now() + ANSWER_S
        self._shared.receive(request, self._answered)

    def _answered(self, answer: Answer) -> None:
        request = self._answering
        if request is None:
            return
        self._answering = None
        self._release(self._answering_bytes)
        if self._lost:
            return
        if self._shared.draining or (self._deaf and not self._waiting):
            self._keep_open = False
        kept = _KEEP if b"connection" in request.headers else _END
        ending = kept if self._keep_open else _CLOSE
        self._transport.write(answer.head + ending + (answer.body if request.method != b"HEAD" else b""))
        if not self._keep_open:
            self._hang_up()
        elif self._waiting:
            # Not from here: a pipeline of a thousand requests would be a stack of a thousand calls.
            asyncio.get_running_loop().call_soon(self._ask_next)
        else:
            self._wait_for_request()

    def _ask_next(self) -> None:
        if self._waiting and self._answering is None and not (self._lost or self._unread):
            self._ask(*self._waiting.popleft())
        if not self._waiting and not self._unread:
            self._resume()

    def _wait_for_request(self) -> None:
        settings = self._shared.settings
        if not self._in_head:
            allowed_s = settings.body_timeout_s
        elif self._head_fed_bytes:
            allowed_s = settings.header_timeout_s
        else:
            allowed_s = KEEP_ALIVE_S
        self.deadline = self._shared.now() + allowed_s

    def _refuse(self, answer: Answer) -> None:
        """Answers what is no request for the door and hears no more; where answers are due, they are the last."""
        self._deaf = True
        if self._answering is None and not self._waiting and not self._lost:
            self._transport.write(answer.head + _CLOSE + answer.body)
            self._hang_up()

    def _refuse_head(self) -> None:
        self._refuse(self._shared.respond.head_too_large(self._shared.settings.header_bytes_max))

    def _refuse_body(self) -> None:
        """Has the door refuse a body that is far too long without waiting for its end."""
        self._drop_body()
        self._deaf = True
        if self._answering is None and not self._waiting:
            self._ask(
                Request(self._parser.get_method(), self._url, self._headers, b"", self.peer, True), keep_open=False
            )

    def _drop_body(self) -> None:
        self._dropped = True
        self._release(self._body_bytes)
        self._body_bytes = 0
        self._body.clear()

    def _forget_waiting(self) -> None:
        for request, _ in self._waiting:
            self._release(len(request.body))
        self._waiting.clear()

    def _release(self, held_bytes: int) -> None:
        self._shared.held_bytes -= held_bytes

    # -- the end

    def expire(self) -> None:
        """The deadline is over: says so where a request was begun, and ends the connection."""
        if self._answering is not None and self._shared.now() < self._answer_by:
            self.deadline = self._answer_by
        elif self._deaf or self._unread or self._answering is not None:
            self._transport.abort()
        elif self._in_head and not self._head_fed_bytes:
            self._transport.close()
        elif self._shared.draining:
            self._refuse(self._shared.respond.unavailable("stopping", "the collector stops: send it again", 1))
        else:
            self._refuse(self._shared.respond.timed_out())

    def end_soon(self) -> None:
        """Closes the connection unless a request is under way; one that has not come whole has two more seconds."""
        if self._answering is None and self._in_head and not self._head_fed_bytes:
            self._transport.close()
        elif self._answering is None and not self._deaf:
            self.deadline = min(self.deadline, self._shared.now() + REST_S)

    def _hang_up(self) -> None:
        """Closes, but where something may still come in, first tells the client and lets it read the answer."""
        self._forget_waiting()
        if self._deaf and not self._half_closed and self._transport.can_write_eof():
            self._transport.write_eof()
            self.deadline = self._shared.now() + (0.0 if self._shared.draining else LINGER_S)
        else:
            self._deaf = True
            self._transport.close()

    # -- flow control

    def pause_writing(self) -> None:
        """The client does not read: nothing more is read from it, and it has as long as for a body to go on."""
        self._unread = True
        self._pause()
        self.deadline = self._shared.now() + self._shared.settings.body_timeout_s

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread = False
        self._wait_for_request()
        self._ask_next()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and not self._lost:
            self._reading = True
            self._transport.resume_reading()
