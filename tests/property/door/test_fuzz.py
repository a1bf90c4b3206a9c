"""Anything may come in: the answer is one of ours, never a 5xx, and what the door accepts the resolver can decode."""

import asyncio
import gzip
import json
import math
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.collector.accept import Accepted, Sender, accept, open_batch, open_call
from tabard.collector.routes import CALLS, Call
from tabard.identity.rules import Rules, read
from tabard.log.codec import decode
from tabard.message.limits import Limits
from tabard.message.normalize import normalize
from tabard.message.parse import Refused
from tabard.message.repair import repair, unmark
from tests.integration.collector.doors import Answer, Running, running

FIELDS = (
    "type", "userId", "anonymousId", "previousId", "groupId", "messageId", "event", "name", "category", "traits",
    "properties", "context", "integrations", "timestamp", "originalTimestamp", "sentAt", "writeKey", "channel",
)  # fmt: skip
ODD_TEXT = st.sampled_from(
    ["", " ", "u1", "identify", "track", "page", "a@b.co", "\x00", "\ud83d", "2024-01-01", "2024-13-01T99", "1e400",
     "NaN", "null", "9999-12-31T23:59:59.999-12:00", "0001-01-01T00:00:00+14:00", "é" * 40, "x" * 300]
)  # fmt: skip
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**53 + 1, 10**30, 10**400, -0.0, 1e308, 1700000000]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, ODD_TEXT, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)), inner, max_size=5),
    ),
    max_leaves=12,
)
ITEMS = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)), VALUES, max_size=10)
BATCHES = st.fixed_dictionaries(
    {"batch": st.lists(st.one_of(ITEMS, VALUES), max_size=6)},
    optional={"sentAt": VALUES, "context": VALUES, "integrations": VALUES, "writeKey": VALUES, "more": VALUES},
)
LIMITS = Limits()


