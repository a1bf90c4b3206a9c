"""Where destinations may be, and what comes back from bad ones."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tabard.delivery.addresses import is_refused, refused_host
from tabard.delivery.connection import ANSWER_BYTES_MAX
from tabard.delivery.egress import Egress, EgressRules, NoAnswer, followed
from tabard.destinations.kit.request import HttpRequest
from tabard.testing.faulty_destination import Fault, FaultyDestination

REFUSED = (
    "127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "2001:db8::1",
)  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.1.2.3", "localhost", "crm.localhost"])
def test_a_destination_at_a_literal_private_address_is_noticed_before_anything_is_sent(host: str) -> None:
    assert refused_host({"secret": {"$sealed": "1:x"}, "url": f"http://{host}:8080/in"}) == host.strip("[]")


@pytest.mark.parametrize("value", ["https://crm.example/in", "http://93.184.216.34/", "127.0.0.1", "http://[", 5, None])
def test_what_is_no_private_address_is_not_taken_for_one(value: object) -> None:
    assert refused_host({"url": value}) == ""


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_leads_inside_is_refused(address: str) -> None:
    assert is_refused(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_on_the_public_internet_is_not(address: str) -> None:
    assert not is_refused(address)


@pytest.fixture
async def allowed() -> AsyncIterator[Egress]:
    egress = Egress(EgressRules(timeout_s=0.3, allows_private=True))
    yield egress
    await egress.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_no_way_of_writing_loopback_gets_there(host: str) -> None:
    async with FaultyDestination() as hook:
        port = hook.url.split(":")[2].split("/")[0]
        egress = Egress(EgressRules(timeout_s=2.0))
        with pytest.raises(NoAnswer) as refused:
            await egress(HttpRequest("POST", f"http://{host}:{port}/", {}, b"{}"))
        await egress.close()
    assert refused.value.code in ("refused_address", "connection", "broken_answer")
    assert hook.requests == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.HANG, "timeout"),
        (Fault.LATE, "timeout"),
        (Fault.DRIP, "timeout"),
        (Fault.RESET, "connection"),
        (Fault.HALF, "broken_answer"),
        (Fault.GARBAGE, "broken_answer"),
    ],
)
async def test_every_kind_of_no_answer_has_its_code(allowed: Egress, fault: Fault, code: str) -> None:
    async with FaultyDestination(faults={fault: 1.0}, slow_s=1.0) as hook:
        with pytest.raises(NoAnswer) as problem:
            await allowed(HttpRequest("POST", hook.url, {}, b"{}"))
    assert problem.value.code == code


@contextlib.asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives these answers in turn, the last of them for ever."""
    heads: list[bytes] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if b"POST" in heads[-1]:
            await reader.readexactly(2)
        writer.write(answers[min(len(heads), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}", heads
    server.close()
    await server.wait_closed()


async def test_a_huge_answer_is_cut(allowed: Egress) -> None:
    body = b"x" * (3 * ANSWER_BYTES_MAX)
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body) as (url, _):
        answer = await allowed(HttpRequest("GET", url))
    assert len(answer.body) == ANSWER_BYTES_MAX


async def test_a_redirect_is_followed_within_its_origin_with_all_headers(allowed: Egress) -> None:
    first = b"HTTP/1.1 307 Go\r\nlocation: /there\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with serving(first, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (url, heads):
        answer = await allowed(HttpRequest("POST", url, {"authorization": "Bearer t", "x-own": "1"}, b"{}"))
    assert answer.status == 200
    assert heads[1].startswith(b"POST /there ")
    assert b"authorization: Bearer t" in heads[1]


async def test_a_redirect_to_another_origin_is_an_answer_and_nothing_goes_there(allowed: Egress) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (target, heads):
        first = f"HTTP/1.1 307 Go\r\nlocation: {target}/there\r\ncontent-length: 0\r\n\r\n"
        async with serving(first.encode()) as (url, _):
            answer = await allowed(HttpRequest("POST", url, {"x-api-key": "k"}, b"{}"))
    assert (answer.status, heads) == (307, [])


@pytest.mark.parametrize(
    ("url", "location", "is_followed"),
    [
        ("http://x/a", "https://x/b", True),
        ("https://x/a", "https://x:443/b", True),
        ("https://x/a", "http://x/b", False),
        ("http://x/a", "http://x:81/b", False),
        ("https://x/a", "https://x.y/b", False),
        ("https://x/a", "ftp://x/b", False),
        ("https://x/a", "https://x:no/b", False),
        ("https://x/a", "https://[x/b", False),
        ("http://x/a", "", False),
    ],
)
def test_only_the_same_place_or_its_https_is_followed(url: str, location: str, is_followed: bool) -> None:
    assert followed(url, location) == (location if is_followed else "")


async def test_a_redirect_loop_ends(allowed: Egress) -> None:
    again = b"HTTP/1.1 308 Go\r\nlocation: /again\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with serving(again) as (url, heads):
        with pytest.raises(NoAnswer, match="redirects"):
            await allowed(HttpRequest("POST", url, {}, b"{}"))
    assert len(heads) == 4


async def test_a_303_is_an_answer_like_another(allowed: Egress) -> None:
    see = b"HTTP/1.1 303 See\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n"
    async with serving(see) as (url, heads):
        answer = await allowed(HttpRequest("POST", url, {}, b"{}"))
    assert (answer.status, len(heads)) == (303, 1)
