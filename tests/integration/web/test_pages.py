"""The pages and their twins, as browsers and scripts ask for them."""

import html
import re
import time
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from tabard.testing.installation import eventually
from tests.integration.web.conftest import EVENTS, HOSTILE_ID, HOSTILE_MESSAGE, Site

PERSON = "user:97980cfea0067"
HOSTILE = quote(f"user:{HOSTILE_ID}", safe="")
HOSTILE_TRAIT = quote("</td><img src=x onerror=alert(1)>", safe="")
TWINS = {
    "/messages": "/api/messages",
    f"/messages/{quote(HOSTILE_MESSAGE, safe='')}": f"/api/trace/{quote(HOSTILE_MESSAGE, safe='')}",
    "/people": "/api/profiles",
    f"/people/{PERSON}": f"/api/profiles/{PERSON}",
    f"/people/{HOSTILE}": f"/api/profiles/{HOSTILE}",
    f"/people/{PERSON}?as_of=2999-01-01": f"/api/profiles/{PERSON}?as_of=2999-01-01",
    f"/people/{HOSTILE}/timeline?limit=1": f"/api/profiles/{HOSTILE}/timeline?limit=1",
    f"/people/{HOSTILE}/traits/{HOSTILE_TRAIT}/history": f"/api/profiles/{HOSTILE}/traits/{HOSTILE_TRAIT}/history",
    "/destinations": "/api/destinations",
    "/destinations/crm": "/api/destinations/crm",
    "/destinations/crm/subscriptions/Every%20message": "/api/destinations/crm/subscriptions/Every%20message",
    "/dead-letters": "/api/dead-letters",
    "/replays": "/api/replays",
    "/rejections": "/api/rejections",
    "/quarantined": "/api/quarantined",
    "/docs": "/openapi.json",
}
OPEN = {"/docs", "/openapi.json"}


