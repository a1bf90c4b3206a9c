"""From the bytes on the wire to JSON text: decompressed up to a cap, without a byte order mark.

The Content-Type is ignored: browsers say `text/plain`, RudderStack's Node client calls its gzip a form (sdks.md §2).
"""

import zlib
from typing import Final

from tabard.collector.request import Request
from tabard.message.limits import Limits
from tabard.message.parse import Refused
from tabard.message.rejection import Reason

_BOM: Final = b"\xef\xbb\xbf"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_PLAIN: Final = frozenset({b"", b"identity"})
_GZIP: Final = frozenset({b"gzip", b"x-gzip"})
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_MEMBERS_MAX: Final = 64


def unpack(request: Request, limits: Limits) -> bytes:
    """The text of the body. Raises `Refused`: too large, badly compressed, unknown encoding, empty."""
    body = request.body
    if request.oversize:
        raise _too_large(limits)
    encoding = request.headers.get(b"content-encoding")
    if encoding is not None or body.startswith(_GZIP_MAGIC):
        body = _decompressed(body, (encoding or b"gzip").strip().lower(), limits)
    if len(body) > limits.batch_bytes_max:
        raise _too_large(limits)
    body = body.removeprefix(_BOM)
    if not body:
        raise Refused(Reason.INVALID_JSON, "the body is empty: send a JSON object")
    return body


def _decompressed(body: bytes, encoding: bytes, limits: Limits) -> bytes:
    if encoding in _PLAIN and not body.startswith(_GZIP_MAGIC):
        return body
    if encoding not in _PLAIN | _GZIP | {b"deflate"}:
        named = encoding[:40].decode("latin-1")
        raise Refused(Reason.BAD_ENCODING, f"Content-Encoding {named!r} is not understood: use gzip, deflate or none")
    try:
        return _inflated(body, _GZIP_OR_ZLIB, limits)
    except zlib.error as problem:
        if encoding != b"deflate":
            raise Refused(Reason.BAD_ENCODING, f"the body is not {encoding.decode()}: {problem}") from problem
    try:
        # Some clients call raw deflate data "deflate", though HTTP means zlib by it.
        return _inflated(body, _RAW_DEFLATE, limits)
    except zlib.error as problem:
        raise Refused(Reason.BAD_ENCODING, f"the body is not deflate: {problem}") from problem


def _inflated(body: bytes, window: int, limits: Limits) -> bytes:
    """All members of the stream, never inflating more than one byte past the cap."""
    members: list[bytes] = []
    room = limits.batch_bytes_max + 1
    rest = body
    while rest:
        member = zlib.decompressobj(window)
        text = member.decompress(rest, room)
        members.append(text)
        room -= len(text)
        if room <= 0:
            raise _too_large(limits)
        if not member.eof:
            raise Refused(Reason.BAD_ENCODING, "the compressed body ends too early: send all of it")
        rest = member.unused_data.lstrip(b"\0")
        if len(members) == _MEMBERS_MAX and rest:
            raise Refused(Reason.BAD_ENCODING, f"the body is compressed in more than {_MEMBERS_MAX} pieces: use one")
    return b"".join(members)


def _too_large(limits: Limits) -> Refused:
    return Refused(
        Reason.BODY_TOO_LARGE,
        f"the body has more than {limits.batch_bytes_max} bytes once decompressed: send smaller batches",
    )
