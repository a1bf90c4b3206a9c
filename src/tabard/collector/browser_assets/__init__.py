"""The built browser client, ready to be served: pure functions over this package's own data.

`clients/browser` builds the files (`npm run build`): the script as one function expression, the same in deflate and in
brotli without the stream's end, and the snippet. A served script is that function followed by its call, `(settings);`,
so one request brings code and settings and the code is compressed once, at build time, as well as can be:

- gzip: the call is appended as the last block, which may refer to the code's text as its dictionary (RFC 1951, 1952);
- brotli: the call is appended as an uncompressed meta-block (RFC 7932, 9.2), then the stream is ended.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal

import msgspec

Encoding = Literal["br", "gzip"]
Headers = tuple[tuple[str, str], ...]

SETTINGS_BYTES_MAX = 60_000


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: its body and all its headers but Content-Length and Date.

    `etag` is also among the headers; compare it with If-None-Match and answer 304 with the same headers and no body.
    """

    body: bytes
    etag: str
    headers: Headers


class ImmutableScript(msgspec.Struct, frozen=True, kw_only=True):
    """The client without settings, as it is and as it is sent in each encoding."""

    version: str
    plain: bytes
    gzip: bytes
    br: bytes

    @property
    def hash(self) -> str:
        """Its name in the address: 32 hex digits of the SHA-256 of the code."""
        return hashlib.sha256(self.plain).hexdigest()[:32]


class Manifest(msgspec.Struct, frozen=True):
    """What the build noted: `sources` is the fingerprint of the TypeScript it was made from, `hash` and `integrity`
    belong to the immutable file."""

    version: str
    sources: str
    hash: str
    integrity: str
    gzip_bytes: dict[str, int]


def _read(name: str) -> bytes:
    return resources.files(__package__ or __name__).joinpath(name).read_bytes()


MANIFEST = msgspec.json.decode(_read("manifest.json"), type=Manifest)
_SCRIPT = _read("analytics.min.js")
_SCRIPT_BROTLI = _read("analytics.min.js.br")
_SNIPPET = _read("snippet.js").decode()
_SCRIPT_DEFLATE = _read("analytics.min.js.deflate")
_SCRIPT_CRC32 = zlib.crc32(_SCRIPT)
# Deflate, no name, no time, "compressed as well as can be", from no file system in particular.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"

_HEADERS = (
    ("Content-Type", "text/javascript; charset=utf-8"),
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Timing-Allow-Origin", "*"),
    ("X-Content-Type-Options", "nosniff"),
    ("Vary", "Accept-Encoding"),
)


def encoding_for(accept_encoding: str) -> Encoding | None:
    """The best encoding the request allows: brotli, gzip or none (RFC 9110, 12.5.3; of weights only q=0)."""
    offered = {}
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        offered[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    if offered.get("br"):
        return "br"
    return "gzip" if offered.get("gzip") else None


@lru_cache(maxsize=1024)
def script_for(write_key: str, settings: bytes, encoding: Encoding | None) -> Served:
    """The client for one source, with its settings in it.

    `settings` is a JSON object of load options (clients/browser/src/types.ts, LoadOptions) that hold unless the page
    gives its own; without an `endpoint` the client sends to where it was loaded from.
    Raises ValueError where `settings` is no JSON object or over 60 kB.
    """
    call = _call_with({**_object(settings), "writeKey": write_key})
    plain = _SCRIPT + call
    body = {"br": _in_brotli, "gzip": _in_gzip}[encoding](call) if encoding else plain
    return _served(plain, body, encoding, "public, max-age=300, stale-while-revalidate=86400")


def immutable_answer(script: ImmutableScript, encoding: Encoding | None) -> Served:
    """A script for `integrity=` users, cacheable for ever."""
    body = {"br": script.br, "gzip": script.gzip}[encoding] if encoding else script.plain
    return _served(script.plain, body, encoding, "public, max-age=31536000, immutable")


def snippet(write_key: str, host: str, global_name: str = "tabard", options: Mapping[str, Any] | None = None) -> str:
    """The line for a page's `<head>`, without its `<script>` tags.

    `host` is the collector as browsers reach it, e.g. `https://events.example.com`, with a path where it is proxied.
    `options` are load options of this page; they win over those of the source.
    Raises ValueError where the global is no JavaScript identifier or one of the values could leave its string.
    """
    if not global_name.isidentifier():
        raise ValueError(f"{global_name!r} is no JavaScript name; use for example tabard, cioanalytics or analytics")
    filled = _SNIPPET
    for placeholder, value in (("KEY", write_key), ("BASE", host.rstrip("/")), ("GLOBAL", global_name)):
        if not value.isprintable() or any(character in value for character in "\"'`\\<>$ "):
            raise ValueError(f"{value!r} has a character that may not stand in a snippet")
        filled = filled.replace(f"__{placeholder}__", value)
    # A `<` could end the script element that the line stands in.
    given = "," + json.dumps(options, separators=(",", ":")).replace("<", "\\u003c") if options else ""
    return filled.replace(',"__OPTIONS__"', given)


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > SETTINGS_BYTES_MAX:
        raise ValueError(f"settings have {len(text)} bytes; at most {SETTINGS_BYTES_MAX} are inlined")
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"settings must be a JSON object: {error}") from error


def _call_with(settings: dict[str, Any]) -> bytes:
    return b"(" + json.dumps(settings, separators=(",", ":")).encode() + b");"


def _served(plain: bytes, body: bytes, encoding: Encoding | None, cache_control: str) -> Served:
    digest = hashlib.sha256(plain).hexdigest()[:20]
    etag = f'"{digest}-{encoding or "plain"}"'
    encoded: Headers = (("Content-Encoding", encoding),) if encoding else ()
    headers = (*_HEADERS, ("Cache-Control", cache_control), ("ETag", etag), *encoded)
    return Served(body=body, etag=etag, headers=headers)


def _in_gzip(call: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_SCRIPT)
    last_block = compressor.compress(call) + compressor.flush()
    checksum = zlib.crc32(call, _SCRIPT_CRC32)
    trailer = checksum.to_bytes(4, "little") + (len(_SCRIPT) + len(call)).to_bytes(4, "little")
    return _GZIP_HEADER + _SCRIPT_DEFLATE + last_block + trailer


def _in_brotli(call: bytes) -> bytes:
    # From the lowest bit: ISLAST 0, MNIBBLES 0 (four), MLEN - 1 in 16 bits, ISUNCOMPRESSED 1, padding to the byte.
    header = (len(call) - 1) << 3 | 1 << 19
    # ISLAST 1, ISLASTEMPTY 1.
    end = b"\x03"
    return _SCRIPT_BROTLI + header.to_bytes(3, "little") + call + end


_NO_CALL: Final = b"();"
CURRENT: Final = ImmutableScript(
    version=MANIFEST.version, plain=_SCRIPT + _NO_CALL, gzip=_in_gzip(_NO_CALL), br=_in_brotli(_NO_CALL)
)
"""The immutable script of this release."""
