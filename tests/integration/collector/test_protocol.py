"""HTTP itself: how requests may arrive, and what happens to those that come too large, too slowly or too many."""

import asyncio
import gzip
import json
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from tabard.collector.connections import Connections
from tabard.collector.protocol import Connection
from tabard.collector.respond import Responder
from tabard.settings import Settings
from tests.integration.collector.doors import Running, read_answer, running
from tests.integration.collector.test_answers import assert_is_the_one_error_shape

CALL = b'{"userId":"u1"}'
HEAD = b"POST /v1/page HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer key\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(CALL), CALL)
SLOW = Settings(header_timeout_s=0.2, body_timeout_s=0.2)


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes the connection, and says nothing more."""
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        return True


async def test_a_connection_is_kept_for_further_requests(door: Running) -> None:
    reader, writer = await door.connect()
    for offset in range(3):
        writer.write(REQUEST)
        assert (await read_answer(reader)).headers["x-tabard-position"] == f"1:{offset}"


async def test_the_requests_of_a_pipeline_are_answered_in_their_order(door: Running) -> None:
    reader, writer = await door.connect()
    health = b"GET /health HTTP/1.1\r\nHost: door\r\n\r\n"
    writer.write((REQUEST + health) * 50)
    for offset in range(50):
        assert (await read_answer(reader)).headers["x-tabard-position"] == f"1:{offset}"
        assert (await read_answer(reader)).json == {"status": "ok"}
    writer.write(REQUEST)
    assert (await read_answer(reader)).status == 200


async def test_what_follows_a_closing_request_or_garbage_in_a_pipeline_is_not_taken(door: Running) -> None:
    closing = REQUEST.replace(b"Host: door", b"Connection: close")
    for pipeline, answered in ((REQUEST + closing + REQUEST, 2), (REQUEST + b"garbage\r\n\r\n" + REQUEST, 1)):
        reader, writer = await door.connect()
        writer.write(pipeline)
        for _ in range(answered):
            assert (await read_answer(reader)).status == 200
        assert await ended(reader)
    assert len(door.messages()) == 3
    assert door.door.batcher._idle.is_set()


async def test_a_request_may_arrive_byte_by_byte(door: Running) -> None:
    reader, writer = await door.connect()
    for byte in REQUEST:
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await read_answer(reader)).status == 200


@pytest.mark.parametrize("encoding", [b"", b"Content-Encoding: gzip\r\n"])
async def test_a_chunked_body_is_taken_also_compressed(door: Running, encoding: bytes) -> None:
    body = gzip.compress(CALL) if encoding else CALL
    chunks = b"".join(b"1;ext=1\r\n%c\r\n" % byte for byte in body) + b"0\r\nTrailer: x\r\n\r\n"
    answer = await door.send(HEAD + encoding + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.status == 200
    assert door.messages()[0].user_id == "u1"


async def test_a_client_that_asks_whether_to_go_on_is_told_so(door: Running) -> None:
    reader, writer = await door.connect()
    writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CALL))
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(CALL)
    assert (await read_answer(reader)).status == 200


@pytest.mark.parametrize(
    ("request_bytes", "connection"),
    [
        (REQUEST.replace(b"Host: door", b"Connection: close"), "close"),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), "close"),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: door", b"Connection: keep-alive"), "keep-alive"),
        (REQUEST.replace(b"Host: door", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"), None),
    ],
)
async def test_the_connection_ends_or_stays_as_the_client_asked(
    door: Running, request_bytes: bytes, connection: str | None
) -> None:
    reader, writer = await door.connect()
    writer.write(request_bytes)
    answer = await read_answer(reader)
    assert answer.status == 200
    assert connection in (None, answer.headers.get("connection"))
    if connection == "close":
        assert await ended(reader)


async def test_a_client_that_has_closed_its_side_still_gets_its_answer(door: Running) -> None:
    reader, writer = await door.connect()
    writer.write(REQUEST)
    writer.write_eof()
    assert (await read_answer(reader)).status == 200
    assert await ended(reader)


@pytest.mark.parametrize(
    "garbage", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/9.9\r\n\r\n",
                b"POST /v1/page HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n",
                b"POST /v1/page HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
)  # fmt: skip
async def test_what_is_no_http_gets_the_one_error_shape_and_the_end(door: Running, garbage: bytes) -> None:
    reader, writer = await door.connect()
    writer.write(garbage)
    assert_is_the_one_error_shape(await read_answer(reader), 400, "bad_request")
    assert await ended(reader)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(40)) + b"\r\n",
        b"GET /health HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"GET /" + b"y" * 100_000,
        b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    ],
)
async def test_a_head_above_its_limit_is_431_and_the_end(door: Running, head: bytes) -> None:
    reader, writer = await door.connect()
    writer.write(head)
    assert_is_the_one_error_shape(await read_answer(reader), 431, "head_too_large")
    assert await ended(reader)


async def test_twenty_megabytes_of_headers_are_not_read(door: Running) -> None:
    reader, writer = await door.connect()
    writer.write(b"GET /health HTTP/1.1\r\nX: " + b"y" * 20_000_000)
    assert_is_the_one_error_shape(await read_answer(reader), 431, "head_too_large")


async def test_a_body_above_its_limit_is_refused_and_the_connection_kept(door: Running) -> None:
    reader, writer = await door.connect()
    writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + REQUEST)
    assert_is_the_one_error_shape(await read_answer(reader), 400, "body_too_large")
    assert (await read_answer(reader)).status == 200


@pytest.mark.parametrize("framing", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
async def test_a_body_without_end_is_refused_before_it_ends(door: Running, framing: bytes) -> None:
    reader, writer = await door.connect()
    writer.write(HEAD + framing + b"\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    for _ in range(80):
        writer.write(chunk)
    assert_is_the_one_error_shape(await read_answer(reader), 400, "body_too_large")
    assert await ended(reader)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"POST /v1/page HTTP/1.1\r\nHost: d", "request_timeout"),
        (HEAD + b"Content-Length: 99\r\n\r\n{", "request_timeout"),
    ],
)
async def test_a_head_or_body_that_comes_too_slowly_is_408(tmp_path: Path, sent: bytes, code: str) -> None:
    async with running(tmp_path, SLOW) as door:
        reader, writer = await door.connect()
        writer.write(sent)
        assert_is_the_one_error_shape(await read_answer(reader), 408, code)
        assert await ended(reader)


@pytest.mark.parametrize("begun", [b"POST /v1/page HTTP/1.1\r\nHost: d", HEAD + b"Content-Length: 99\r\n\r\n{"])
async def test_a_slow_client_does_not_hold_up_a_stop_and_is_told_to_come_again(tmp_path: Path, begun: bytes) -> None:
    async with running(tmp_path) as door:
        reader, writer = await door.connect()
        writer.write(begun)
        await asyncio.sleep(0.1)
        began = time.monotonic()
        door.stop.set()
        answer = await read_answer(reader)
        assert_is_the_one_error_shape(answer, 503, "stopping")
        assert answer.headers["retry-after"] == "1"
        assert await ended(reader)
        assert time.monotonic() - began < 5


async def test_a_length_far_over_the_limit_is_refused_before_the_body_comes(door: Running) -> None:
    reader, writer = await door.connect()
    writer.write(HEAD + b"Content-Length: 99999999999\r\n\r\n{")
    assert_is_the_one_error_shape(await read_answer(reader), 400, "body_too_large")


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    async with running(tmp_path, SLOW) as door:
        reader, _ = await door.connect()
        assert await ended(reader)


async def test_drops_of_a_slow_head_do_not_keep_it_alive(tmp_path: Path) -> None:
    async with running(tmp_path, SLOW) as door:
        reader, writer = await door.connect()
        begin = time.monotonic()
        for byte in HEAD:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
            if reader.at_eof() or time.monotonic() - begin > 1.5:
                break
        assert (await read_answer(reader)).status == 408


async def test_a_thousand_slow_connections_do_not_hold_up_the_others(tmp_path: Path) -> None:
    async with running(tmp_path, Settings(header_timeout_s=2, body_timeout_s=2)) as door:
        slow = [await door.connect() for _ in range(1000)]
        for number, (_, writer) in enumerate(slow):
            writer.write(b"POST /v1/page HTTP/1.1\r\nHost: " if number % 2 else HEAD + b"Content-Length: 900\r\n\r\n{")
        took = []
        for _ in range(50):
            begin = time.perf_counter()
            assert (await door.send(REQUEST)).status == 200
            took.append(time.perf_counter() - begin)
        assert sorted(took)[25] < 0.1
        answers = await asyncio.gather(*(read_answer(reader) for reader, _ in slow))
        assert {answer.status for answer in answers} == {408}


async def test_connections_above_the_total_are_503(tmp_path: Path) -> None:
    async with running(tmp_path, Settings(connections_max=3)) as door:
        held = [await door.connect() for _ in range(3)]
        await asyncio.sleep(0.1)
        answer = await door.send(REQUEST)
        assert_is_the_one_error_shape(answer, 503, "too_many_connections")
        assert answer.headers["retry-after"] == "1"
        held[0][1].close()
        await asyncio.sleep(0.1)
        assert (await door.send(REQUEST)).status == 200


async def test_an_address_has_its_share_of_connections_unless_it_is_near() -> None:
    shared = Connections(
        lambda _request, _reply: None, Responder(1), Settings(connections_per_address_max=2), lambda peer: peer == "::1"
    )

    def admitted(peer: str) -> bool:
        connection = Connection(shared)
        connection.peer = peer
        return shared.admit(connection)

    assert [admitted("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert admitted("192.0.2.2")
    assert all(admitted("::1") for _ in range(5))


async def test_a_client_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    async with running(tmp_path, SLOW) as door:
        reader, writer = await door.connect()
        ask = b"GET /v1/analytics-js/snippet/public/analytics.min.js HTTP/1.1\r\nHost: d\r\n\r\n"
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(ask * 20_000)
        await asyncio.sleep(1.5)
        assert not door.door.batcher._next.values
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)


async def test_at_the_end_what_was_asked_is_answered_and_idle_connections_are_closed(tmp_path: Path) -> None:
    async with running(tmp_path) as door:
        idle, _ = await door.connect()
        busy, writer = await door.connect()
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(CALL))
        await asyncio.sleep(0.05)
        door.stop.set()
        assert await ended(idle)
        writer.write(CALL)
        answer = await read_answer(busy)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await ended(busy)
    assert len(door.messages()) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate for this address that nobody else has signed, and its key."""
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_the_door_speaks_https(tmp_path: Path, certificate: tuple[str, str]) -> None:
    settings = Settings(tls_cert=certificate[0], tls_key=certificate[1])
    async with running(tmp_path, settings, ssl.create_default_context(cafile=certificate[0])) as door:
        assert (await door.send(REQUEST)).status == 200
        entry = json.loads((await door.ask("GET", "/v1/projects/key/settings")).body)["integrations"]["Segment.io"]
        assert entry["protocol"] == "https"
