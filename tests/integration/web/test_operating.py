"""What an operator changes and sends again over the web, through the API and through the forms of the pages."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, eventually, running
from tests.e2e.receiver import receiving
from tests.integration.web.conftest import ENVIRON, Answer, Site

Json = dict[str, Any]
SECRET = "hush-hush-hush"
ORDERS = 'type = "track" and event = "Order"'


@dataclass
class Desk:
    """An installation whose webhook `crm` refuses what has no tenant, and both ways of asking its web role."""

    tabard: Installation
    hook: FaultyDestination
    api: Site
    browser: Site

    def get(self, path: str, status: int = 200) -> Json:
        answer = self.api.ask(path)
        assert answer.status == status, answer.text
        found: Json = answer.json
        return found

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Json:
        answer = self.api.ask(path, form=json.dumps(body or {}).encode(), method=method)
        assert answer.status == status, answer.text
        found: Json = answer.json
        return found

    def submit(self, path: str, **fields: str) -> Answer:
        """A form of a page, with the page's token."""
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', self.browser.ask("/replays").text)
        assert token
        return self.browser.ask(path, form={"csrf": token[1], **fields})

    def subscription(self) -> Json:
        found: Json = self.get("/api/destinations/crm")["subscriptions"][0]
        return found

    def letters(self, **filters: str) -> list[Json]:
        query = "&".join(f"{name}={quote(value)}" for name, value in filters.items())
        found: list[Json] = self.get(f"/api/dead-letters?{query}")["deadLetters"]
        return found


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    hook = FaultyDestination(bad=lambda sent: "tenant" not in sent, bad_status=422)
    with receiving(hook), running(tmp_path_factory.mktemp("desk") / "data", environ=ENVIRON) as tabard:
        settings = ("--set", f"url={hook.url}", "--set", f"secret={SECRET}")
        tabard.tabard("destination", "add", "webhook", "crm", *settings, "--start", "beginning")
        browser = Site(tabard, headers={"Accept": "text/html"})
        browser.cookies = browser.ask("/login", form={"token": tabard.admin_token}).headers["set-cookie"].split(";")[0]
        yield Desk(tabard, hook, Site(tabard, headers={"Authorization": f"Bearer {tabard.admin_token}"}), browser)


@pytest.fixture
def refused(desk: Desk) -> Desk:
    """Three orders that the webhook has refused, of u0, u1 and u2."""
    for number in range(3):
        desk.tabard.send("/v1/track", {"userId": f"u{number}", "event": "Order", "messageId": f"m{number}"})
    assert eventually(lambda: len(desk.letters()) == 3)
    return desk


def test_command_line_and_api_give_the_same_documents(refused: Desk) -> None:
    refused.send("POST", "/api/replays", {"destination": "crm", "since": "beginning", "only": "failed"})
    assert eventually(lambda: refused.get("/api/replays")["replays"][0]["state"] == "done")
    twins = {
        "/api/destinations": ("destination", "list"),
        "/api/destinations/crm": ("destination", "show", "crm"),
        "/api/dead-letters": ("dead-letter", "list"),
        "/api/replays": ("replay", "list"),
        "/api/rejections": ("rejected",),
        "/api/trace/m1": ("trace", "m1"),
    }
    for path, command in twins.items():
        # The deliverer says once a second how it is; asked before and after that, the two differ.
        assert eventually(partial(_agree, refused, path, command)), path
    [listed] = refused.get("/api/destinations")["destinations"]
    [told] = refused.get("/api/status")["destinations"]
    assert told.keys() <= listed.keys()
    assert told["books"] == listed["books"]
    assert listed["books"]["dead"] == listed["books"]["stored"] == 3
    assert SECRET not in json.dumps([listed, refused.get("/api/destinations/crm"), refused.get("/api/dead-letters")])


def _agree(desk: Desk, path: str, command: tuple[str, ...]) -> bool:
    return bool(_still(desk.get(path)) == _still(desk.tabard.tabard(*command)))


def _still(document: Any) -> Any:
    """The document without what differs from one moment to the next."""
    if isinstance(document, dict):
        moving = {"lagMs", "inWindow", "underWay", "atOnceMax", "unfinishedRows", "probeAt", "heldUntil"}
        return {key: _still(value) for key, value in document.items() if key not in moving}
    return [_still(each) for each in document] if isinstance(document, list) else document