class Tags(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("page", TWINS)
def test_a_stranger_is_sent_from_a_page_to_the_login_and_from_its_twin_with_a_named_401(
    stranger: Site, page: str
) -> None:
    shown, twin = stranger.ask(page, Accept="text/html"), stranger.ask(TWINS[page])
    if page in OPEN:
        assert (shown.status, twin.status) == (200, 200)
        return
    assert (shown.status, unquote(shown.headers["location"])) == (303, f"/login?next={page}")
    assert (twin.status, twin.json["code"]) == (401, "unauthorized")
    assert twin.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("page", TWINS)
def test_a_page_and_its_twin_answer_with_strict_headers(visitor: Site, page: str) -> None:
    for path in (page, TWINS[page]):
        answer = visitor.ask(path)
        assert answer.status == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("page", TWINS)
def test_whatever_clients_sent_a_page_has_no_code_but_ours(visitor: Site, page: str) -> None:
    tags = Tags(visitor.ask(page).text).found
    assert [attributes for tag, attributes in tags if tag == "script"] in (
        [],
        [{"src": "/static/live.js", "defer": None}],
    )
    assert not {tag for tag, _ in tags} & {"img", "svg", "iframe", "object", "b", "i", "style"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name == "style"]
    assert not [
        href for _, attributes in tags if not (href := attributes.get("href") or "/").startswith(("/", "?", "#"))
    ]


def test_the_pages_show_what_their_twins_say(visitor: Site) -> None:
    messages, page = visitor.ask("/api/messages?limit=200").json["messages"], visitor.ask("/messages?limit=200").text
    assert len(messages) == EVENTS + 6
    assert all(quote(row["messageId"], safe="") in page for row in messages)
    (destination,) = visitor.ask("/api/destinations").json["destinations"]
    books = destination["books"]
    assert books["stored"] == EVENTS + 6
    assert books["stored"] == books["before_start"] + books["taken"] + books["pending"]
    assert books["taken"] == sum(
        books[term] for term in ("delivered", "filtered", "parked", "dead", "erased", "expired")
    )
    assert f'<td class="number" data-label="delivered">{books["delivered"]}</td>' in visitor.ask("/destinations").text
    (refused,) = visitor.ask("/api/rejections").json["rejections"]
    assert (refused["code"], refused["index"], refused["sourceName"]) == ("event_not_defined", 0, "default")
    assert refused["code"] in visitor.ask("/rejections").text
    person, page = visitor.ask(f"/api/profiles/{PERSON}").json, visitor.ask(f"/people/{PERSON}").text
    assert person["events"] == EVENTS + 4
    assert all(identifier in page for identifier in person["identifiers"])
    sentences = [reason["sentence"] for reason in visitor.ask(f"/api/profiles/{PERSON}/explain").json["together"]]
    assert len(sentences) == 2
    assert all(sentence in page for sentence in sentences)


@pytest.mark.parametrize("page", [page for page in TWINS if page not in OPEN])
def test_a_page_links_to_its_twin(visitor: Site, page: str) -> None:
    assert f'<footer><a href="{html.escape(TWINS[page])}">' in visitor.ask(page).text


def test_a_person_s_timeline_is_paged_and_each_trait_has_its_history(visitor: Site) -> None:
    person = visitor.ask(f"/people/{PERSON}").text
    assert f'href="/people/{quote(PERSON, safe="")}/timeline"' in person
    path, seen = f"/people/{PERSON}/timeline?limit=30", 0
    while path:
        page = visitor.ask(path).text
        seen += page.count("<tr><td><time")
        older = re.search(r'href="(\?[^"]*before=[^"]*)"', page)
        path = f"/people/{PERSON}/timeline{html.unescape(older[1])}" if older else ""
    assert seen == EVENTS + 4
    assert f'href="/people/{quote(PERSON, safe="")}/traits/plan/history"' in person
    history = visitor.ask(f"/people/{PERSON}/traits/plan/history").text
    assert re.findall(r"<td><code>(pro|free)</code></td>", history) == ["pro", "free"]


def test_a_person_as_of_a_time_says_where_each_trait_came_from_then(visitor: Site) -> None:
    writes = visitor.ask(f"/api/profiles/{PERSON}/traits/plan/history").json["history"]
    then = writes[1]["timestamp"]
    past = visitor.ask(f"/api/profiles/{PERSON}/traits?as_of={then}").json
    assert past == {"plan": writes[1]}
    page = visitor.ask(f"/people/{PERSON}?as_of={then}").text
    assert "<code>free</code>" in page
    assert "<code>pro</code>" not in page
    assert f"/messages/{writes[1]['messageId']}" in page
    now = visitor.ask(f"/api/profiles/{PERSON}/traits").json
    assert visitor.ask(f"/api/profiles/{PERSON}/traits?as_of=2999-01-01").json == now


def test_the_page_of_an_identifier_in_no_profile_says_why(visitor: Site) -> None:
    control = b'{"type": "cut", "a": "anon:nobody-s", "b": "*", "messageId": "cut-1"}'
    token = {"Authorization": f"Bearer {visitor.tabard.admin_token}"}
    assert Site(visitor.tabard, headers=token).ask("/api/controls", form=control).status == 200
    assert eventually(lambda: "is in no profile" in visitor.ask("/people/anon:nobody-s").text)
    answer = visitor.ask("/people/anon:nobody-s")
    assert answer.status == 404
    assert "keeps anon:nobody-s and everything else apart" in answer.text
    assert "control <code>cut-1</code>" in answer.text


def test_a_trace_names_each_destination_s_outcome(admin: Site) -> None:
    found = admin.ask(f"/api/trace/{quote(HOSTILE_MESSAGE, safe='')}").json
    assert [row["message"]["properties"]["huge"] for row in found["messages"]] == [10**30]
    assert [(row["name"], row["outcome"]) for row in found["deliveries"]] == [("crm", "delivered")]
    missing = admin.ask("/api/trace/none")
    assert (missing.status, missing.json["code"]) == (404, "not_found")


def test_messages_are_narrowed_by_type_and_source(admin: Site) -> None:
    types = {row["type"] for row in admin.ask("/api/messages?type=identify&source=default").json["messages"]}
    assert types == {"identify"}
    assert admin.ask("/api/messages?source=nobody").json["messages"] == []


def test_a_wrong_token_is_refused_and_the_right_one_opens_a_session_scripts_cannot_read(stranger: Site) -> None:
    wrong = stranger.ask("/login", form={"token": "guess"})
    assert (wrong.status, wrong.headers["location"], wrong.headers["set-cookie"]) == (303, "/login?next=&wrong=1", None)
    assert "not the admin token" in stranger.ask("/login?wrong=1", Accept="text/html").text
    right = stranger.ask("/login", form={"token": stranger.tabard.admin_token})
    assert right.headers["location"] == "/messages"
    attributes = right.headers["set-cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/people/user:a%2Fb?as_of=2026-11-01", "/people/user:a%2Fb?as_of=2026-11-01"),
        ("//evil.example/x", "/messages"),
        ("/\\evil.example", "/messages"),
        ("https://evil.example", "/messages"),
        ("/a\nb", "/messages"),
        ("", "/messages"),
    ],
)
def test_after_the_login_one_is_where_one_wanted_to_be_but_never_on_another_site(
    stranger: Site, wanted: str, led_to: str
) -> None:
    form = {"token": stranger.tabard.admin_token, "next": wanted}
    assert stranger.ask("/login", form=form).headers["location"] == led_to
    wrong = stranger.ask("/login", form={**form, "token": "guess"}).headers["location"]
    assert parse_qs(urlsplit(wrong).query, keep_blank_values=True) == {"next": [wanted], "wrong": ["1"]}
    assert f'value="{html.escape(wanted)}"' in stranger.ask(wrong, Accept="text/html").text


