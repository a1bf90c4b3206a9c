"""What the door answers, over a real socket: every path, key form, mode and fault."""

import asyncio
import gzip
import json
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tabard.collector.respond import GIF
from tabard.collector.routes import CALLS, PIXELS
from tabard.log.interface import LogUnavailable
from tabard.message.types import Trust
from tabard.settings import Settings
from tabard.workspace.types import Source
from tests.integration.collector.doors import SOURCES, Answer, Running, running
from tests.unit.message.cases import body_of, cases, name_of

IDENTIFY = {"userId": "u1", "traits": {"plan": "pro"}}
GOOD: dict[str, Any] = {
    "identify": IDENTIFY,
    "track": {"userId": "u1", "event": "x"},
    "page": {"userId": "u1"},
    "screen": {"userId": "u1"},
    "group": {"userId": "u1", "groupId": "g"},
    "alias": {"userId": "u1", "previousId": "a1"},
}
PAGE = {"type": "page", "userId": "u1"}
BAD = {"type": "page"}


def assert_is_the_one_error_shape(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code), answer
    assert answer.json["success"] is False
    assert isinstance(answer.json["message"], str)
    assert answer.json["meta"]["errors"]
    assert all(isinstance(text, str) for text in answer.json["meta"]["errors"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"]


@pytest.mark.parametrize("path", [path.decode() for path in CALLS])
@pytest.mark.parametrize("ending", ["", "/", "?x=1", "/?x=1"])
async def test_every_path_takes_calls_with_and_without_a_trailing_slash(door: Running, path: str, ending: str) -> None:
    call_type = CALLS[path.encode()].type
    call = GOOD[call_type] if call_type else {"batch": [PAGE]}
    answer = await door.post(path + ending, call)
    assert (answer.status, answer.json) == (200, {"success": True})
    assert answer.headers["x-tabard-position"] == "1:0"
    (message,) = door.messages()
    assert message.type == (call_type or "page")


@pytest.mark.parametrize("case", cases("rejected"), ids=name_of)
async def test_every_malformed_input_gets_the_one_error_shape_and_is_kept(door: Running, case: dict[str, Any]) -> None:
    body = body_of(case)
    answer = await door.ask("POST", case["path"], body, "key")
    assert_is_the_one_error_shape(answer, 400, case["expect"]["code"])
    assert door.messages() == []
    (kept,) = door.rejections()
    assert (kept.reason, kept.source, kept.path) == (case["expect"]["code"], "s1", case["path"])


@pytest.mark.parametrize("path", [path.decode() for path in CALLS])
@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "invalid_json"),
        (b"{", {}, "invalid_json"),
        (b"5", {}, "not_object"),
        (b'"\xff"', {}, "invalid_utf8"),
        (b"{}", {"Content-Encoding": "gzip"}, "bad_encoding"),
        (b"{}", {"Content-Encoding": "br"}, "bad_encoding"),
        (b" " * 600_000, {}, "body_too_large"),
        (gzip.compress(b" " * 600_000), {"Content-Encoding": "gzip"}, "body_too_large"),
    ],
)
async def test_every_path_refuses_what_is_no_call(
    door: Running, path: str, body: bytes, headers: dict[str, str], code: str
) -> None:
    assert_is_the_one_error_shape(await door.ask("POST", path, body, "key", headers), 400, code)


@pytest.mark.parametrize(
    ("headers", "call"),
    [
        ({"Authorization": "Basic " + b64encode(b"key:").decode()}, IDENTIFY),
        ({"Authorization": "Basic " + b64encode(b"key").decode()}, IDENTIFY),
        ({"Authorization": "Bearer key"}, IDENTIFY),
        ({"Authorization": "Bearer somebody-else-s-token"}, IDENTIFY | {"writeKey": "key"}),
        ({}, IDENTIFY | {"writeKey": "key"}),
    ],
)
async def test_the_write_key_is_found_wherever_clients_put_it(
    door: Running, headers: dict[str, str], call: dict[str, Any]
) -> None:
    answer = await door.ask("POST", "/v1/identify", json.dumps(call).encode(), None, headers)
    assert answer.status == 200
    assert door.messages()[0].source == "s1"


