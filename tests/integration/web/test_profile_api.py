"""The Segment-compatible Profile API (wire.md §6.1): every part, code and cursor."""

import base64
from typing import Any
from urllib.parse import quote

import pytest

from tabard.testing.installation import eventually
from tests.integration.web.conftest import EVENTS, HOSTILE_ID, Answer, Json, Site

SPACE = "/v1/spaces/any/collections"
PERSON = f"{SPACE}/users/profiles/user_id:97980cfea0067"
ACCOUNT = f"{SPACE}/accounts/profiles/group_id:acme"


@pytest.fixture
def api(tabard: Any) -> Site:
    """A client as Segment documents it: Basic, the token as user name, no password."""
    basic = base64.b64encode(f"{tabard.admin_token}:".encode()).decode()
    return Site(tabard, headers={"Authorization": f"Basic {basic}"})


def all_pages(api: Site, path: str, member: str) -> tuple[list[Any], int]:
    """What all pages together hold, and how many there were; each cursor is held to the shape."""
    rows: list[Any] = []
    pages, after = 0, ""
    while True:
        answer = api.ask(path + after)
        assert answer.status == 200
        assert answer.headers["request-id"]
        part = answer.json[member]
        rows += part.items() if isinstance(part, dict) else part
        pages += 1
        cursor = answer.json["cursor"]
        assert cursor.keys() == {"url", "has_more", "next", "limit"}
        assert cursor["url"] == path.partition("?")[0]
        if not cursor["has_more"]:
            assert cursor["next"] == ""
            return rows, pages
        after = ("&" if "?" in path else "?") + f"next={cursor['next']}"


def error(answer: Answer) -> tuple[int, str]:
    assert answer.json.keys() == {"error"}
    assert answer.json["error"].keys() == {"code", "message"}
    assert answer.headers["request-id"]
    return answer.status, answer.json["error"]["code"]


def test_traits_come_plain_verbose_chosen_and_in_pages(api: Site) -> None:
    everything = {"email": "Cool.Person@example.com", "plan": "pro"}
    assert api.ask(f"{PERSON}/traits").json["traits"] == everything
    assert api.ask(f"{PERSON}/traits?include=plan,none").json["traits"] == {"plan": "pro"}
    assert api.ask(f"{PERSON}/traits?class=audience").json["traits"] == {}
    assert all_pages(api, f"{PERSON}/traits?limit=1", "traits") == (sorted(everything.items()), 2)
    plan = api.ask(f"{PERSON}/traits?verbose=true").json["traits"]["plan"]
    assert plan.keys() == {"value", "source_id", "updated_at"}
    assert plan["value"] == "pro"


def test_external_ids_name_the_first_message_of_each(api: Site) -> None:
    rows, pages = all_pages(api, f"{PERSON}/external_ids?limit=2", "data")
    assert pages == 2
    assert [(row["type"], row["id"]) for row in rows] == [
        ("anonymous_id", "a-1"), ("email", "cool.person@example.com"), ("user_id", "97980cfea0067"),
    ]  # fmt: skip
    assert {row["collection"] for row in rows} == {"users"}
    first = rows[0]["first_message_id"]
    assert api.ask(f"/api/trace/{first}").json["messages"][0]["message"]["traits"] == {"plan": "free"}
    only = api.ask(f"{PERSON}/external_ids?include=email").json["data"]
    assert [row["type"] for row in only] == ["email"]
    assert api.ask(f"{PERSON}/external_ids").json["cursor"]["limit"] == 25


@pytest.mark.parametrize("sort", ["desc", "asc"])
def test_events_come_in_order_and_in_pages_each_once(api: Site, sort: str) -> None:
    rows, pages = all_pages(api, f"{PERSON}/events?limit=20&sort={sort}", "data")
    assert pages == 3
    assert len({row["message_id"] for row in rows}) == len(rows) == EVENTS + 4
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times, reverse=sort == "desc")
    row = next(row for row in rows if row["type"] == "track")
    assert row.keys() >= {"external_ids", "context", "message_id", "source_id", "properties", "event", "related"}


def test_events_are_narrowed_by_name_and_time(api: Site) -> None:
    only = api.ask(f"{PERSON}/events?include=E1&limit=200").json["data"]
    assert {row["event"] for row in only} == {"E1"}
    rest = api.ask(f"{PERSON}/events?exclude=E1,identify,group&limit=200").json["data"]
    assert {row["event"] for row in rest} == {"E0", "E2"}
    newest = rest[0]["timestamp"]
    assert api.ask(f"{PERSON}/events?start=2100-01-01").json["data"] == []
    assert newest not in [row["timestamp"] for row in api.ask(f"{PERSON}/events?limit=200&end={newest}").json["data"]]