def test_a_session_that_is_forged_changed_or_over_opens_nothing(visitor: Site) -> None:
    name, _, value = visitor.cookies.partition("=")
    expiry, _, signature = value.partition(".")
    forged = [
        f"{int(expiry) + 60}.{signature}",
        f"{expiry}.{'0' * 64}",
        f"{int(time.time()) - 1}.{signature}",
        "",
        "\xe9.\xe9",
    ]
    for cookie in [*forged, f"{'9' * 5000}.{signature}", f"²{expiry}.{signature}"]:
        visitor.cookies = f"{name}={cookie}".encode().decode("latin-1")
        assert visitor.ask("/api/messages").status == 401, cookie[:40]


def test_a_change_by_session_needs_the_form_s_token(visitor: Site) -> None:
    for form in ({}, {"csrf": "guess"}, {"csrf": "\xe9"}):
        answer = visitor.ask("/logout", form=form)
        assert answer.status == 403
        assert "csrf" in answer.text
    control = b'{"type": "delete", "ids": ["user:97980cfea0067"]}'
    refused = visitor.ask("/api/controls", form=control, Content_Type="application/json")
    assert (refused.status, refused.json["code"]) == (403, "csrf")
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', visitor.ask("/messages").text)
    assert token
    answer = visitor.ask("/logout", form={"csrf": token[1]})
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert 'tabard_session=""' in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/nothing", 404, "not_found"),
        ("/static/../app.py", 404, "not_found"),
        ("/static/%2e%2e/app.py", 404, "not_found"),
        ("/api/profiles/user:nobody", 404, "not_found"),
        ("/api/profiles/group:acme", 404, "not_found"),
        ("/api/profiles/nonsense", 404, "not_found"),
        ("/api/profiles/what:ever", 404, "not_found"),
        ("/api/profiles/%00", 404, "not_found"),
        ("/api/profiles/user:%FF", 404, "not_found"),
        ("/api/messages?limit=0", 400, "bad_request"),
        ("/api/messages?limit=201", 400, "bad_request"),
        ("/api/messages?limit=%C2%B2", 400, "bad_request"),
        ("/api/messages?limit=" + "9" * 5000, 400, "bad_request"),
        ("/api/messages?type=nothing", 400, "bad_request"),
        ("/api/messages?typ=identify", 400, "bad_request"),
        (f"/api/profiles/{PERSON}?as_of=yesterday", 400, "bad_request"),
        (f"/api/profiles/{PERSON}?as_of=2001-01-01", 404, "not_found"),
        (f"/api/profiles/{PERSON}/timeline?before=-1", 400, "bad_request"),
        (f"/api/profiles/{PERSON}/timeline?before={'9' * 30}", 400, "bad_request"),
        ("/api/profiles?q=plan:pro&after=x", 400, "bad_request"),
        ("/api/controls", 405, "method_not_allowed"),
    ],
)
def test_every_refusal_is_named_in_the_one_shape(admin: Site, path: str, status: int, code: str) -> None:
    answer = admin.ask(path)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json.keys() == {"success", "code", "message", "meta"}
    assert answer.json["meta"] == {"errors": [answer.json["message"]]}