def dumped(value: Any) -> bytes:
    """JSON as Python clients write it: NaN, lone surrogates and all."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def damaged(body: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """The body with some of its bytes replaced."""
    for start, length, put in cuts:
        at = start % (len(body) + 1)
        body = body[:at] + put + body[at + length :]
    return body


CUTS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 4), st.binary(max_size=4)), max_size=4)
# Calls that are sound but for one or two of their fields: most of them are accepted.
NEARLY = st.tuples(
    st.fixed_dictionaries({"type": st.sampled_from(["identify", "track", "page", "screen", "group", "alias"])}),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2),
).map(lambda parts: {"userId": "u1", "event": "E", "groupId": "g", "previousId": "p", **parts[0], **parts[1]})
BODIES = st.one_of(
    st.binary(max_size=200),
    ITEMS.map(dumped),
    NEARLY.map(dumped),
    st.lists(NEARLY, max_size=4).map(lambda calls: dumped({"batch": calls})),
    BATCHES.map(dumped),
    st.tuples(st.one_of(ITEMS, BATCHES).map(dumped), CUTS).map(lambda pair: damaged(*pair)),
    st.integers(1, 3000).map(lambda depth: b'{"batch":' + b"[" * depth + b"]" * depth + b"}"),
)
ENCODINGS = st.sampled_from([None, "gzip", "deflate", "identity", "br", "gzip,gzip", "\xff"])


def packed(body: bytes, encoding: str | None) -> bytes:
    """The body as the encoding says, where it says something that exists."""
    return {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(encoding or "", body)


def taken(body: bytes, call: Call) -> Accepted | None:
    """What the door makes of a body; None for one it refuses as a whole."""
    try:
        parcel = open_batch(body, LIMITS) if call.type is None else open_call(body, LIMITS)
        return accept(parcel, Sender("s", 15, 1_767_323_045_000, "192.0.2.1", "agent", call.type), LIMITS, lambda: "m")
    except Refused:
        return None


@given(BODIES, st.sampled_from(sorted(CALLS)))
@settings(max_examples=500, deadline=None)
def test_what_the_door_accepts_the_resolver_turns_into_a_message_that_can_be_encoded(body: bytes, path: bytes) -> None:
    accepted = taken(body, CALLS[path])
    for value in accepted.values if accepted else ():
        for skew_correction in (True, False):
            message = normalize(decode(value), skew_correction=skew_correction)
            read(message, Rules())
            assert message.message_id
            assert message.timestamp <= message.received_at
            encoded = msgspec.json.encode(message.body)
            assert msgspec.json.decode(encoded) == message.body
            json.loads(encoded)


@given(BATCHES)
@settings(max_examples=200, deadline=None)
def test_a_good_item_is_kept_whatever_its_neighbours_are(batch: dict[str, Any]) -> None:
    good = {"type": "page", "userId": "u1", "messageId": "the-good-one"}
    neighbours = [{"type": "page", "properties": item} for item in batch["batch"]]
    accepted = taken(dumped({"batch": [*neighbours, good]}), CALLS[b"/v1/batch"])
    assert accepted is not None
    assert decode(accepted.values[-1]).body == dumped(good)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_a_repair_changes_only_what_is_no_json(value: Any) -> None:
    body = dumped(value)
    repaired = repair(body)
    if repaired is None:
        return
    text, warnings = unmark(repaired)
    assert warnings
    seen = json.loads(text)

    def mended(part: Any) -> Any:
        if isinstance(part, dict):
            return {mended(key): mended(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [mended(inner) for inner in part]
        if isinstance(part, float) and not math.isfinite(part):
            return None
        if isinstance(part, str):
            return part.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return part

    assert seen == mended(value)


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[Callable[[Running], Awaitable[Answer]]], Answer]]:
    """Runs one request against a door that stays open for all examples."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        door_context = running(Path(folder))
        door = runner.run(door_context.__aenter__())

        async def within(request: Callable[[Running], Awaitable[Answer]]) -> Answer:
            return await request(door)

        yield lambda request: runner.run(within(request))
        runner.run(door_context.__aexit__(None, None, None))


HEADER_NAMES = st.sampled_from(
    ["X-Strict-Mode", "Origin", "Authorization", "X-Forwarded-For", "User-Agent", "Content-Type", "Cookie",
     "If-None-Match", "Accept-Encoding", "Access-Control-Request-Headers", "X-Odd"]
)  # fmt: skip
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
PATHS = st.one_of(
    st.sampled_from([path.decode() for path in CALLS]),
    st.sampled_from(
        ["/v1/m", "/v1/id", "/v1/pixel/track?data=e30", "/sourceConfig", "/v1/projects/key/settings", "/ready"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30).map("/".__add__),
)


@given(
    st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "PUT"]),
    PATHS,
    BODIES,
    ENCODINGS,
    st.dictionaries(HEADER_NAMES, HEADER_VALUES.map(str.strip), max_size=4),
    st.sampled_from(["key", "public", "lenient", "nobody", None]),
)
@settings(max_examples=200, deadline=None)
def test_every_request_gets_an_answer_of_ours_and_never_a_server_error(
    ask: Callable[[Callable[[Running], Awaitable[Answer]]], Answer],
    method: str,
    path: str,
    body: bytes,
    encoding: str | None,
    headers: dict[str, str],
    key: str | None,
) -> None:
    named = headers | ({"Content-Encoding": encoding} if encoding else {})
    answer = ask(lambda door: door.ask(method, path, packed(body, encoding), key, named))
    assert answer.status in {200, 204, 304, 400, 401, 403, 404, 405, 429}
    if answer.status >= 400 and method != "HEAD" and answer.headers["content-type"] == "application/json":
        assert answer.json["success"] is False
        assert isinstance(answer.json["code"], str)
        assert isinstance(answer.json["message"], str)
        assert answer.json["meta"]["errors"]
