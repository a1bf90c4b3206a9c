"""One batch over HTTP: the only file that opens a connection."""

# The codec of host names, which `socket` would import at the first connection: a fork in that very moment leaves the
# child with an import lock that nobody will ever release. The sender's thread must import nothing at all.
import encodings.idna  # noqa: F401
import gzip
import http.client
import os
import ssl
import time
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from tabard_client.limits import ANSWER_BYTES_MAX
from tabard_client.version import VERSION

_GZIP_LEVEL = 6
# What lies longer may be dead without a sign: a process that was frozen, an address translation that has forgotten it.
# Load balancers close after 60 s and more.
_IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` 0 with the reason in `body` when nothing did."""

    status: int
    body: bytes = b""
    retry_after: str | None = None


def server_url(host: str) -> SplitResult:
    """`host` as the address of a server; https when no scheme is named.

    Raises ValueError, with what to write instead.
    """
    url = urlsplit(host if "://" in host else f"https://{host}")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError(f"host must look like https://collector.example.com, not {host!r}")
    if url.username or url.query or url.fragment:
        raise ValueError("host must have no user name, query or fragment; the write key is its own argument")
    _ = url.port  # raises ValueError when it is no number
    return url


class Transport:
    """A kept-alive connection to `POST {host}/v1/batch`. For one thread at a time.

    `proxies` maps scheme to proxy address as in `requests`; None takes them from the environment.
    """

    def __init__(
        self, url: SplitResult, write_key: str, *, timeout_s: float, compress: bool, proxies: Mapping[str, str] | None
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._compress = compress
        self._proxy = _proxy(url, proxies)
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0
        self._headers = {
            "Authorization": "Basic " + b64encode(f"{write_key}:".encode()).decode(),
            "Content-Type": "application/json",
            "User-Agent": f"tabard-python/{VERSION}",
        }
        if compress:
            self._headers["Content-Encoding"] = "gzip"
        self._path = url.path.rstrip("/") + "/v1/batch"
        if self._proxy and url.scheme == "http":
            self._path = f"http://{url.netloc}{self._path}"

    def post(self, messages: Sequence[bytes], *, attempt: int) -> Answer:
        """The server's answer to one batch; never raises. `sentAt` is the time of this very attempt."""
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        body = b'{"batch":[%b],"sentAt":"%b"}' % (b",".join(messages), sent_at.encode())
        if self._compress:
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        headers = self._headers if attempt == 0 else {**self._headers, "X-Retry-Count": str(attempt)}
        # By the wall clock: the other one stands still while a machine sleeps.
        if not 0 <= time.time() - self._used_at < _IDLE_S:
            self.close()
        reused = self._connection is not None
        try:
            try:
                return self._exchange(body, headers)
            except (ConnectionError, ssl.SSLError):
                # A server may close an idle connection at any moment; that is no failed attempt.
                if not reused:
                    raise
                self.close()
                return self._exchange(body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(0, f"{type(error).__name__}: {error}".encode())

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._path, body, dict(headers))
        response = self._connection.getresponse()
        self._used_at = time.time()
        answer = Answer(response.status, response.read(ANSWER_BYTES_MAX), response.headers.get("Retry-After"))
        if response.will_close or not response.isclosed():
            self.close()
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        secure = self._url.scheme == "https"
        first = self._proxy or self._url
        host = first.hostname or ""
        if not secure:
            return http.client.HTTPConnection(host, first.port or 80, timeout=self._timeout_s)
        connection = http.client.HTTPSConnection(
            host, first.port or 443, timeout=self._timeout_s, context=ssl.create_default_context()
        )
        if self._proxy:
            connection.set_tunnel(self._url.hostname or "", self._url.port or 443)
        return connection

    def close(self) -> None:
        """Close the connection; the next post opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """In a forked child: give up the copy of the parent's connection, without a word to the server.

        Only the descriptor is closed. The parent's thread may have been reading at the fork; then the reader's lock
        is held for ever in the child, and `close` would wait for it.
        """
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            os.close(connection.sock.detach())


def _proxy(url: SplitResult, proxies: Mapping[str, str] | None) -> SplitResult | None:
    if proxies is None:
        if urllib.request.proxy_bypass(url.hostname or ""):
            return None
        proxies = urllib.request.getproxies()
    address = proxies.get(url.scheme)
    if not address:
        return None
    return urlsplit(address if "://" in address else f"http://{address}")