def test_dead_letters_are_found_by_code_text_time_and_identifier_and_read_page_by_page(refused: Desk) -> None:
    assert {each["name"] for each in refused.letters(destination="crm")} == {"crm"}
    assert [each["messageId"] for each in refused.letters(identifier="user:u1")] == ["m1"]
    assert [each["messageId"] for each in refused.letters(identifier="u2", code="http_422")] == ["m2"]
    assert (
        refused.letters(identifier="u") == refused.letters(code="http_42") == refused.letters(since="2100-01-01") == []
    )
    assert len(refused.letters(text="m0", since="2020-01-01")) == 1
    first = refused.get("/api/dead-letters?limit=2")
    second = refused.get(f"/api/dead-letters?limit=2&before={first['next']}")
    assert [each["messageId"] for each in first["deadLetters"] + second["deadLetters"]] == ["m2", "m1", "m0"]
    assert second["next"] is None
    assert refused.get("/api/dead-letters?before=5", 400)["code"] == "bad_request"
    assert refused.get("/api/dead-letters?destination=nobody", 404)["code"] == "not_found"


def test_a_dead_letter_shows_what_was_sent_and_answered_without_secrets_and_is_resent_alone(refused: Desk) -> None:
    [letter] = refused.letters(text="m1")
    shown = refused.get(f"/api/dead-letters/{letter['id']}")
    assert '"messageId":"m1"' in shown["tries"][0]["request"]
    assert shown["tries"][0]["answer"].startswith("422")
    page = refused.browser.ask(f"/dead-letters/{letter['id']}").text
    assert "x-tabard-signature: [redacted]" in page
    assert SECRET not in page + json.dumps(shown)
    refused.hook.bad = lambda _sent: False
    assert refused.send("POST", f"/api/dead-letters/{letter['id']}/resend")["resent"] == 1
    assert eventually(lambda: refused.hook.message_ids == ["m1"])
    assert eventually(lambda: refused.api.ask(f"/api/dead-letters/{letter['id']}").status == 404)
    assert len(refused.letters()) == 2
    assert refused.send("POST", f"/api/dead-letters/{letter['id']}/resend", status=404)["code"] == "not_found"


@pytest.mark.parametrize("letter", ["crm", "crm:1", "crm:1:x", "x:99999:1", "x:1:999999999999999", "x:1:2:3"])
def test_what_names_no_dead_letter_is_not_found(desk: Desk, letter: str) -> None:
    assert desk.get(f"/api/dead-letters/{letter}", 404)["code"] == "not_found"


def test_a_mapping_is_tried_before_it_is_saved_then_corrected_and_all_that_died_of_it_is_resent(refused: Desk) -> None:
    subscription = f"/api/destinations/crm/subscriptions/{refused.subscription()['id']}"
    corrected = {"data": {"messageId": {"@path": "$.messageId"}, "tenant": "acme"}}
    event = {"type": "track", "userId": "u9", "event": "Order", "messageId": "m9"}
    asked = {"subscription": refused.subscription()["id"], "change": {"mapping": corrected}}
    [request] = refused.send("POST", "/api/destinations/crm/preview", {"event": event, **asked})["requests"]
    assert json.loads(request["body"]) == {"messageId": "m9", "tenant": "acme"}
    assert request["headers"]["x-tabard-signature"] == "[redacted]"
    summed = refused.send("POST", "/api/destinations/crm/preview", {"last": 100, **asked})
    assert (summed["messages"], summed["requests"], summed["people"]) == (3, 3, 3)
    assert len(refused.hook.taken) == 0

    changed = refused.send("PATCH", subscription, {"mapping": corrected, "subscribe": ORDERS})
    assert changed["version"] == 2
    assert changed["subscriptions"][0]["mapping"] == corrected
    refusal = refused.send("POST", "/api/dead-letters/resend", {"destination": "crm"}, 400)
    assert '"all": true' in refusal["message"]
    assert refused.send("POST", "/api/dead-letters/resend", {"destination": "crm", "identifier": "u2"})["resent"] == 1
    assert refused.send("POST", "/api/dead-letters/resend", {"destination": "crm", "all": True})["resent"] == 2
    assert eventually(lambda: sorted(refused.hook.message_ids) == ["m0", "m1", "m2"] and not refused.letters())