async def test_a_batch_may_carry_its_key_itself_in_its_first_item_or_in_the_query(door: Running) -> None:
    for path, batch in (
        ("/v1/b", {"batch": [PAGE], "writeKey": "key"}),
        ("/v1/b", {"batch": [PAGE | {"writeKey": "key"}]}),
        ("/beacon/v1/batch?writeKey=key", {"batch": [PAGE]}),
    ):
        assert (await door.post(path, batch, key=None)).status == 200
    assert [message.source for message in door.messages()] == ["s1"] * 3
    assert all("writeKey" not in message.body for message in door.messages())


@pytest.mark.parametrize(
    ("key", "code"),
    [("nobody", "unknown_source"), ("old", "key_rotated"), ("shut", "source_disabled"), (None, "no_write_key")],
)
@pytest.mark.parametrize("mode", [None, "0", "1"])
async def test_a_key_that_opens_nothing_is_401_in_every_mode(
    door: Running, key: str | None, code: str, mode: str | None
) -> None:
    headers = {"X-Strict-Mode": mode} if mode else {}
    call = IDENTIFY | ({"writeKey": key} if key else {})
    for path, body in (("/v1/identify", call), ("/v1/batch", {"batch": [PAGE], "writeKey": key})):
        answer = await door.ask("POST", path, json.dumps(body).encode(), None, headers)
        assert_is_the_one_error_shape(answer, 401, code)
    assert door.messages() == []
    assert door.rejections() == []


@pytest.mark.parametrize(
    ("key", "mode", "is_permissive"),
    [("key", None, False), ("key", "1", False), ("key", "0", True), ("key", "yes", False), ("lenient", None, True),
     ("lenient", "0", True), ("lenient", "1", False)],
)  # fmt: skip
async def test_strict_and_permissive_part_as_the_header_and_the_source_say(
    door: Running, key: str, mode: str | None, is_permissive: bool
) -> None:
    headers = {"X-Strict-Mode": mode} if mode else {}
    refused: list[tuple[str, Any]] = [("/v1/page", {}), ("/v1/batch", {"batch": [BAD, BAD]}), ("/v1/identify", [])]
    for path, call in refused:
        answer = await door.post(path, call, key, **headers)
        if is_permissive:
            assert (answer.status, answer.json["success"]) == (200, True)
        else:
            assert answer.status == 400
    single = await door.post("/v1/page", {}, key, **headers)
    assert single.json == {"success": True} or not is_permissive
    mixed = await door.post("/v1/batch", {"batch": [PAGE, BAD]}, key, **headers)
    assert (mixed.status, mixed.json["accepted"], mixed.json["rejected"]) == (200, 1, 1)
    assert (await door.post("/v1/batch", {"batch": []}, key, **headers)).json == {"success": True}
    assert len(door.rejections()) == 1 + 2 + 1 + 1 + 1


@pytest.mark.parametrize("call", [{"a": "x" * 40_000}, {"a": json.loads("[" * 80 + "]" * 80)}])
async def test_a_refused_body_is_kept_for_the_source_whose_key_it_states(door: Running, call: dict[str, Any]) -> None:
    answer = await door.post("/v1/p", call | {"writeKey": "lenient"}, key=None)
    assert (answer.status, answer.json) == (200, {"success": True})
    assert [kept.source for kept in door.rejections()] == ["s3"]


async def test_a_permissive_answer_waits_until_the_rejection_is_on_disk(door: Running) -> None:
    door.folder.joinpath("rejections.db").mkdir()  # nothing can be kept there
    answer = await door.post("/v1/page", {}, "lenient")
    assert_is_the_one_error_shape(answer, 503, "rejections_failed")
    assert answer.headers["retry-after"]
    assert (await door.post("/v1/page", {}, "key")).status == 400


async def test_bad_items_of_a_batch_are_listed_by_index_and_the_good_ones_accepted(door: Running) -> None:
    answer = await door.post("/v1/batch", {"batch": [PAGE, BAD, PAGE, {"userId": "u"}]})
    assert (answer.status, answer.json["success"], answer.json["accepted"], answer.json["rejected"]) == (
        200,
        True,
        2,
        2,
    )
    assert [(error["index"], error["code"]) for error in answer.json["errors"]] == [
        (1, "no_user_anon_id"),
        (3, "type_missing"),
    ]
    assert [text.partition(":")[0] for text in answer.json["meta"]["errors"]] == ["batch[1]", "batch[3]"]
    assert answer.headers["x-tabard-position"] == "1:1"
    assert len(door.messages()) == 2
    assert [(kept.item, json.loads(kept.raw)) for kept in door.rejections()] == [(3, {"userId": "u"}), (1, BAD)]


