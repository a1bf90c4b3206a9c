"""Anything at all over the network, to the door and to the web role: an answer of ours in time, and memory bounded."""

import gzip
import http.client
import json
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabard.testing.installation import Installation, eventually, running

pytestmark = pytest.mark.e2e

ANSWER_S = 5.0
MIB = 1024 * 1024
RESIDENT_GROWTH_MAX = 32 * MIB
ENVIRON = {"TABARD_DISK_FLOOR_BYTES": "1"}
FUZZ = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

CALL = b'{"userId":"u1","event":"E","writeKey":"KEY","properties":{"v":%b}}'
NAMED = {
    "NaN": (CALL % b"NaN", 200, None),
    "infinity": (CALL % b"-Infinity", 200, None),
    "lone surrogate": (CALL % rb'"\ud83d"', 200, None),
    "10^400": (CALL % (b"1" + b"0" * 400), 400, "number_out_of_range"),
    "1e400": (CALL % b"1e400", 400, "number_out_of_range"),
    "NUL": (CALL % rb'"\u0000"', 200, None),
    "duplicate keys": (CALL % b'{"a":1,"a":2}', 200, None),
    "100 deep": (CALL % (b"[" * 100 + b"]" * 100), 400, None),
    "100,000 deep": (CALL % (b"[" * 100_000 + b"]" * 100_000), 400, None),
    "invalid UTF-8": (CALL % b'"\xff\xfe"', 400, None),
    "not JSON": (b"userId=u1", 400, None),
    "nothing": (b"", 400, None),
    "an array": (b"[]", 400, None),
    "a number": (b"1", 400, None),
}
"""Name → body, status, code where it must be a certain one. Values that no JSON has become null or U+FFFD."""

PACKED: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}

PATHS = st.sampled_from(
    ["/v1/identify", "/v1/track", "/v1/t", "/v1/batch", "/v1/b/", "/v1/import", "/v1/pixel/track", "/beacon/v1/batch",
     "/v1/projects/x/settings", "/health", "/ready", "/metrics", "/id", "/", "/%00", "/v1/../v1/track"]
)  # fmt: skip
METHODS = st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "Content-Encoding", "Authorization", "X-Strict-Mode", "Origin", "X-Forwarded-For", "Cookie",
         "Access-Control-Request-Headers", "Accept", "User-Agent", "Expect", "Range", "Host"]
    ),
    st.one_of(
        st.sampled_from(["gzip", "deflate", "br", "gzip, gzip", "0", "1", "Basic !", "Bearer \xff", "null"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40),
    ),
    max_size=5,
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["userId", "anonymousId", "event", "type", "batch", "traits", "context", "messageId", "sentAt"]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=20,
)
BODIES = st.one_of(
    st.binary(max_size=300),
    JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    JSON.map(lambda value: gzip.compress(json.dumps(value).encode("utf-8", "surrogatepass"))),
)


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("fuzz") / "data", environ=ENVIRON) as installation:
        yield installation


@pytest.fixture(scope="module")
def resident_before(tabard: Installation) -> dict[str, int]:
    tabard.send("/v1/track", {"userId": "u0", "event": "warm"})
    return resident(tabard)


def resident(tabard: Installation) -> dict[str, int]:
    """Role → bytes of memory its process has for itself (RssAnon)."""
    found = {}
    for role in tabard.get("/api/status")["roles"]:
        lines = Path(f"/proc/{role['pid']}/status").read_text().splitlines()
        found[role["name"]] = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    return found


def ask(
    url: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer, which has to come in time."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=ANSWER_S)
    begun = time.monotonic()
    try:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value.encode("latin-1"))
        connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body or b"")
        answer = connection.getresponse()
        content = answer.read()
        assert time.monotonic() - begun < ANSWER_S
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
    finally:
        connection.close()


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("content_encoding", PACKED)
def test_hostile_bodies_get_a_named_answer(
    tabard: Installation, resident_before: dict[str, int], name: str, content_encoding: str
) -> None:
    body, status, code = NAMED[name]
    body = body.replace(b"KEY", tabard.write_key.encode())
    path = f"/v1/track?writeKey={tabard.write_key}"
    headers = {"Content-Encoding": content_encoding}
    got, _, answer = ask(tabard.collector, "POST", path, PACKED[content_encoding](body), headers)
    document: dict[str, Any] = json.loads(answer)
    assert got == status, document
    assert document["success"] is (status == 200)
    if status != 200:
        assert document["code"]
        assert code in (None, document["code"])