def test_metadata_tells_first_and_last(api: Site) -> None:
    plain = api.ask(f"{PERSON}/metadata").json["metadata"]
    assert plain.keys() == {"created_at", "updated_at", "expires_at"}
    verbose: Json = api.ask(f"{PERSON}/metadata?verbose=true").json["metadata"]
    assert verbose.keys() - plain.keys() == {"first_message_id", "first_source_id", "last_message_id", "last_source_id"}
    first = api.ask(f"/api/trace/{verbose['first_message_id']}").json["messages"][0]
    assert first["timestamp"] == plain["created_at"]


def test_people_and_accounts_are_linked_both_ways(api: Site) -> None:
    (account,) = api.ask(f"{PERSON}/links").json["data"]
    assert account["to_collection"] == "accounts"
    assert [(one["type"], one["id"]) for one in account["external_ids"]] == [("group_id", "acme")]
    (person,) = api.ask(f"{ACCOUNT}/links").json["data"]
    assert person["to_collection"] == "users"
    assert [(one["type"], one["id"]) for one in person["external_ids"]] == [("user_id", "97980cfea0067")]
    assert api.ask(f"{ACCOUNT}/traits").json["traits"] == {"employees": 42}


def test_an_account_has_its_id_its_calls_and_when_it_was_first_and_last_named(api: Site) -> None:
    account = f"{SPACE}/accounts/profiles/group_id:parts"
    for second, (name, user) in enumerate((("g2", "p2"), ("g1", "p1"), ("g3", "p1"))):
        moment = f"2025-02-01T00:00:0{2 if name == 'g2' else 1 if name == 'g1' else 3}.000Z"
        call = {"userId": user, "groupId": "parts", "messageId": name, "timestamp": moment, "traits": {"n": second}}
        api.tabard.send("/v1/group", call)
    assert eventually(lambda: len(api.ask(f"{account}/events").json.get("data", ())) == 3)
    (shown,) = api.ask(f"{account}/external_ids").json["data"]
    assert (shown["collection"], shown["type"], shown["id"]) == ("accounts", "group_id", "parts")
    assert (shown["first_message_id"], shown["created_at"]) == ("g1", "2025-02-01T00:00:01.000Z")
    newest, pages = all_pages(api, f"{account}/events?limit=1", "data")
    assert ([one["message_id"] for one in newest], pages) == (["g3", "g1", "g2"], 3)
    oldest, _ = all_pages(api, f"{account}/events?sort=asc&limit=2", "data")
    assert oldest == newest[::-1]
    assert [one["type"] for one in newest] == ["group"] * 3
    person = api.ask("/api/profiles/user:p1").json["profileId"]
    assert newest[0]["related"] == {"users": [{"id": f"use_{person}"}]}
    assert newest[0]["external_ids"] == [
        {"collection": "accounts", "type": "group_id", "id": "parts", "encoding": "none"}
    ]
    narrowed = api.ask(f"{account}/events?start=2025-02-01T00:00:02Z&end=2025-02-01T00:00:03Z").json["data"]
    assert [one["message_id"] for one in narrowed] == ["g2"]
    metadata = api.ask(f"{account}/metadata?verbose=true").json["metadata"]
    assert (metadata["created_at"], metadata["updated_at"]) == ("2025-02-01T00:00:01.000Z", "2025-02-01T00:00:03.000Z")
    assert (metadata["first_message_id"], metadata["last_message_id"]) == ("g1", "g3")
    assert api.ask(f"{account}/metadata").json["metadata"].keys() == {"created_at", "updated_at", "expires_at"}


def test_a_profile_is_named_by_any_id_type_its_own_id_too(api: Site) -> None:
    traits = api.ask(f"{PERSON}/traits").json["traits"]
    own = api.ask("/api/profiles/anon:a-1").json["profileId"]
    for name in (
        "email:Cool.Person@example.com",
        "anonymous_id:a-1",
        "user_id:cool.person@example.com",
        own,
        f"use_{own}",
    ):
        assert api.ask(f"{SPACE}/users/profiles/{name}/traits").json["traits"] == traits, name
    hostile = quote(HOSTILE_ID, safe="")
    assert api.ask(f"{SPACE}/users/profiles/user_id:{hostile}/traits").json["traits"]["name"] == "<b>Bo</b>"


