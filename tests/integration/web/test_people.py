"""Finding people, and what is known of one."""

from urllib.parse import quote

from tests.integration.web.conftest import EVENTS, HOSTILE_ID, Site

PERSON = "/api/profiles/user:97980cfea0067"


def found(admin: Site, question: str) -> list[str]:
    return [profile["canonical"] for profile in admin.ask(f"/api/profiles?q={quote(question)}").json["profiles"]]


def test_people_are_found_by_any_identifier_the_start_of_an_e_mail_or_a_trait(admin: Site) -> None:
    person = ["user:97980cfea0067"]
    for question in ("97980cfea0067", "user:97980cfea0067", "a-1", "anon:a-1", "cool.", "COOL.PERSON@", "plan:pro"):
        assert found(admin, question) == person, question
    for question in ("plan:free", "plan:", "nobody", "user:", "anon:", "cool person"):
        assert found(admin, question) == [], question
    assert set(person) < set(found(admin, ""))


def test_a_profile_is_the_same_by_its_id_and_by_each_identifier(admin: Site) -> None:
    person = admin.ask(PERSON).json
    assert person["identifiers"] == ["anon:a-1", "email:cool.person@example.com", "user:97980cfea0067"]
    assert person["traits"] == {"email": "Cool.Person@example.com", "plan": "pro"}
    assert person["groups"] == ["acme"]
    for name in (person["profileId"], *person["identifiers"], "email:COOL.person@example.com"):
        assert admin.ask(f"/api/profiles/{name}").json == person
    hostile = admin.ask(f"/api/profiles/{quote(f'user:{HOSTILE_ID}', safe='')}").json
    assert hostile["canonical"] == f"user:{HOSTILE_ID}"


def test_a_trait_tells_its_source_its_message_and_what_it_replaced(admin: Site) -> None:
    plan = admin.ask(f"{PERSON}/traits").json["plan"]
    assert (plan["value"], plan["identifier"]) == ("pro", "user:97980cfea0067")
    assert (plan["replaced"]["value"], plan["replaced"]["identifier"]) == ("free", "anon:a-1")
    stored = admin.ask(f"/api/trace/{plan['messageId']}").json["messages"][0]
    assert stored["message"]["traits"]["plan"] == "pro"
    assert stored["source"] == plan["source"]
    history = admin.ask(f"{PERSON}/traits/plan/history").json["history"]
    assert [write["value"] for write in history] == ["pro", "free"]
    assert admin.ask(f"{PERSON}/traits/none/history").json == {"history": []}


def test_who_moved_to_which_profile_can_be_followed(admin: Site) -> None:
    person = admin.ask(PERSON).json
    first = admin.ask("/api/profile-changes?limit=2").json
    assert len(first["changes"]) == 2
    rest = admin.ask(f"/api/profile-changes?after={first['next']}").json
    assert [one["seq"] for one in rest["changes"]] == sorted(one["seq"] for one in rest["changes"])
    moves = [*first["changes"], *rest["changes"]]
    assert {one["identifier"] for one in moves if one["newProfileId"] == person["profileId"]} == set(
        person["identifiers"]
    )
    assert admin.ask(f"/api/profile-changes?after={rest['next']}").json == {"changes": [], "next": rest["next"]}
    assert admin.tabard.tabard("profile", "changes", "--after", str(first["next"])) == rest
    assert admin.ask("/api/profile-changes?after=x").status == 400


def test_a_profile_as_of_a_time_knows_only_what_had_happened(admin: Site) -> None:
    free = admin.ask(f"{PERSON}/traits/plan/history").json["history"][1]
    then = admin.ask(f"{PERSON.replace('user:97980cfea0067', 'anon:a-1')}?as_of={free['timestamp']}").json
    assert then["asOf"] == free["timestamp"]
    assert then["traits"] == {"plan": "free"}
    assert then["identifiers"] == ["anon:a-1"]


def test_the_evidence_of_a_profile_names_the_message_behind_it(admin: Site) -> None:
    graph = admin.ask(f"{PERSON}/identity").json
    assert graph["nodes"] == admin.ask(PERSON).json["identifiers"]
    evidence = {(each["low"], each["high"]): each["message"] for each in graph["evidence"]}
    link = evidence["anon:a-1", "user:97980cfea0067"]
    message = admin.ask(f"/api/trace/{link['messageId']}").json["messages"][0]["message"]
    assert (message["userId"], message["anonymousId"]) == ("97980cfea0067", "a-1")


def test_a_timeline_read_in_parts_has_each_message_once_newest_first(admin: Site) -> None:
    rows, after = [], ""
    while True:
        part = admin.ask(f"{PERSON}/timeline?limit=7{after}").json
        rows += part["messages"]
        if part["next"] is None:
            break
        after = f"&before={part['next']}"
    assert len({row["messageId"] for row in rows}) == len(rows) == EVENTS + 4
    assert [row["receivedAt"] for row in rows] == sorted((row["receivedAt"] for row in rows), reverse=True)
