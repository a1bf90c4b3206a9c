"""A real HTTP server on loopback that answers as told and keeps what it got."""

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUCCESS = b'{"success": true}'


@dataclass
class Reply:
    """One answer. `hangs_up` closes the connection without any; `pause_s` lies between its head and its body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = SUCCESS
    hangs_up: bool = False
    pause_s: float = 0


@dataclass
class Call:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    at: float

    @property
    def ids(self) -> list[str]:
        return [message["messageId"] for message in self.body["batch"]]


class Recorder:
    """`reply` decides each answer by the number of the request; `messages` are those that were answered 200."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.messages: list[dict[str, Any]] = []
        self.reply: Callable[[int], Reply] = lambda _: Reply()
        self.connections = 0
        self.open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.tls: ssl.SSLContext | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the port of before if there was one."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it the answer's headers and body meet Nagle and delayed acks: 40 ms a request.
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                recorder.connections += 1
                recorder.open.add(self.connection)

            def finish(self) -> None:
                recorder.open.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                recorder.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            request_queue_size = 128
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up, or refuses our certificate, is none of the server's business."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Hang up on everybody and refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        raw = request.rfile.read(int(request.headers["Content-Length"]))
        plain = gzip.decompress(raw) if request.headers.get("Content-Encoding") == "gzip" else raw
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.path, headers, raw, json.loads(plain), time.monotonic())
        with self._lock:
            self.calls.append(call)
            reply = self.reply(len(self.calls))
            if reply.status == 200 and not reply.hangs_up:
                self.messages.extend(call.body["batch"])
        if reply.hangs_up:
            request.close_connection = True
            return
        request.send_response(reply.status)
        for name, value in reply.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(reply.body)))
        request.end_headers()
        time.sleep(reply.pause_s)
        request.wfile.write(reply.body)

    @property
    def ids(self) -> list[str]:
        return [message["messageId"] for message in self.messages]

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Until `condition` holds; fails after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout_s} s; {len(self.messages)} messages arrived"
            time.sleep(0.01)
