"""Bodies as clients compress them, and as attackers do."""

import gzip
import tracemalloc
import zlib
from functools import partial

import pytest

from tabard.collector.body import unpack
from tabard.collector.request import Request
from tabard.message.limits import Limits
from tabard.message.parse import Refused

LIMITS = Limits()
TEXT = b'{"userId":"u1"}'


def post(body: bytes, encoding: bytes | None = None, *, oversize: bool = False) -> Request:
    headers = {b"content-encoding": encoding} if encoding is not None else {}
    return Request(b"POST", b"/v1/identify", headers, body, "127.0.0.1", oversize)


gzipped = partial(gzip.compress, mtime=0)
"""A fixed time: the bytes are part of the tests' names, which must be the same in each process."""


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, None),
        (TEXT, b"identity"),
        (b"\xef\xbb\xbf" + TEXT, None),
        (gzipped(TEXT), b"gzip"),
        (gzipped(TEXT), b"GZIP"),
        (gzipped(TEXT), b"x-gzip"),
        (gzipped(TEXT), None),
        (gzipped(b"\xef\xbb\xbf" + TEXT), b"gzip"),
        (gzipped(TEXT[:5]) + gzipped(TEXT[5:]), b"gzip"),
        (gzipped(TEXT) + b"\0\0\0", b"gzip"),
        (zlib.compress(TEXT), b"deflate"),
        (raw_deflate(TEXT), b"deflate"),
    ],
)
def test_a_body_is_the_same_text_however_it_was_sent(body: bytes, encoding: bytes | None) -> None:
    assert unpack(post(body, encoding), LIMITS) == TEXT


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (TEXT, b"gzip", "bad_encoding"),
        (TEXT, b"deflate", "bad_encoding"),
        (TEXT, b"br", "bad_encoding"),
        (gzipped(TEXT), b"gzip, gzip", "bad_encoding"),
        (gzipped(TEXT)[:-9], b"gzip", "bad_encoding"),
        (gzipped(TEXT) + b"rest", b"gzip", "bad_encoding"),
        (gzipped(b"") * 65, b"gzip", "bad_encoding"),
        (b"", None, "invalid_json"),
        (gzipped(b""), b"gzip", "invalid_json"),
        (b"x" * (LIMITS.batch_bytes_max + 1), None, "body_too_large"),
        (gzipped(b"x" * (LIMITS.batch_bytes_max + 1)), b"gzip", "body_too_large"),
    ],
)
def test_a_body_that_cannot_be_read_has_its_code(body: bytes, encoding: bytes | None, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        unpack(post(body, encoding), LIMITS)
    assert refusal.value.rejection.reason == code


def test_what_the_protocol_dropped_is_too_large() -> None:
    with pytest.raises(Refused) as refusal:
        unpack(post(b"", oversize=True), LIMITS)
    assert refusal.value.rejection.reason == "body_too_large"


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_a_bomb_is_refused_without_being_inflated(encoding: bytes) -> None:
    zeros = b"\0" * (300 * 1024 * 1024)
    bomb = gzipped(zeros, 9) if encoding == b"gzip" else zlib.compress(zeros, 9)
    del zeros
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as refusal:
            unpack(post(bomb, encoding), LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert refusal.value.rejection.reason == "body_too_large"
