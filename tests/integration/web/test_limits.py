"""What the web role takes at most, and how long it waits, from whoever can reach it."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tabard.testing.installation import Installation, running
from tests.integration.web.conftest import Site

ENVIRON = {
    "TABARD_DISK_FLOOR_BYTES": "1",
    "TABARD_HEADER_TIMEOUT_S": "1",
    "TABARD_BODY_TIMEOUT_S": "1",
    "TABARD_TRUSTED_PROXIES": "127.0.0.1",
}
GET = b"GET /login HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A web role with short times behind a trusted proxy."""
    with running(tmp_path_factory.mktemp("strict") / "data", environ=ENVIRON) as installation:
        yield installation


def exchange(installation: Installation, *pieces: bytes, within_s: float = 6.0) -> bytes:
    """All that comes back until the web role closes; fails where it does not."""
    address = urlsplit(installation.web)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=within_s) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.02)
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:
            pass
        return answer


def test_a_head_above_the_limit_is_refused_whole_or_in_pieces(strict: Installation) -> None:
    line = b"X-A: " + b"a" * 33_000
    assert exchange(strict, GET + line + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert exchange(strict, GET, line[:20_000], line[20_000:]).startswith(b"HTTP/1.1 431 ")


def test_megabytes_of_headers_are_refused_before_they_are_all_read(strict: Installation) -> None:
    assert not exchange(strict, GET + (b"X-A: " + b"a" * 1000 + b"\r\n") * 3000 + b"\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "half",
    [b"", GET, POST + b"Content-Length: 100\r\n\r\ntoken=", GET + b"\r\n" + GET],
    ids=["none", "head", "body", "2"],
)
def test_who_sends_half_a_request_is_let_go(strict: Installation, half: bytes) -> None:
    began_s = time.monotonic()
    assert b"HTTP/1.1 408 " in exchange(strict, half)
    assert time.monotonic() - began_s < 5


def test_a_head_that_drips_is_let_go_in_the_same_time(strict: Installation) -> None:
    assert not exchange(strict, GET, *[b"X-A: 1\r\n"] * 100, b"\r\n").startswith(b"HTTP/1.1 200")


def test_several_requests_on_one_connection_are_answered(strict: Installation) -> None:
    close = b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange(strict, GET + b"\r\n", GET + b"\r\n", close).count(b"HTTP/1.1 200") == 3


def test_the_session_s_cookie_is_secure_where_the_proxy_speaks_https(strict: Installation) -> None:
    form = {"token": strict.admin_token}
    behind = Site(strict).ask("/login", form=form, X_Forwarded_Proto="https")
    plain = Site(strict).ask("/login", form=form)
    assert "Secure" in behind.headers["set-cookie"]
    assert "Secure" not in plain.headers["set-cookie"]


def test_a_web_role_that_others_reach_without_https_says_so_when_it_starts(tmp_path: Path) -> None:
    with running(tmp_path / "open", "--set", "web=0.0.0.0:0", environ=ENVIRON):
        pass
    assert "web.unencrypted" in (tmp_path / "open.log").read_text("utf-8")