def test_an_identifier_with_a_newline_and_a_slash_is_found_by_every_path(api: Site) -> None:
    strange = "line\none/two"
    api.tabard.send("/v1/identify", {"userId": strange, "messageId": "m\nn", "traits": {"a\nb": 1}})
    name = quote(strange, safe="")
    path = f"{SPACE}/users/profiles/user_id:{name}/traits"
    assert eventually(lambda: api.ask(path).status == 200)
    assert api.ask(path).json["traits"] == {"a\nb": 1}
    for path in ("", "/traits", "/timeline", "/explain", "/identity", "/traits/a%0Ab/history"):
        assert api.ask(f"/api/profiles/user:{name}{path}").status == 200, path
    assert api.ask(f"/people/user:{name}").status == api.ask("/messages/m%0An").status == 200
    assert len(api.ask("/api/trace/m%0An").json["messages"]) == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{SPACE}/users/profiles/user_id:a%0Ab/traits", 404, "not_found"),
        (f"{SPACE}/users/profiles/user_id:nobody/traits", 404, "not_found"),
        (f"{SPACE}/users/profiles/user_id:null/traits", 404, "not_found"),
        (f"{SPACE}/users/profiles/nonsense/traits", 404, "not_found"),
        (f"{SPACE}/users/profiles/phone:1/traits", 400, "validation_error"),
        (f"{SPACE}/accounts/profiles/user_id:1/traits", 400, "validation_error"),
        (f"{SPACE}/accounts/profiles/group_id:none/traits", 404, "not_found"),
        (f"{PERSON}/nothing", 404, "not_found"),
        (f"{SPACE}/things/profiles/user_id:1/traits", 404, "not_found"),
        (f"{ACCOUNT}/nothing", 404, "not_found"),
        (f"{SPACE}/accounts/profiles/group_id:none/events", 404, "not_found"),
        (f"{ACCOUNT}/events?sort=up", 400, "validation_error"),
        (f"{PERSON}/traits?limit=0", 400, "validation_error"),
        (f"{PERSON}/traits?limit=201", 400, "validation_error"),
        (f"{PERSON}/traits?next=%FF", 400, "validation_error"),
        (f"{PERSON}/traits?next=bm8=", 400, "validation_error"),
        (f"{PERSON}/events?sort=up", 400, "validation_error"),
        (f"{PERSON}/events?start=soon", 400, "validation_error"),
    ],
)
def test_every_refusal_has_this_api_s_shape_and_code(api: Site, path: str, status: int, code: str) -> None:
    assert error(api.ask(path)) == (status, code)


def test_without_the_token_there_is_no_answer(stranger: Site) -> None:
    for header in ("", "Basic !", "Basic " + base64.b64encode(b"guess:").decode(), "Bearer guess"):
        assert error(stranger.ask(f"{PERSON}/traits", Authorization=header)) == (401, "authentication_error")


def test_what_was_first_is_told_by_when_it_happened_not_by_when_it_arrived(api: Site) -> None:
    def at(day: int, name: str) -> dict[str, Any]:
        return {"userId": "backfilled", "messageId": name, "timestamp": f"2024-05-0{day}T00:00:00Z", "event": "E"}

    person = f"{SPACE}/users/profiles/user_id:backfilled"
    api.tabard.send("/v1/track", at(2, "bf-late"))
    assert eventually(lambda: api.ask(f"{person}/events").status == 200)
    api.tabard.send("/v1/track", at(1, "bf-early"))
    assert eventually(lambda: len(api.ask(f"{person}/events").json["data"]) == 2)
    told: Json = api.ask(f"{person}/metadata?verbose=true").json["metadata"]
    assert (told["first_message_id"], told["last_message_id"]) == ("bf-early", "bf-late")
    (only,) = api.ask(f"{person}/external_ids").json["data"]
    assert (only["created_at"], only["first_message_id"]) == (told["created_at"], "bf-early")


def test_a_reserved_trait_is_included_by_either_spelling(api: Site) -> None:
    api.tabard.send("/v1/identify", {"userId": "spelled", "traits": {"first_name": "Zed", "plan": "x"}})
    person = f"{SPACE}/users/profiles/user_id:spelled"
    assert eventually(lambda: api.ask(f"{person}/traits").status == 200)
    for spelled in ("first_name", "firstName"):
        assert api.ask(f"{person}/traits?include={spelled}").json["traits"] == {"firstName": "Zed"}
