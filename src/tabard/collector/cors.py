"""Which origins may read an answer and send a call (sdks.md §4). Any by default; a source may list its own."""

from typing import Final

from tabard.collector.request import Request
from tabard.message.parse import Refused
from tabard.message.rejection import Reason
from tabard.workspace.types import Source

_PREFLIGHT_S: Final = b"86400"
_METHODS: Final = b"GET, POST, OPTIONS"
_USUAL_HEADERS: Final = b"authorization, content-type, content-encoding, x-retry-count, x-strict-mode"


def readable_by(request: Request, source: Source) -> bytes | None:
    """The origin the answer is readable by, None for any. Raises `Refused` for an origin the source does not list.

    A list keeps other people's pages out; a program that sends no Origin was never kept out by it.
    """
    if not source.origins:
        return None
    origin = request.header(b"origin")
    if origin is None:
        return None
    if origin.decode("latin-1") not in source.origins:
        raise Refused(
            Reason.ORIGIN_NOT_ALLOWED,
            f"source {source.name!r} takes no calls from the origin {origin.decode('latin-1')[:200]}: "
            "add it to the source's origins",
        )
    return origin


def preflight_headers(request: Request) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of the answer to a preflight: what was asked for is granted, since `*` does not cover Authorization.

    The key is not known yet, so that the real request is where a source's list of origins is held.
    """
    asked = request.header(b"access-control-request-headers") or _USUAL_HEADERS
    return (
        (b"access-control-allow-origin", request.header(b"origin") or b"*"),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", asked),
        (b"access-control-max-age", _PREFLIGHT_S),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    )