@pytest.mark.parametrize("content_encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_while_it_is_unpacked(
    tabard: Installation, resident_before: dict[str, int], content_encoding: str
) -> None:
    bomb = PACKED[content_encoding](b'{"userId":"u1","event":"E","properties":{"v":"' + b"x" * (64 * MIB) + b'"}}')
    path = f"/v1/track?writeKey={tabard.write_key}"
    status, _, answer = ask(tabard.collector, "POST", path, bomb, {"Content-Encoding": content_encoding})
    assert status == 400
    assert json.loads(answer)["code"]


@FUZZ
@given(method=METHODS, path=PATHS, headers=HEADERS, body=BODIES)
def test_whatever_is_sent_to_the_door_is_answered_by_it(
    tabard: Installation, resident_before: dict[str, int], method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    status, answered, content = ask(tabard.collector, method, f"{path}?writeKey={tabard.write_key}", body, headers)
    assert status < 500
    if answered.get("content-type", "").startswith("application/json") and status >= 400 and method != "HEAD":
        assert json.loads(content).keys() >= {"success", "code", "message", "meta"}


PAGES = st.sampled_from(
    ["/messages", "/people", "/destinations", "/rejections", "/docs", "/login", "/logout", "/api/messages",
     "/api/profiles", "/api/controls", "/api/status", "/api/profiles/{}", "/api/profiles/{}/timeline",
     "/api/profiles/{}/explain", "/api/profiles/{}/traits/{}/history", "/people/{}", "/messages/{}",
     "/api/trace/{}", "/static/{}",
     "/v1/spaces/s/collections/users/profiles/{}/traits", "/v1/spaces/s/collections/accounts/profiles/{}/links"]
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(["user:u1", "anon:", "email:%", "group:a", "user:", ":", "..", "\x00", "\udfff", "9" * 400, "²"]),
    st.text(max_size=20),
)
QUERIES = st.dictionaries(
    st.sampled_from(["q", "after", "limit", "before", "as_of", "type", "source", "next", "verbose", "sort", "start"]),
    TEXTS,
    max_size=3,
)


def encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


@st.composite
def questions(draw: st.DrawFn) -> str:
    """A path of the web role with anything in its places and parameters."""
    path = draw(PAGES).replace("{}", encoded(draw(TEXTS)))
    return path + "?" + "&".join(f"{name}={encoded(value)}" for name, value in draw(QUERIES).items())


@FUZZ
@given(method=METHODS, question=questions(), headers=HEADERS, body=BODIES, admin=st.booleans())
def test_whatever_is_sent_to_the_web_role_is_answered_by_it(
    tabard: Installation, method: str, question: str, headers: dict[str, str], body: bytes, admin: bool
) -> None:
    sent = headers | ({"Authorization": f"Bearer {tabard.admin_token}"} if admin else {})
    status, answered, _ = ask(tabard.web, method, question, body, sent)
    assert status < 500
    # What is no HTTP is refused below the application.
    if status != 400 or "content-security-policy" in answered:
        assert "default-src 'none'" in answered["content-security-policy"]


def test_after_all_that_the_roles_live_their_memory_is_bounded_and_the_books_balance(
    tabard: Installation, resident_before: dict[str, int]
) -> None:
    status = eventually(lambda: (found := tabard.get("/api/status")) and not found["books"]["unresolved"] and found)
    assert status
    assert [role["restarts"] for role in status["roles"]] == [0] * 4
    assert (status["books"]["difference"], status["books"]["quarantined"]) == (0, 0)
    grown = {role: now - resident_before[role] for role, now in resident(tabard).items()}
    assert max(grown.values()) < RESIDENT_GROWTH_MAX, grown
