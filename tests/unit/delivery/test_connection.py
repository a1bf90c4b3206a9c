"""The client's own HTTP: what it sends, how answers end, which connections are used again. Real sockets."""

import asyncio
import contextlib
import datetime as dt
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tabard.delivery import egress as egress_module
from tabard.delivery.connection import HEAD_BYTES_MAX
from tabard.delivery.egress import Egress, EgressRules, NoAnswer
from tabard.delivery.names import Address, Names
from tabard.destinations.kit.errors import PayloadInvalid
from tabard.destinations.kit.request import HttpRequest, HttpResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next of `answers`, the last one again and again; b"" closes without a word."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.open: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def end(self) -> None:
        """Closes what is still open."""
        for writer in self.open.values():
            writer.transport.abort()
        await asyncio.gather(*(task for task in self.open if task), return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open[asyncio.current_task()] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int((re.findall(rb"content-length: (\d+)", head.lower()) or [0])[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                await writer.drain()
                if not answer or b"connection: close" in answer:
                    break
        writer.close()


Ask = Callable[..., Awaitable[HttpResponse]]


@contextlib.asynccontextmanager
async def asking(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Ask]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    egress = Egress(EgressRules(timeout_s=1.0, allows_private=True))
    base = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"

    async def ask(
        method: str = "POST", path: str = "/in", headers: dict[str, str] | None = None, body: bytes = b"{}"
    ) -> HttpResponse:
        return await egress(HttpRequest(method, base + path, headers or {}, body))

    yield ask
    await egress.close()
    listening.close()
    await server.end()
    await listening.wait_closed()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-after: 1\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nold", b"old"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
    ],
)
async def test_an_answer_ends_in_each_way_http_knows(answer: bytes, body: bytes) -> None:
    async with asking(Server(answer)) as ask:
        found = await ask()
    assert (found.status, found.body) == (200, body)
    assert "link" not in found.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_can_have_no_body_is_whole_at_once(status: int) -> None:
    server = Server(b"HTTP/1.1 %d None\r\n\r\n" % status)
    async with asking(server) as ask:
        assert [(await ask()).status, (await ask()).status] == [status, status]
    assert server.connections == 1


async def test_an_answer_to_head_has_no_body_whatever_length_it_names() -> None:
    async with asking(Server(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")) as ask:
        found = await ask("HEAD", body=b"")
    assert (found.status, found.headers["content-length"], found.body) == (200, "500", b"")


async def test_a_connection_serves_one_request_after_the_other() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        for _ in range(5):
            await ask()
    assert (server.connections, len(server.requests)) == (1, 5)


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        await asyncio.gather(*(ask(body=b"[%d]" % number) for number in range(10)))
        await asyncio.gather(*(ask(body=b"[%d]" % number) for number in range(10)))
    assert server.connections == 10
    assert sorted(server.requests.count(request) for request in set(server.requests)) == [2] * 10


@pytest.mark.parametrize("last", [OK + OK, OK + b"rubbish", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"])
async def test_a_connection_that_said_more_than_its_answer_or_closes_is_not_used_again(last: bytes) -> None:
    server = Server(last, OK)
    async with asking(server) as ask:
        with contextlib.suppress(NoAnswer):
            await ask()
        assert (await ask()).status == 200
    assert server.connections == 2


async def test_a_connection_that_closes_without_a_word_is_not_used_again() -> None:
    server = Server(OK, b"")
    async with asking(server) as ask:
        await ask()
        with pytest.raises(NoAnswer, match="connection broke"):
            await ask()
        server.answers = [OK]
        assert (await ask()).status == 200
    assert server.connections == 2


async def test_a_connection_closed_while_it_was_idle_is_not_used_again() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        await ask()
        for writer in server.open.values():
            writer.close()
        await asyncio.sleep(0.05)
        assert (await ask()).status == 200
    assert server.connections == 2


async def test_connections_that_are_idle_for_long_are_closed_and_few_servers_keep_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress_module, "IDLE_S", 0.1)
    monkeypatch.setattr(egress_module, "ORIGINS_MAX", 1)
    first, second = Server(OK), Server(OK)
    async with asking(first) as ask, asking(second):
        await asyncio.gather(ask(), ask())
        await asyncio.sleep(0.3)
        await ask()
        assert (first.connections, await _closed(first)) == (3, 2)
        egress = Egress(EgressRules(allows_private=True))
        for server in (first, second, first):
            await egress(HttpRequest("GET", f"http://127.0.0.1:{server.port}/"))
        assert (first.connections, second.connections) == (5, 1)
        await egress.close()
    assert b"content-length" not in second.requests[0]


async def _closed(server: Server) -> int:
    await asyncio.sleep(0)
    return sum(task.done() for task in server.open if task)


async def test_a_request_says_who_it_is_for_how_long_it_is_and_who_asks() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        await ask(
            path="/p ath/ä?q=1&r=%20#part",
            headers={
                "content-type": "application/json", "content-length": "9", "Transfer-Encoding": "chunked",
                "host": "else", "user-agent": "else",
            },
        )  # fmt: skip
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "POST /p%20ath/%C3%A4?q=1&r=%20 HTTP/1.1",
        f"host: 127.0.0.1:{server.port}",
        "user-agent: Tabard",
        "accept-encoding: identity",
        "content-type: application/json",
        "content-length: 2",
    ]
    assert body == b"{}"


@pytest.mark.parametrize(
    ("method", "headers"),
    [("POST", {"x-a": "1\r\nx-b: 2"}), ("POST", {"x\n": "1"}), ("POST", {"x": "a\0"}), ("GET /x HTTP/1.1\r\n", {})],
)
async def test_a_line_break_makes_no_header_and_no_request_of_its_own(method: str, headers: dict[str, str]) -> None:
    server = Server(OK)
    async with asking(server) as ask:
        with pytest.raises(PayloadInvalid):
            await ask(method, headers=headers)
    assert not server.requests


@pytest.mark.parametrize("url", ["ftp://crm.example/in", "crm.example/in", "http://", "http://[", "http://a:99999/"])
async def test_what_is_no_http_url_is_no_request(url: str) -> None:
    with pytest.raises(PayloadInvalid):
        await Egress(EgressRules())(HttpRequest("POST", url))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * HEAD_BYTES_MAX,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_BYTES_MAX,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * HEAD_BYTES_MAX,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_an_answer_without_end_or_sense_is_a_broken_one(answer: bytes) -> None:
    async with asking(Server(answer)) as ask:
        with pytest.raises(NoAnswer) as problem:
            await ask()
    assert problem.value.code == "broken_answer"


async def test_a_request_that_is_given_up_leaves_no_connection_to_use() -> None:
    server = Server(b"HTTP/1.1 200 OK\r\n", OK)
    async with asking(server) as ask:
        waiting = asyncio.ensure_future(ask())
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await ask()).body == b"ok"
    assert server.connections == 2


def certificate(folder: Path, address: str) -> ssl.SSLContext:
    """A server's context with a certificate for that address, which is its own authority (`folder/cert.pem`)."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `cert.pem` is the one authority that is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    monkeypatch.setattr(egress_module, "_tls", egress_module._tls.__wrapped__)
    return tmp_path


async def test_tls_is_spoken_with_whom_the_certificate_names(trusting: Path) -> None:
    server = Server(OK)
    async with asking(server, certificate(trusting, "127.0.0.1")) as ask:
        assert [(await ask()).body, (await ask(body=b"x" * 300_000)).body] == [b"ok", b"ok"]
    assert (server.connections, len(server.requests[1]) > 300_000) == (1, True)


async def test_a_certificate_for_another_host_is_refused(trusting: Path) -> None:
    server = Server(OK)
    async with asking(server, certificate(trusting, "127.0.0.2")) as ask:
        with pytest.raises(NoAnswer, match="certificate") as problem:
            await ask()
    assert (problem.value.code, server.requests) == ("connection", [])


async def test_the_next_address_of_a_name_is_tried_where_one_takes_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(OK)
    async with asking(server):
        places = [("127.0.0.2", 1), ("127.0.0.1", server.port)]
        found = tuple(Address(place[0], 2, place) for place in places)

        async def addresses(_names: Names, _host: str, _port: int) -> tuple[Address, ...]:
            return found

        monkeypatch.setattr(Names, "addresses", addresses)
        egress = Egress(EgressRules(timeout_s=1.0, allows_private=True))
        assert (await egress(HttpRequest("POST", "http://crm.example/", {}, b"{}"))).status == 200
        await egress.close()
    assert b"host: crm.example\r\n" in server.requests[0]


async def test_a_name_is_looked_up_once_for_all_who_ask_and_again_after_it_failed() -> None:
    names = Names()
    first, second = await asyncio.gather(names.addresses("127.0.0.1", 80), names.addresses("127.0.0.1", 80))
    assert first is second
    assert first[0].host == "127.0.0.1"
    for _ in range(2):
        with pytest.raises(OSError, match=r"\[Errno"):
            await names.addresses("no-such-host.invalid", 80)
