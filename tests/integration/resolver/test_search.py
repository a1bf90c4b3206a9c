"""Who is in a group, in pages: each member once, whatever the size of the pages."""

from pathlib import Path
from typing import Any

import pytest

from tabard.storage.sqlite import store_search
from tabard.storage.sqlite.store_search import Search
from tests.integration.resolver.engine import Engine, Event


def call(kind: str, second: int, **fields: Any) -> Event:
    return {"messageId": f"m{second:02d}", "timestamp": f"2024-05-01T12:00:{second:02d}.000Z", "type": kind, **fields}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A group that six people named; one left it, one joined by two identifiers, one by a better copy of a message."""
    made = Engine(tmp_path)
    made.feed([call("group", n, userId=f"u{n}", groupId="acme", traits={"n": n}) for n in range(1, 5)])
    made.feed([call("group", 5, anonymousId="a1", groupId="acme"), call("ungroup", 6, userId="u2", groupId="acme")])
    made.feed([call("identify", 7, userId="u1", anonymousId="a1"), call("group", 8, userId="u5", groupId="other")])
    made.feed([call("identify", 9, userId="u6", traits={"objectId": "acme"}), call("group", 10, groupId="acme")])
    made.feed([{**call("group", 8, userId="u5", groupId="acme"), "timestamp": "2024-05-01T12:00:07.000Z"}])
    made.feed([call("group", 20, userId="u3", groupId="acme"), call("group", 1, userId="u1", groupId="acme")])
    made.settle()
    return made


def pages(search: Search, limit: int) -> list[list[str]]:
    found, after = [], None
    while True:
        members, after = search.members("acme", limit, after)
        found.append(members)
        if after is None:
            return found


def test_the_members_of_a_group_come_once_each_in_pages_of_any_size(engine: Engine) -> None:
    search = Search(engine.profiles())
    everybody = ["user:u3", "user:u6", "user:u1", "user:u4", "user:u5"]
    assert search.members("acme", 200) == search.members(" acme ", 200) == (everybody, None)
    for limit in range(1, 6):
        found = pages(search, limit)
        assert [one for page in found for one in page] == everybody
        assert all(len(page) == limit for page in found[:-1])
    members = {profile["canonical"] for profile in engine.state()["profiles"] if "acme" in profile["groups"]}
    assert members == set(everybody)


def test_a_trait_is_found_by_either_of_its_spellings(tmp_path: Path) -> None:
    made = Engine(tmp_path)
    made.feed([call("identify", 1, userId="u1", traits={"first_name": "Zed"})])
    made.settle()
    for spelled in ("first_name", "firstName"):
        found, _ = Search(made.profiles()).by_trait(spelled, "Zed", 10)
        assert [profile.canonical for profile in found] == ["user:u1"]


def test_a_page_looks_at_so_many_messages_and_the_next_goes_on_behind_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(engine.profiles())
    (everybody,) = pages(search, 200)
    monkeypatch.setattr(store_search, "MESSAGES_LOOKED_AT_MAX", 2)
    found = pages(search, 200)
    assert len(found) > len(everybody) // 2
    assert [one for page in found for one in page] == everybody


def test_an_unknown_group_has_no_members_and_a_made_up_place_is_no_failure(engine: Engine) -> None:
    search = Search(engine.profiles())
    assert search.members("nobody", 10) == ([], None)
    assert search.members("acme", 10, 10**12)[1] is None