async def test_ninety_nine_good_items_and_one_with_nan_are_all_stored(door: Running) -> None:
    odd = '{"type":"page","userId":"u1","properties":{"a":NaN}}'
    body = f'{{"batch":[{",".join([json.dumps(PAGE)] * 99 + [odd])}]}}'.encode()
    answer = await door.ask("POST", "/v1/batch", body, "key")
    assert (answer.status, answer.json) == (200, {"success": True})
    assert len(door.messages()) == 100
    assert door.messages()[99].warnings == ("number_repaired",)


@pytest.mark.parametrize(
    "code", ["disk_full", "disk_floor", "disk_read_only", "log_locked", "log_corrupt", "log_failed"]
)
async def test_what_cannot_be_kept_is_503_with_retry_after_and_recovers(door: Running, code: str) -> None:
    door.log.problem = LogUnavailable(code, "no room", 7)
    answers = [
        await door.post("/v1/identify", IDENTIFY, origin="https://a.example"),
        await door.post("/v1/batch", {"batch": [PAGE, BAD]}, "lenient"),
        await door.ask("GET", "/ready"),
        await door.ask("GET", "/v1/pixel/page?writeKey=key&userId=u"),
    ]
    for answer in answers[:3]:
        assert_is_the_one_error_shape(answer, 503, code)
    for answer in answers[:3]:
        assert answer.headers["retry-after"] == "7"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert answers[3].status == 503
    assert (await door.ask("GET", "/health")).status == 200
    door.log.problem = None
    assert (await door.post("/v1/identify", IDENTIFY)).status == 200
    assert (await door.ask("GET", "/ready")).status == 200


async def test_a_source_over_its_rate_gets_429_with_retry_after(door: Running) -> None:
    answers = [await door.post("/v1/identify", IDENTIFY, "slow") for _ in range(4)]
    assert [answer.status for answer in answers][:2] == [200, 200]
    assert_is_the_one_error_shape(answers[3], 429, "too_many_requests")
    assert int(answers[3].headers["retry-after"]) >= 1