def test_a_browser_gets_its_refusals_as_pages(visitor: Site) -> None:
    answer = visitor.ask("/people/user:nobody")
    assert answer.status == 404
    assert "<h1>not_found</h1>" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{", b'{"type": "forget"}', b'{"type": "delete"}', b'{"type": "delete", "ids": ["x"]}'),
        *(b'{"type": "cut", "a": "*", "b": "user:u"}', b'{"type": "cut", "a": "user:u", "b": "user:u "}'),
        *(b'{"type": "delete", "ids": ["user: "]}', b'{"type": "cut", "a": "user:a", "b": "user:b", "until": "xx"}'),
        *(b'{"type": "delete", "ids": "user:u", "person": true}', b'{"type": "delete", "person": true, "ids": ["x"]}'),
    ],
)
def test_what_is_no_control_is_refused_by_name(admin: Site, body: bytes) -> None:
    answer = admin.ask("/api/controls", form=body)
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert answer.json["message"].startswith("not a control: ")


def test_a_body_larger_than_any_form_is_refused_while_it_comes_in(stranger: Site) -> None:
    answer = stranger.ask("/login", form=b"token=" + b"a" * 300_000, Content_Type="application/x-www-form-urlencoded")
    assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_a_delete_stated_over_http_is_kept_hides_the_person_and_says_what_still_holds_data(admin: Site) -> None:
    admin.tabard.send("/v1/identify", {"userId": "leaver", "traits": {"email": "leaver@example.com"}})
    assert eventually(lambda: admin.ask("/api/profiles/user:leaver").status == 200)
    answer = admin.ask("/api/controls", form=b'{"type": "delete", "ids": ["email:leaver@example.com"], "person": true}')
    assert answer.json["ids"] == ["email:leaver@example.com", "user:leaver"]
    assert (answer.status, answer.json["position"].partition(":")[0]) == (200, "0")
    assert {"log", "backups", "destination crm"} <= {each["place"] for each in answer.json["stillHeld"]}
    assert eventually(lambda: admin.ask("/api/profiles/user:leaver").status == 404)
    cut = admin.ask("/api/controls", form=b'{"type": "cut", "a": "user:leaver", "b": "*"}')
    assert (cut.status, cut.json.keys()) == (200, {"success", "position"})


def test_an_address_that_was_given_as_a_user_id_is_found_and_deleted_as_typed(admin: Site) -> None:
    admin.tabard.send("/v1/identify", {"userId": "Typed@Mail.example", "traits": {"plan": "free"}})
    assert eventually(lambda: admin.ask("/api/profiles/user:Typed@Mail.example").status == 200)
    assert admin.ask("/api/controls", form=b'{"type": "delete", "ids": ["user:Typed@Mail.example"]}').status == 200
    assert eventually(lambda: admin.ask("/api/profiles/email:typed@mail.example").status == 404)
