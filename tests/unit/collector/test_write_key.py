"""Which source a request belongs to, and what it may do."""

import base64
from collections.abc import Callable

import pytest

from tabard.collector.request import Request
from tabard.collector.write_key import Sources
from tabard.message.parse import Refused
from tabard.message.types import SERVER_TRUST, Trust
from tabard.workspace.types import Source, SourceKind


class Workspace:
    """Sources that a test may change."""

    def __init__(self, *sources: Source) -> None:
        self.held = list(sources)
        self.number = 1

    def version(self) -> int:
        return self.number

    def sources(self) -> list[Source]:
        return self.held


SERVER = Source(id="s1", name="shop", write_keys={"key": "active", "old": "rotated"})
BROWSER = Source(id="s2", name="page", kind=SourceKind.BROWSER, write_keys={"public": "active"})
CLOSED = Source(id="s3", name="closed", enabled=False, write_keys={"shut": "active"})


def sources() -> Sources:
    return Sources(Workspace(SERVER, BROWSER, CLOSED))


def request(authorization: bytes | None = None, url: bytes = b"/v1/identify") -> Request:
    headers = {b"authorization": authorization} if authorization is not None else {}
    return Request(b"POST", url, headers, b"{}", "127.0.0.1")


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "authorization",
    [basic("key:"), basic("key"), basic("key:password"), basic("key").rstrip(b"="), b"basic  a2V5Og==", b"Bearer key",
     b"BEARER  key"],
)  # fmt: skip
def test_a_key_is_found_in_the_header_with_and_without_colon_and_as_bearer(authorization: bytes) -> None:
    known = sources()
    for _ in range(2):  # from the header, then from the cache
        entry = known.by_header(request(authorization))
        assert entry is not None
        assert entry.source is SERVER


@pytest.mark.parametrize("authorization", [None, b"", b"Basic", b"Basic ***", b"Digest x", b"Bearer ", b"Bearer token"])
def test_a_header_without_a_key_of_ours_leaves_it_to_the_body(authorization: bytes | None) -> None:
    known = sources()
    assert known.by_header(request(authorization)) is None
    assert known.by_content(request(authorization), "key", None).source is SERVER


def test_the_order_is_body_then_first_item_then_query() -> None:
    known, asked = sources(), request(url=b"/beacon/v1/batch?writeKey=public")
    assert known.by_content(asked, "key", "public").source is SERVER
    assert known.by_content(asked, None, "key").source is SERVER
    assert known.by_content(asked, "", None).source is BROWSER
    assert known.by_content(asked, 5, ["key"]).source is BROWSER


@pytest.mark.parametrize(
    ("key", "code"), [("nobody", "unknown_source"), ("old", "key_rotated"), ("shut", "source_disabled")]
)
def test_a_key_that_opens_nothing_has_its_name_wherever_it_stands(key: str, code: str) -> None:
    known = sources()
    asks: list[Callable[[], object]] = [
        lambda: known.by_header(request(basic(f"{key}:"))),
        lambda: known.by_content(request(), key),
        lambda: known.by_content(request(url=f"/v1/t?writeKey={key}".encode())),
    ]
    for ask in asks:
        with pytest.raises(Refused) as refusal:
            ask()
        assert refusal.value.rejection.reason == code


def test_no_key_anywhere_is_a_refusal_of_its_own() -> None:
    with pytest.raises(Refused) as refusal:
        sources().by_content(request(), None)
    assert refusal.value.rejection.reason == "no_write_key"


def test_a_change_of_the_workspace_is_seen_at_the_next_refresh() -> None:
    workspace = Workspace(SERVER)
    known = Sources(workspace)
    assert known.by_header(request(basic("key:"))) is not None
    assert not known.refresh()
    workspace.held, workspace.number = [Source(id="s1", name="shop", write_keys={"new": "active", "key": "rotated"})], 2
    assert known.refresh()
    with pytest.raises(Refused) as refusal:
        known.by_header(request(basic("key:")))
    assert refusal.value.rejection.reason == "key_rotated"


def test_a_browser_source_is_trusted_with_what_it_was_given_only() -> None:
    given = Source(id="s4", name="p", kind=SourceKind.BROWSER, write_keys={"k": "active"}, allow_alias=True)
    known = Sources(Workspace(SERVER, BROWSER, given))
    assert known.by_key("key").trust == SERVER_TRUST
    assert known.by_key("public").trust == Trust.CLIENT
    assert known.by_key("k").trust == Trust.CLIENT | Trust.ALIAS