def test_every_fault_of_a_configuration_is_told_with_its_place_and_nothing_is_stored(desk: Desk) -> None:
    subscription = f"/api/destinations/crm/subscriptions/{desk.subscription()['id']}"
    wrong = {"mapping": {"data": {"@path": 1}, "x": {"@nope": 1}}, "subscribe": 'type = "track" and'}
    answer = desk.send("PATCH", subscription, wrong, 400)
    assert answer["code"] == "declaration_invalid"
    assert [each["field"] for each in answer["errors"]] == [
        "subscriptions[0].subscribe",
        "subscriptions[0].mapping/data/@path",
        "subscriptions[0].mapping/x",
    ]
    answer = desk.send(
        "PATCH", "/api/destinations/crm", {"settings": {"url": "ftp://x"}, "options": {"record": 1}}, 400
    )
    assert [each["field"] for each in answer["errors"]] == ["settings.url", "options.record"]
    for body, field in (
        ({"settings": {"nope": 1}}, "settings.nope"),
        ({"enabled": "yes"}, "enabled"),
        ({"options": {"nope": 1}}, "options.nope"),
    ):
        assert [each["field"] for each in desk.send("PATCH", "/api/destinations/crm", body, 400)["errors"]] == [field]
    assert desk.send("PATCH", "/api/destinations/crm", {"sources": ["nobody"]}, 400)["code"] == "source_unknown"
    added = desk.send("POST", "/api/destinations/crm/subscriptions", {"action": "nope", "subscribe": "x"}, 400)
    assert added["code"] == "declaration_invalid"
    assert desk.get("/api/destinations/crm")["version"] == 1


def test_settings_options_and_subscriptions_change_as_named_and_a_stale_change_is_refused(desk: Desk) -> None:
    changed = desk.send("PATCH", "/api/destinations/crm", {"options": {"record": "all"}, "version": 1})
    assert (changed["options"], changed["version"], changed["settings"]["secret"]) == ({"record": "all"}, 2, "(hidden)")
    stale = desk.send("PATCH", "/api/destinations/crm", {"options": {"record": None}, "version": 1}, 409)
    assert stale["code"] == "changed_meanwhile"
    # What is shown of a secret may come back; a setting that is taken away is gone, and so is an option.
    assert desk.send("PATCH", "/api/destinations/crm", {"settings": {"secret": "(hidden)"}})["version"] == 2
    assert desk.send("PATCH", "/api/destinations/crm", {"options": {"record": None}})["options"] == {}
    assert "secret" not in desk.send("PATCH", "/api/destinations/crm", {"settings": {"secret": None}})["settings"]
    added = desk.send(
        "POST", "/api/destinations/crm/subscriptions", {"action": "send", "subscribe": ORDERS, "name": "Orders"}, 201
    )
    assert [each["name"] for each in added["subscriptions"]] == ["Every message", "Orders"]
    assert added["subscriptions"][1]["mapping"] == {"data": {"@path": "$."}}
    left = desk.send("DELETE", "/api/destinations/crm/subscriptions/Orders")
    assert [each["name"] for each in left["subscriptions"]] == ["Every message"]
    assert desk.send("DELETE", "/api/destinations/crm/subscriptions/Orders", status=404)["code"] == "not_found"


def test_a_destination_is_disabled_enabled_paused_resumed_and_asked_whether_its_settings_work(desk: Desk) -> None:
    assert desk.send("POST", "/api/destinations/crm/disable")["enabled"] is False
    assert desk.send("POST", "/api/destinations/crm/enable")["enabled"] is True
    assert desk.send("POST", "/api/destinations/crm/pause")["pausedAt"]
    assert desk.get("/api/destinations")["destinations"][0]["pausedAt"]
    assert desk.submit("/destinations/crm", do="resume").headers["location"] == "/destinations/crm?done=resumed"
    assert desk.get("/api/destinations/crm")["pausedAt"] is None
    desk.hook.bad = lambda _sent: False
    assert desk.send("POST", "/api/destinations/crm/test")["ok"] is True
    desk.send("PATCH", "/api/destinations/crm", {"settings": {"url": "http://127.0.0.1:1/"}})
    assert desk.send("POST", "/api/destinations/crm/test", status=409)["code"] == "destination_test_failed"
    assert desk.send("POST", "/api/destinations/nobody/test", status=404)["code"] == "not_found"


