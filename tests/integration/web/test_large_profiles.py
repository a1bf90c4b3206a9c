"""What the answers say of people with more messages than one answer looks at: that they are a part, and of what."""

from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest

from tabard.clock import SystemClock
from tabard.compose.identity import StoreIdentity
from tabard.settings import Settings
from tabard.storage.sqlite import store_explain, store_history, store_search
from tabard.web import profile_subject
from tabard.web.app import create_app
from tabard.web.deps import Deps, Readers
from tests.integration.delivery.stored import MemoryWorkspace
from tests.integration.resolver.engine import Engine

MESSAGES = 90
MEMBERS = 5
PERSON = "/v1/spaces/any/collections/users/profiles/user_id:u"


def at(n: int) -> str:
    return f"2024-05-01T12:{n // 60:02d}:{n % 60:02d}.000Z"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A person of 90 messages: every tenth an identify of a plan, the others events; the first one rare.

    And a group of five, who share a device.
    """
    engine = Engine(tmp_path)
    calls: list[dict[str, Any]] = []
    for n in range(MESSAGES):
        call = {"messageId": f"m{n}", "timestamp": at(n), "userId": "u"}
        what = {"type": "track", "event": "Rare" if n == 0 else "Usual"}
        calls.append(call | ({"type": "identify", "traits": {"plan": n}} if n % 10 == 5 else what))
    for n in range(MEMBERS):
        device = {"anonymousId": "d", "userId": f"g{n}", "groupId": "acme"}
        calls.append({"type": "group", "messageId": f"g{n}", "timestamp": at(n), **device})
    engine.feed(calls)
    engine.settle()

    def readers() -> Readers:
        profiles = engine.profiles()
        nobody = cast("Any", None)
        return Readers(engine.messages(), profiles, StoreIdentity(profiles), nobody, nobody, nobody, MemoryWorkspace())

    nothing = cast("Any", None)
    deps = Deps(
        Settings(),
        SystemClock(),
        lambda token: token == "t",
        b"k" * 32,
        readers,
        nothing,
        dict,
        nothing,
        nothing,
        nothing,
    )
    transport = httpx.ASGITransport(create_app(deps))
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        yield client
    engine.close()


async def pages(web: httpx.AsyncClient, path: str) -> list[list[str]]:
    """The messages of each page."""
    found, following = [], ""
    while True:
        answer = (await web.get(path + following)).json()
        found.append([row["message_id"] for row in answer["data"]])
        if not answer["cursor"]["has_more"]:
            return found
        following = f"&next={answer['cursor']['next']}"


@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_a_filter_goes_on_with_a_cursor_behind_what_one_answer_looks_at(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    monkeypatch.setattr(profile_subject, "MESSAGES_LOOKED_AT_MAX", 40)
    found = await pages(web, f"{PERSON}/events?include=Rare&sort={sort}")
    assert list(chain(*found)) == ["m0"]
    assert len(found) == 3
    whole = list(chain(*await pages(web, f"{PERSON}/events?limit=7&sort={sort}")))
    expected = [f"m{n}" for n in range(MESSAGES)]
    assert whole == (expected if sort == "asc" else expected[::-1])


async def test_oldest_first_says_where_it_begins_if_that_is_not_the_beginning(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "truncated" not in (await web.get(f"{PERSON}/events?sort=asc")).json()
    monkeypatch.setattr(profile_subject, "POSITIONS_LOOKED_AT_MAX", 30)
    answer = (await web.get(f"{PERSON}/events?sort=asc")).json()
    assert (answer["truncated"], answer["from"]) == (True, at(60))
    assert answer["data"][0]["message_id"] == "m60"


async def test_the_first_message_is_the_first_or_none_is_named(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = (await web.get(f"{PERSON}/external_ids")).json()["data"]
    assert row["first_message_id"] == "m0"
    assert (await web.get(f"{PERSON}/metadata?verbose=true")).json()["metadata"]["first_message_id"] == "m0"
    monkeypatch.setattr(profile_subject, "FIRSTS_LOOKED_AT_MAX", 20)
    answer = (await web.get(f"{PERSON}/external_ids")).json()
    assert answer["data"][0]["first_message_id"] is None
    assert (answer["truncated"], answer["from"]) == (True, at(70))
    metadata = (await web.get(f"{PERSON}/metadata?verbose=true")).json()["metadata"]
    assert (metadata["first_message_id"], metadata["last_message_id"]) == (None, "m89")
    assert metadata["truncated"] is True


async def test_history_and_provenance_say_when_older_writes_were_not_looked_at(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = (await web.get("/api/profiles/user:u/traits/plan/history")).json()
    assert history.keys() == {"history"}
    assert [write["value"] for write in history["history"]] == list(range(85, 0, -10))
    assert not any("truncated" in write for write in history["history"])
    monkeypatch.setattr(store_history, "MESSAGES_MAX", 20)
    history = (await web.get("/api/profiles/user:u/traits/plan/history")).json()
    assert (history["truncated"], history["from"]) == (True, at(70))
    assert [(write["value"], write.get("truncated", False)) for write in history["history"]] == [
        (85, False),
        (75, True),
    ]
    monkeypatch.setattr(store_history, "MESSAGES_MAX", 10)
    plan = (await web.get("/api/profiles/user:u/traits")).json()["plan"]
    assert (plan["value"], plan["replaced"], plan["truncated"]) == (85, None, True)


async def test_a_past_profile_says_when_it_is_made_of_a_part(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = f"as_of={quote(at(80))}"
    assert "truncated" not in (await web.get(f"/api/profiles/user:u?{then}")).json()
    monkeypatch.setattr(store_history, "MESSAGES_MAX", 20)
    assert (await web.get(f"/api/profiles/user:u?{then}")).json()["truncated"] is True
    assert (await web.get(f"/api/profiles/user:u/traits?{then}")).json()["plan"]["truncated"] is True


async def test_the_members_of_an_account_come_in_pages_however_many_messages_one_answer_looks_at(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/v1/spaces/any/collections/accounts/profiles/group_id:acme/links"
    for looked_at in (1000, 1):
        monkeypatch.setattr(store_search, "MESSAGES_LOOKED_AT_MAX", looked_at)
        found: list[str] = []
        cursor: dict[str, Any] = {"has_more": True, "next": ""}
        while cursor["has_more"]:
            answer = (await web.get(f"{path}?limit=2&next={cursor['next']}")).json()
            assert len(answer["data"]) <= 2
            found += [row["external_ids"][0]["id"] for row in answer["data"]]
            cursor = answer["cursor"]
        assert sorted(found) == [f"g{n}" for n in range(MEMBERS)]


async def test_an_explanation_says_when_it_lists_a_part(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("explain", "identity"):
        assert "truncated" not in (await web.get(f"/api/profiles/user:g0/{path}")).json()
    assert "This is part of it" not in (await web.get("/people/user:g0")).text
    monkeypatch.setattr(store_explain, "EVIDENCE_MAX", 2)
    for path in ("explain", "identity"):
        assert (await web.get(f"/api/profiles/user:g0/{path}")).json()["truncated"] is True
    assert "This is part of it" in (await web.get("/people/user:g0")).text


async def test_the_page_of_a_person_says_when_what_a_value_replaced_was_not_looked_at(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not looked at" not in (await web.get("/people/user:u")).text
    monkeypatch.setattr(store_history, "MESSAGES_MAX", 10)
    assert "in older messages, which were not looked at" in (await web.get("/people/user:u")).text