async def test_an_origin_that_a_source_does_not_list_is_kept_out(door: Running) -> None:
    good = await door.post("/v1/page", PAGE, "listed", origin="https://shop.example")
    assert (good.status, good.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert good.headers["vary"] == "Origin"
    bad = await door.post("/v1/page", PAGE, "listed", origin="https://evil.example")
    assert_is_the_one_error_shape(bad, 403, "origin_not_allowed")
    assert (await door.post("/v1/page", PAGE, "listed")).status == 200
    settings = await door.ask("GET", "/v1/projects/listed/settings", headers={"Origin": "https://evil.example"})
    assert_is_the_one_error_shape(settings, 403, "origin_not_allowed")


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/i", "/v1/projects/key/settings", "/v1/id", "/anything"])
async def test_a_preflight_is_granted_what_it_asks_for_and_cached(door: Running, path: str) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-retry-count",
    }
    answer = await door.ask("OPTIONS", path, headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["access-control-allow-headers"] == "authorization,x-retry-count"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 0


async def test_a_settings_document_may_be_kept_for_a_while_and_one_that_hangs_on_a_header_may_not(
    door: Running,
) -> None:
    settings = await door.ask("GET", "/v1/projects/key/settings")
    assert settings.headers["cache-control"] == "public, max-age=300"
    assert (await door.ask("GET", "/sourceConfig", key="key")).headers["cache-control"] == "private, no-cache"
    assert "cache-control" not in (await door.ask("GET", "/v1/projects/x/settings")).headers


@pytest.mark.parametrize("path", ["/v1/projects/key/settings", "/projects/key/settings", "/v1/projects/key/settings/"])
async def test_the_settings_document_names_this_host(door: Running, path: str) -> None:
    answer = await door.ask("GET", path, headers={"Host": "evil.example", "Origin": "https://shop.example"})
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    host = f"127.0.0.1:{door.address[1]}/v1"
    entries = answer.json["integrations"]
    assert set(entries) == {"Customer.io Data Pipelines", "Segment.io"}
    assert all(entry == {"apiKey": "key", "apiHost": host, "protocol": "http"} for entry in entries.values())
    assert_is_the_one_error_shape(await door.ask("GET", "/v1/projects/x/settings"), 401, "unknown_source")


async def test_rudderstack_gets_its_source_config_by_basic_or_query(door: Running) -> None:
    basic = {"Authorization": "Basic " + b64encode(b"key:").decode()}
    for answer in (
        await door.ask("GET", "/sourceConfig/?p=npm&v=3&build=modern&writeKey=key"),
        await door.ask("GET", "/sourceConfig/?p=npm", headers=basic),
    ):
        assert (answer.status, answer.json["source"]["id"]) == (200, "s1")
    assert_is_the_one_error_shape(await door.ask("GET", "/sourceConfig"), 401, "no_write_key")


@pytest.mark.parametrize("path", [path.decode() for path in PIXELS])
async def test_a_pixel_is_an_image_whatever_happened(door: Running, path: str) -> None:
    call = GOOD[PIXELS[path.encode()].type or ""] | {"writeKey": "key"}
    data = b64encode(json.dumps(call).encode()).decode()
    queries = {f"data={data}": 200, "writeKey=key": 200, "data=*&writeKey=key": 200, "writeKey=nobody&userId=u": 401}
    for query, status in queries.items():
        answer = await door.ask("GET", f"{path}?{query}")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (status, GIF, "image/gif"), query
    (message,) = door.messages()
    assert message.type == PIXELS[path.encode()].type
    assert not message.trust & Trust.CONTROL
    assert len(door.rejections()) == 2


async def test_the_counters_of_browser_clients_are_swallowed(door: Running) -> None:
    answer = await door.ask("POST", "/v1/m", b'{"series":[]}', headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.json) == (200, {"success": True})


async def test_head_is_get_without_its_body(door: Running) -> None:
    for path in ("/health", "/v1/projects/key/settings", "/metrics", "/v1/pixel/page", "/nothing"):
        got, head = await door.ask("GET", path), await door.ask("HEAD", path)
        assert (head.status, head.body) == (got.status if path != "/v1/pixel/page" else 200, b"")
        assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/batch", 405, "method_not_allowed"),
        ("PUT", "/v1/identify", 405, "method_not_allowed"),
        ("DELETE", "/v1/identify", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("POST", "/v1/pixel/track", 405, "method_not_allowed"),
        ("POST", "/v1/projects/key/settings", 405, "method_not_allowed"),
        ("GET", "/v1/m", 405, "method_not_allowed"),
        ("GET", "/v1/id", 405, "method_not_allowed"),
        ("GET", "/", 404, "not_found"),
        ("POST", "/v1", 404, "not_found"),
        ("POST", "/v2/identify", 404, "not_found"),
        ("POST", "/v1/identify/x", 404, "not_found"),
        ("GET", "/v1/projects//settings", 401, "unknown_source"),
        ("POST", "/v1/%ff", 404, "not_found"),
        ("GET", "/v1/js/0.0.0/none.js", 404, "not_found"),
    ],
)
async def test_other_paths_and_methods_have_the_one_error_shape(
    door: Running, method: str, path: str, status: int, code: str
) -> None:
    answer = await door.ask(method, path)
    assert_is_the_one_error_shape(answer, status, code)
    assert ("allow" in answer.headers) is (status == 405)


async def test_a_percent_encoded_path_and_an_absolute_url_are_the_same_path(door: Running) -> None:
    for url in ("/v1/%69dentify", "http://door/v1/identify", "/v1/identify//"):
        assert (await door.post(url, IDENTIFY)).status == 200, url


async def test_the_metrics_count_what_was_accepted_and_refused(door: Running) -> None:
    await door.post("/v1/batch", {"batch": [PAGE, BAD]})
    await door.post("/v1/page", PAGE | {"writeKey": "nobody"}, None)
    page = (await door.ask("GET", "/metrics")).body.decode()
    assert 'tabard_messages_accepted_total{source="s1",type="page"}' in page
    assert 'tabard_messages_rejected_total{reason="no_user_anon_id",source="s1"}' in page
    assert 'tabard_messages_rejected_total{reason="unknown_source",source=""}' in page


async def test_what_a_call_may_do_is_decided_by_its_source_and_its_request(door: Running) -> None:
    await door.post("/v1/page", PAGE)
    await door.post("/v1/page", PAGE, origin="https://shop.example")
    await door.post("/v1/p", PAGE)
    await door.post("/v1/page", PAGE, "public")
    server = Trust.CONTROL | Trust.ALIAS | Trust.EMAIL_CLAIM
    browser = Trust.ALIAS | Trust.EMAIL_CLAIM | Trust.CLIENT
    assert [m.trust for m in door.messages()] == [server, browser, server | Trust.CLIENT, Trust.CLIENT]
    contexts = [message.body["context"] for message in door.messages()]
    assert ["ip" in context for context in contexts] == [False, True, True, True]