def test_a_replay_is_begun_watched_and_cancelled(refused: Desk) -> None:
    start = {"destination": "crm", "since": "beginning", "trigger": ORDERS, "ratePerS": 0.1}
    replay = refused.send("POST", "/api/replays", start)["replay"]
    shown = refused.get(f"/api/replays/{replay}")
    assert (shown["name"], shown["since"], shown["trigger"], shown["ratePerS"]) == ("crm", None, ORDERS, 0.1)
    assert 0 <= shown["progress"] < 1
    assert "<progress" in refused.browser.ask(f"/replays/{replay}").text
    assert refused.send("POST", f"/api/replays/{replay}/cancel")["cancelled"] == replay
    assert refused.get(f"/api/replays/{replay}")["state"] == "cancelled"
    again = refused.send("POST", f"/api/replays/{replay}/cancel", status=409)
    assert again["code"] == "order_refused"
    for wrong, code, status in (
        ({**start, "since": "yesterday"}, "replay_refused", 400),
        ({**start, "only": "some"}, "replay_refused", 400),
        ({**start, "trigger": "type ="}, "replay_refused", 400),
        ({**start, "since": "2100-01-01"}, "replay_refused", 400),
        ({**start, "destination": "nobody"}, "not_found", 404),
        ({"destination": "crm"}, "declaration_invalid", 400),
    ):
        assert refused.send("POST", "/api/replays", wrong, status)["code"] == code, wrong
    assert refused.send("POST", "/api/replays/x/cancel", status=404)["code"] == "not_found"


@pytest.mark.parametrize(
    "asked",
    [{}, {"last": 0}, {"last": 1001}, {"last": 1, "event": {}}, {"event": {"type": "trak"}}, {"lst": 1}, {"event": []}],
)
def test_a_preview_of_nothing_or_of_a_call_that_the_collector_would_refuse_is_refused(desk: Desk, asked: Json) -> None:
    answer = desk.send("POST", "/api/destinations/crm/preview", asked, 400)
    assert answer["code"] in ("bad_request", "declaration_invalid", "type_invalid", "type_unknown", "unknown_type")


def test_the_forms_of_the_pages_do_the_same_and_say_so(refused: Desk) -> None:
    page = "/destinations/crm"
    editor = f"{page}/subscriptions/{refused.subscription()['id']}"
    wrong = {"name": "All", "subscribe": ORDERS, "mapping": '{"data": {"@path": 1}}', "enabled": "1", "do": "save"}
    shown = refused.submit(editor, **wrong)
    assert shown.status == 400
    assert "<code>mapping/data/@path</code> should be a string or a mapping directive" in shown.text
    assert "&#34;@path&#34;: 1" in shown.text
    assert "line 1, column 2" in refused.submit(editor, **{**wrong, "mapping": "{oops"}).text
    corrected = {**wrong, "mapping": '{"data": {"tenant": "acme", "messageId": {"@path": "$.messageId"}}}'}
    tried = refused.submit(editor, **{**corrected, "do": "preview", "event": "", "last": "50"})
    assert "3 messages: 3 requests" in tried.text
    saved = refused.submit(editor, **corrected)
    assert (saved.status, saved.headers["location"]) == (303, f"{page}?done=saved")
    assert "Saved." in refused.browser.ask(saved.headers["location"]).text
    assert refused.subscription()["name"] == "All"
    kept = {
        "do": "settings",
        "settings.url": refused.hook.url,
        "settings.secret": "",
        "settings.headers": "",
        "version": "2",
    }
    assert refused.submit(page, **kept).headers["location"] == f"{page}?done=saved"
    assert refused.get("/api/destinations/crm")["settings"] == {"url": refused.hook.url, "secret": "(hidden)"}
    stale = refused.submit(page, **{"do": "options", "options.rate_per_s": "5", "version": "1"})
    assert (stale.status, 'value="5"' in stale.text) == (409, True)
    answer = refused.submit("/dead-letters/resend", destination="crm", code="http_422")
    assert answer.headers["location"] == "/dead-letters?done=resent"
    assert eventually(lambda: sorted(refused.hook.message_ids) == ["m0", "m1", "m2"])
    answer = refused.submit("/replays", destination="crm", since="tomorrow", only="all")
    assert (answer.status, "&#39;tomorrow&#39; is no time" in answer.text) == (400, True)
    answer = refused.submit("/replays", destination="crm", since="", only="undelivered", ratePerS="")
    assert re.fullmatch(r"/replays/[0-9a-f-]+\?done=started", answer.headers["location"])


def test_a_change_by_form_or_session_without_the_page_s_token_changes_nothing(desk: Desk) -> None:
    for path in (
        "/destinations/crm",
        "/dead-letters/resend",
        "/replays",
        "/api/replays",
        "/api/destinations/crm/disable",
    ):
        answer = desk.browser.ask(path, form={"do": "disable", "destination": "crm"})
        assert (answer.status, "csrf" in answer.text) == (403, True), path
    assert desk.browser.ask("/api/destinations/crm", form=b'{"enabled": false}', method="PATCH").status == 403
    stranger = Site(desk.tabard)
    assert stranger.ask("/api/destinations/crm", form=b"{}", method="PATCH").status == 401
    assert desk.get("/api/destinations/crm")["version"] == 1
