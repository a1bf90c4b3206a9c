"""What happened → the HTTP answer. The only file with status codes and the only one that knows the error shape.

Success is exactly 200 with `{"success":true}`; a refused call is 400, because published clients retry 413 and 422; a
key that opens nothing is 401 (sdks.md §3). Errors carry `code`, `message` and `meta.errors` together (wire.md §1.7).
"""

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

from tabard.collector.request import Answer
from tabard.log.interface import LogUnavailable
from tabard.message.rejection import Reason, Rejection

_STATUS: Final = {
    Reason.NO_WRITE_KEY: 401,
    Reason.UNKNOWN_SOURCE: 401,
    Reason.KEY_ROTATED: 401,
    Reason.SOURCE_DISABLED: 401,
    Reason.ORIGIN_NOT_ALLOWED: 403,
    Reason.TOO_MANY_REQUESTS: 429,
}
"""The reasons that are not 400."""

ERRORS_LISTED_MAX: Final = 100
"""How many of a batch's refused items an answer describes; `rejected` counts them all."""

GIF: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""A transparent image of one pixel."""

_JSON: Final = b"application/json"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_OK_BODY: Final = b'{"success":true}'
_ANY_ORIGIN: Final = b"access-control-allow-origin: *\r\n"
_EXPOSED: Final = b"access-control-expose-headers: Retry-After, X-Tabard-Position\r\n"
_encode: Final = msgspec.json.Encoder().encode


class Responder:
    """Builds answers. `tick` once a second keeps their `Date` right."""

    REFUSED: Final = 400
    """What a call that is not sound gets."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self.tick()

    def tick(self) -> None:
        """Takes the time for the `Date` of the next answers."""
        self._date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        self._accepted = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s"
            b"x-tabard-position: %d:%%d\r\n" % (len(_OK_BODY), self._date + _ANY_ORIGIN + _EXPOSED, self._partition)
        )

    def accepted(self, position: int, origin: bytes | None) -> Answer:
        """200 for calls that are all on disk; `position` is the offset of the last of them."""
        if origin is None:
            return Answer(200, self._accepted % position, _OK_BODY)
        return self.json(200, _OK_BODY, origin, self._position(position))

    def _position(self, offset: int) -> tuple[tuple[bytes, bytes], ...]:
        """The header that says where in the log the last accepted item stands."""
        return ((b"x-tabard-position", b"%d:%d" % (self._partition, offset)),)

    def success(self, origin: bytes | None = None) -> Answer:
        """200 where nothing had to be kept: an empty batch, a client's own counters."""
        return self.json(200, _OK_BODY, origin)

    def partly_accepted(
        self, accepted: int, rejections: Sequence[Rejection], last_offset: int | None, origin: bytes | None
    ) -> Answer:
        """200 for a batch of which some items were refused; they are counted and described by their index."""
        body = {"success": True, "accepted": accepted, "rejected": len(rejections)} | _described(rejections)
        headers = self._position(last_offset) if last_offset is not None else ()
        return self.json(200, _encode(body), origin, headers)

    def refused(
        self, rejections: Sequence[Rejection], origin: bytes | None = None, retry_after_s: int | None = None
    ) -> Answer:
        """The error for a request of which nothing was accepted. Its code is that of the first refusal."""
        first = rejections[0]
        message = first.message
        if first.index is not None:
            message = f"all {len(rejections)} items were refused; the first: {message}"
        body = {"success": False, "code": first.reason.value, "message": message} | _described(rejections)
        headers = ((b"retry-after", b"%d" % retry_after_s),) if retry_after_s is not None else ()
        return self.json(self.status_of(first.reason), _encode(body), origin, headers)

    def unavailable(self, code: str, message: str, retry_after_s: int, origin: bytes | None = None) -> Answer:
        """503: nothing of the request was kept, the client shall come again."""
        return self._error(503, code, message, origin, ((b"retry-after", b"%d" % retry_after_s),))

    def log_unavailable(self, problem: LogUnavailable, origin: bytes | None = None) -> Answer:
        """503 for a log that cannot commit now. What it says of folders and disks is for the operator alone."""
        return self.unavailable(problem.code, "calls cannot be kept now: send it again", problem.retry_after_s, origin)

    def not_found(self, path: bytes) -> Answer:
        """404 for a path that is none of ours."""
        shown = path[:200].decode("utf-8", "replace")
        return self._error(404, "not_found", f"there is nothing at {shown}: docs/http-api.md lists the paths")

    def method_not_allowed(self, allowed: Sequence[bytes]) -> Answer:
        """405, naming the methods of the path."""
        methods = b", ".join(allowed)
        return self._error(
            405, "method_not_allowed", f"this path takes {methods.decode()}", headers=((b"allow", methods),)
        )

    def malformed(self, message: str) -> Answer:
        """400 for what is no HTTP request."""
        return self._error(self.REFUSED, "bad_request", message)

    def timed_out(self) -> Answer:
        """408 for a request that came too slowly."""
        return self._error(408, "request_timeout", "the request did not arrive in time: send it faster or smaller")

    def head_too_large(self, limit: int) -> Answer:
        """431 for a request head above the limit."""
        return self._error(431, "head_too_large", f"the request head is larger than {limit} bytes: send less of it")

    def failed(self) -> Answer:
        """500: a fault of ours. What the request said was not kept."""
        return self._error(500, "internal_error", "the collector failed; it was logged. Send the call again")

    def preflight(self, headers: tuple[tuple[bytes, bytes], ...]) -> Answer:
        """204 to a browser's question whether it may send the real request."""
        return Answer(204, self._head(204, headers), b"")

    def pixel(self, status: int) -> Answer:
        """The pixel's image. A refused call is 200 there, once it is on disk: nobody reads an image's error."""
        shown = 200 if status == self.REFUSED else status
        return self.body(shown, b"image/gif", GIF, None, ((b"cache-control", b"no-store, private"),))

    def file(self, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> Answer:
        """A file of the browser client, which brings all its headers but the length."""
        length = () if status == HTTPStatus.NOT_MODIFIED else ((b"content-length", b"%d" % len(body)),)
        return Answer(status, self._head(status, headers + length), body)

    def metrics(self, page: bytes) -> Answer:
        """200 with the metrics, which no page of another site may read."""
        return self._closed(200, _METRICS, page)

    def metrics_closed(self) -> Answer:
        """403 for a caller from a network that may not read the metrics."""
        message = "metrics are read from the networks in the setting metrics_readers only; add yours there"
        return self._closed(403, _JSON, _encode(_failure("metrics_closed", message)))

    def _closed(self, status: int, content_type: bytes, body: bytes) -> Answer:
        """An answer without the headers that let pages of other sites read it."""
        own = ((b"content-type", content_type), (b"content-length", b"%d" % len(body)))
        return Answer(status, self._head(status, own), body)

    def cookies(self, cookies: Sequence[str], origin: bytes | None) -> Answer:
        """200 with the cookies to be set, readable with credentials by the page that asked."""
        allowed = ((b"access-control-allow-origin", origin), (b"vary", b"Origin")) if origin else ()
        headers = (
            (b"content-type", _JSON),
            (b"content-length", b"%d" % len(_OK_BODY)),
            (b"access-control-allow-credentials", b"true"),
            (b"cache-control", b"no-store"),
            *allowed,
            *((b"set-cookie", cookie.encode("ascii", "ignore")) for cookie in cookies),
        )
        return Answer(200, self._head(200, headers), _OK_BODY)

    def status_of(self, reason: Reason) -> int:
        """The status a refusal of this reason has."""
        return _STATUS.get(reason, self.REFUSED)

    def json(
        self, status: int, body: bytes, origin: bytes | None = None, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Answer:
        """An answer with a JSON body that is encoded already."""
        return self.body(status, _JSON, body, origin, headers)

    def body(
        self,
        status: int,
        content_type: bytes,
        body: bytes,
        origin: bytes | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Answer:
        """An answer with any body. `origin` None is readable by every origin, else by the one named."""
        cors = _ANY_ORIGIN if origin is None else b"access-control-allow-origin: %s\r\nvary: Origin\r\n" % origin
        own = ((b"content-type", content_type), (b"content-length", b"%d" % len(body)))
        return Answer(status, self._head(status, own + headers) + cors + _EXPOSED, body)

    def _error(
        self,
        status: int,
        code: str,
        message: str,
        origin: bytes | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Answer:
        return self.json(status, _encode(_failure(code, message)), origin, headers)

    def _head(self, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"HTTP/1.1 %d %s\r\n%s%s" % (status, HTTPStatus(status).phrase.encode(), self._date, lines)


def _failure(code: str, message: str) -> dict[str, object]:
    return {"success": False, "code": code, "message": message, "meta": {"errors": [message]}}


def _described(rejections: Sequence[Rejection]) -> dict[str, object]:
    """Refusals as texts for the clients that print them (`meta.errors`) and as data for those that act on them."""
    listed = rejections[:ERRORS_LISTED_MAX]
    return {
        "meta": {"errors": [_line(rejection) for rejection in listed]},
        "errors": [{"index": r.index, "code": r.reason.value, "field": r.field, "message": r.message} for r in listed],
    }


def _line(rejection: Rejection) -> str:
    return rejection.message if rejection.index is None else f"batch[{rejection.index}]: {rejection.message}"