async def test_a_change_of_the_workspace_is_seen_within_a_second(door: Running) -> None:
    assert (await door.post("/v1/page", PAGE, "new")).status == 401
    door.workspace.held = [*SOURCES, msgspec.structs.replace(SOURCES[0], id="s9", write_keys={"new": "active"})]
    door.workspace.number += 1
    await asyncio.sleep(1)
    assert (await door.post("/v1/page", PAGE, "new")).status == 200


async def test_the_browser_client_is_served_with_its_key_and_from_cache(door: Running) -> None:
    for path in ("/v1/analytics-js/snippet/public/analytics.min.js", "/analytics.js/v1/public/analytics.min.js"):
        answer = await door.ask("GET", path)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert b'"public"' in answer.body
        again = await door.ask("GET", path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        packed = await door.ask("GET", path, headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed.body) == answer.body
    bad = await door.ask("GET", "/v1/analytics-js/snippet/nobody/analytics.min.js")
    assert_is_the_one_error_shape(bad, 401, "unknown_source")


async def test_identity_cookies_are_set_once_more_by_the_server(tmp_path: Path) -> None:
    async with running(tmp_path, Settings(public_url="https://events.shop.example")) as door:
        headers = {"Host": "events.shop.example", "Cookie": "ajs_user_id=u1; other=1", "Origin": "https://shop.example"}
        answer = await door.ask("POST", "/v1/id", b".shop.example", headers=headers)
    assert answer.status == 200
    assert answer.headers["set-cookie"].startswith("ajs_user_id=u1; Max-Age=")
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_a_key_is_taken_as_soon_as_it_is_in_the_workspace(door: Running) -> None:
    for number, (key, headers) in enumerate(
        (("fresh-basic", {"Authorization": "Basic ZnJlc2gtYmFzaWM6"}), ("fresh-body", {}), ("fresh-bearer", {}))
    ):
        door.workspace.held = [*SOURCES, Source(id="s9", name="new", write_keys={key: "active"})]
        door.workspace.number += 1
        call = PAGE if headers or "bearer" in key else {**PAGE, "writeKey": key}
        bearer = key if "bearer" in key else None
        answer = await door.ask("POST", "/v1/page", json.dumps(call).encode(), bearer, headers)
        assert answer.status == 200, key
        assert door.messages()[number].source == "s9"
    door.workspace.held = [*SOURCES, Source(id="s9", name="new", write_keys={"fresh-page": "active"})]
    door.workspace.number += 1
    assert (await door.ask("GET", "/v1/projects/fresh-page/settings")).status == 200


async def test_unknown_keys_make_the_workspace_be_read_seldom_and_never_on_the_event_loop(
    door: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real = door.workspace.version

    def slow_version() -> int:
        reads.append(threading.current_thread().name)
        time.sleep(0.02)
        return real()

    monkeypatch.setattr(door.workspace, "version", slow_version)
    answers = await asyncio.gather(*(door.post("/v1/page", PAGE, f"nobody-{number}") for number in range(100)))
    assert {answer.status for answer in answers} == {401}
    assert len(reads) < 20
    assert threading.main_thread().name not in reads


@pytest.mark.parametrize(
    ("readers", "headers", "status"),
    [
        (None, {}, 200),
        ("10.0.0.0/8", {}, 403),
        ("", {}, 403),
        (None, {"X-Forwarded-For": "203.0.113.9"}, 403),
        (None, {"X-Forwarded-For": "127.0.0.1"}, 403),
        (None, {"Forwarded": "for=127.0.0.1"}, 403),
    ],
)
async def test_metrics_are_read_from_the_networks_of_the_setting_only_and_by_no_page(
    tmp_path: Path, readers: str | None, headers: dict[str, str], status: int
) -> None:
    settings = Settings() if readers is None else Settings(metrics_readers=readers)
    async with running(tmp_path, settings) as door:
        answer = await door.ask("GET", "/metrics", headers={"Origin": "https://evil.example", **headers})
    assert answer.status == status
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_trusted_proxy_says_who_reads_the_metrics(tmp_path: Path) -> None:
    async with running(tmp_path, Settings(trusted_proxies="127.0.0.0/8")) as door:
        near = await door.ask("GET", "/metrics", headers={"X-Forwarded-For": "10.1.2.3"})
        far = await door.ask("GET", "/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert (near.status, far.status) == (200, 403)
    assert far.json["code"] == "metrics_closed"
