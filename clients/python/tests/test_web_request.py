"""What a request says about its visitor, from every kind of request Python web frameworks hand out."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from uuid import UUID
from wsgiref.util import FileWrapper

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

from tabard_client import (
    AsgiIdentity,
    Client,
    Identity,
    WsgiIdentity,
    bind_request,
    clear_identity_cookies,
    context_from_request,
    identity_from_cookies,
    identity_from_request,
    set_identity_cookies,
)

HEADERS = {
    "Host": "shop.example.com",
    "User-Agent": "Firefox/1",
    "Accept-Language": "de-AT,de;q=0.9",
    "Referer": "https://search.example/",
    "Cookie": "theme=dark; ajs_anonymous_id=anon-1; ajs_user_id=forged",
}
EXPECTED = {
    "ip": "10.0.0.9",
    "userAgent": "Firefox/1",
    "locale": "de-AT",
    "page": {
        "url": "https://shop.example.com/k%C3%A4se?utm_campaign=spring&utm_source=mail&x=1",
        "path": "/k%C3%A4se",
        "search": "?utm_campaign=spring&utm_source=mail&x=1",
        "referrer": "https://search.example/",
    },
    "campaign": {"name": "spring", "source": "mail"},
}


def test_a_request_without_host_is_named_by_the_servers_address_an_ipv6_one_in_brackets() -> None:
    bare = {"type": "http", "path": "/", "headers": []}
    of_asgi = [context_from_request({**bare, "server": server}) for server in (("::1", 8080), ("10.0.0.1", 80))]
    assert [context["page"]["url"] for context in of_asgi] == ["http://[::1]:8080/", "http://10.0.0.1/"]  # type: ignore[index]
    of_wsgi = context_from_request({"REQUEST_METHOD": "GET", "SERVER_NAME": "::1", "SERVER_PORT": "80"})
    assert of_wsgi["page"]["url"] == "http://[::1]/"  # type: ignore[index]


def test_raw_bytes_of_a_query_are_told_as_a_browser_would_write_them() -> None:
    raw = "q=käse&x=%C3%A4[1]".encode()
    for request in (
        {"type": "http", "path": "/", "headers": [], "query_string": raw},
        {"REQUEST_METHOD": "GET", "SERVER_NAME": "a", "QUERY_STRING": raw.decode("latin-1")},
    ):
        page = context_from_request(request)["page"]
        assert page["search"] == "?q=k%C3%A4se&x=%C3%A4[1]"  # type: ignore[index]


def environ(**headers: str) -> dict[str, Any]:
    all_headers: dict[str, str] = {**HEADERS, **headers}
    return EnvironBuilder(
        path="/käse",
        base_url="https://shop.example.com",
        query_string="utm_campaign=spring&utm_source=mail&x=1",
        headers=list(all_headers.items()),
        environ_base={"REMOTE_ADDR": "10.0.0.9"},
    ).get_environ()


def scope(**headers: str) -> dict[str, Any]:
    all_headers: dict[str, str] = {**HEADERS, **headers}
    return {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": "/käse",
        "query_string": b"utm_campaign=spring&utm_source=mail&x=1",
        "headers": [(name.lower().encode(), value.encode()) for name, value in all_headers.items()],
        "client": ("10.0.0.9", 1234),
        "server": ("127.0.0.1", 443),
    }


@pytest.mark.parametrize(
    "request_object",
    [
        pytest.param(environ(), id="WSGI environ"),
        pytest.param(scope(), id="ASGI scope"),
        pytest.param(WerkzeugRequest(environ()), id="Flask"),
        pytest.param(StarletteRequest(scope()), id="Starlette and FastAPI"),
        pytest.param(SimpleNamespace(META=environ(), COOKIES={}), id="Django on WSGI"),
        pytest.param(SimpleNamespace(META=environ(), scope=scope()), id="Django on ASGI"),
    ],
)
def test_the_same_context_and_identity_from(request_object: object) -> None:
    assert context_from_request(request_object) == EXPECTED
    assert identity_from_request(request_object) == Identity("forged", "anon-1", None)
    client = Client("key", send=False)
    with bind_request(request_object):
        message = client.track(event="a").message
    assert (message["userId"], message["anonymousId"]) == (None, "anon-1"), "the user id in a cookie is no login"
    with bind_request(request_object, user_id=5):
        assert client.track(event="a").message["userId"] == "5"


@pytest.mark.parametrize(("trusted", "ip"), [(0, "10.0.0.9"), (1, "2.2.2.2"), (2, "1.1.1.1"), (9, "6.6.6.6")])
def test_forwarded_addresses_count_from_our_own_proxies_only(trusted: int, ip: str) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6, 1.1.1.1, 2.2.2.2", "X-Forwarded-Host": "public.example"}
    for request in (environ(**forged), scope(**forged)):
        context = context_from_request(request, proxies_trusted=trusted)
        assert context["ip"] == ip
        assert ("public.example" in context["page"]["url"]) is bool(trusted)  # type: ignore[index]


def test_a_line_that_a_proxy_adds_to_the_visitors_own_is_the_one_that_counts() -> None:
    lines = [(b"x-forwarded-for", b"6.6.6.6"), (b"host", b"a"), (b"x-forwarded-for", b"1.1.1.1")]
    request = {"type": "http", "path": "/", "headers": lines, "client": ("10.0.0.9", 1)}
    assert context_from_request(request, proxies_trusted=1)["ip"] == "1.1.1.1"


def test_cookies_on_lines_of_their_own_as_http_2_sends_them_are_all_read() -> None:
    lines = [(b"cookie", b"a=b"), (b"cookie", b"ajs_user_id=u1"), (b"cookie", b"ajs_anonymous_id=anon")]
    assert identity_from_request({"type": "http", "path": "/", "headers": lines}) == Identity("u1", "anon", None)


@pytest.mark.parametrize(
    ("written", "ip"),
    [
        ("203.0.113.7:41234", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unknown", "10.0.0.9"),
        ("<script>", "10.0.0.9"),
    ],
)
def test_a_forwarded_address_is_told_without_its_port_and_what_is_none_is_not_believed(written: str, ip: str) -> None:
    for request in (environ(**{"X-Forwarded-For": written}), scope(**{"X-Forwarded-For": written})):
        assert context_from_request(request, proxies_trusted=1)["ip"] == ip


def test_behind_two_proxies_scheme_and_host_are_those_the_outer_one_saw() -> None:
    added = {"X-Forwarded-Proto": "ftp, https, http", "X-Forwarded-Host": "forged.example, shop.example, inner:8080"}
    context = context_from_request(environ(**added), proxies_trusted=2)
    assert str(context["page"]["url"]).startswith("https://shop.example/")  # type: ignore[index]


def test_a_request_that_cannot_be_read_is_answered_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, path = Client("key", send=False), "/\udcff"

    def view(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps(client.track("u1", "a").message).encode()]

    assert context_from_request({**scope(), "path": path})["page"]
    assert json.loads(WsgiIdentity(view)({**environ(), "PATH_INFO": path}, lambda *_: None)[0])  # type: ignore[index]
    monkeypatch.setattr("tabard_client.middleware.bind_request", lambda *_, **__: 1 / 0)
    (body,) = WsgiIdentity(view)(environ(), lambda *_: None)
    assert json.loads(body)["anonymousId"] is None
    assert "nobody is bound" in caplog.text


def test_whatever_a_visitor_sends_leaves_room_for_the_call() -> None:
    much, client = "\xe9" * 60_000, Client("key", send=False)
    lines = [(name, much.encode("latin-1")) for name in (b"host", b"referer", b"user-agent", b"accept-language")]
    query = b"utm_campaign=" + b"%E9" * 20_000
    request = {"type": "http", "path": f"/{much}", "headers": lines, "query_string": query}
    with bind_request(request):
        receipt = client.track("u1", "a", {"text": "x" * 5000})
    assert receipt.success, client.counts()
    page = receipt.message["context"]["page"]  # type: ignore[index]
    assert (len(page["path"]), len(page["search"])) == (1024, 4097)


def test_a_default_port_is_left_out_of_the_address_and_another_stays() -> None:
    for host, shown in (("h.example:443", "https://h.example/"), ("h.example:8443", "https://h.example:8443/")):
        context = context_from_request({**scope(Host=host), "path": "/", "query_string": b""})
        assert context["page"]["url"] == shown  # type: ignore[index]


def test_something_else_than_a_request_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="expected a WSGI environ"):
        context_from_request(object())


async def asgi_get(app: Any, request_scope: dict[str, Any]) -> dict[str, Any]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(request_scope, receive, send)
    return dict(json.loads(b"".join(message.get("body", b"") for message in sent)))


def test_the_asgi_middleware_binds_every_request_of_a_starlette_application() -> None:
    client = Client("key", send=False)

    async def in_the_loop(_: StarletteRequest) -> JSONResponse:
        return JSONResponse(client.track(event="a").message)

    def in_a_thread(_: StarletteRequest) -> JSONResponse:
        client.identify("u1")
        return JSONResponse(client.track(event="a").message)

    app = Starlette(routes=[Route("/loop", in_the_loop), Route("/thread", in_a_thread)])
    app.add_middleware(AsgiIdentity)
    for path, user_id in (("/loop", None), ("/thread", "u1")):
        message = asyncio.run(asgi_get(app, {**scope(), "path": path}))
        assert (message["userId"], message["anonymousId"]) == (user_id, "anon-1")
        assert message["context"]["page"]["path"] == path
    assert not client.track(event="outside").success


def test_the_wsgi_middleware_binds_every_request() -> None:
    client = Client("key", send=False)

    def view(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps(client.track(event="a").message).encode()]

    (body,) = WsgiIdentity(view)(environ(), lambda *_: None)
    assert json.loads(body)["anonymousId"] == "anon-1"
    assert not client.track(event="outside").success


def test_the_wsgi_middleware_binds_a_streamed_body_and_its_close_too() -> None:
    client = Client("key", send=False)
    seen: list[dict[str, Any]] = []

    def called() -> None:
        seen.append(client.track(event="a").message)

    def streamed() -> Iterator[bytes]:
        called()
        client.identify("u1")
        yield b"one"
        called()
        yield b"two"

    def view(env: dict[str, Any], start_response: Any) -> Any:
        response = WerkzeugResponse(streamed())
        response.call_on_close(called)
        return response(env, start_response)

    app = WsgiIdentity(view)
    other = WsgiIdentity(lambda *_: iter([b"other"]))
    body: Any = app(environ(), lambda *_: None)
    parts = []
    for part in body:
        parts.append(part)
        assert not client.track(event="the server's own code, between two parts").success
        assert list(other({**environ(), "HTTP_COOKIE": ""}, lambda *_: None)) == [b"other"]
    body.close()
    assert parts == [b"one", b"two"]
    assert [message["anonymousId"] for message in seen] == ["anon-1"] * 3
    assert [message["userId"] for message in seen] == [None, "u1", "u1"], "the bind is the same one throughout"


def test_the_wsgi_middleware_leaves_alone_what_runs_no_code_later() -> None:
    """A server recognises its own file wrapper by its class, and knows the length of a list of one."""
    wrapper = FileWrapper(BytesIO(b"file"))
    for body in ([b"list"], (b"tuple",), wrapper):
        app = WsgiIdentity(lambda *_, body=body: body)
        assert app({**environ(), "wsgi.file_wrapper": FileWrapper}, lambda *_: None) is body


@pytest.mark.parametrize(
    ("header", "user_id"),
    [
        ("ajs_user_id=u1", "u1"),
        ("a=1;ajs_user_id=u1; ajs_user_id=second", "u1"),
        ("ajs_user_id=a%40b.c", "a@b.c"),
        ("ajs_user_id=a@b.c", "a@b.c"),
        ("ajs_user_id=123", "123"),
        ("ajs_user_id=%22classic%22", "classic"),
        ('ajs_user_id="quoted"', "quoted"),
        ("ajs_user_id=%C3%A4", "ä"),
        ("ajs_user_id=null", None),
        ("ajs_user_id=", None),
        ("ajs_user_id", None),
        ("", None),
    ],
)
def test_the_user_cookie_is_read_in_every_form_the_family_writes(header: str, user_id: str | None) -> None:
    assert identity_from_cookies(header).user_id == user_id


RESPONSES = [pytest.param(StarletteResponse, id="Starlette and FastAPI"), pytest.param(WerkzeugResponse, id="Flask")]


def set_cookies(response: Any) -> list[str]:
    if isinstance(response, StarletteResponse):
        return response.headers.getlist("set-cookie")
    return list(response.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize("kind", RESPONSES)
def test_cookies_are_set_as_the_browser_client_sets_them(kind: type[Any]) -> None:
    response = kind()
    set_identity_cookies(response, anonymous_id="anon-1", user_id="a@b.c", domain="example.com")
    anonymous, user = set_cookies(response)
    name_and_value, *attributes = user.split("; ")
    assert name_and_value == "ajs_user_id=a%40b.c"
    assert anonymous.startswith("ajs_anonymous_id=anon-1;")
    lower = {attribute.lower() for attribute in attributes}
    assert {"max-age=31536000", "path=/", "domain=example.com", "samesite=lax", "secure"} <= lower
    assert "httponly" not in lower


@pytest.mark.parametrize("kind", RESPONSES)
def test_a_logout_sets_a_fresh_anonymous_id_and_expires_user_and_group(kind: type[Any]) -> None:
    """Were all three gone, the browser client would restore the person from its local storage."""
    ids = set()
    for _ in range(2):
        response = kind()
        clear_identity_cookies(response, domain="example.com")
        anonymous, *others = set_cookies(response)
        assert [cookie.split("=")[0] for cookie in others] == ["ajs_user_id", "ajs_group_id"]
        assert all("Max-Age=0" in cookie for cookie in others)
        assert "Max-Age=31536000" in anonymous
        value = identity_from_cookies(anonymous).anonymous_id
        ids.add(str(UUID(value)))
    assert len(ids) == 2


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_id_survives_the_way_through_a_cookie(user_id: str) -> None:
    response = PlainTextResponse("")
    set_identity_cookies(response, user_id=user_id)
    (cookie,) = set_cookies(response)
    value = cookie.split(";")[0].partition("=")[2]
    assert '"' not in value
    read = identity_from_cookies(f"x=1; ajs_user_id={value}").user_id
    stripped = user_id.strip()
    if stripped in {"", "null", "undefined"} or stripped.startswith('"'):
        return  # what the browsers of the family cannot tell from an absent id, or take for JSON
    assert read == stripped


def test_the_browser_decodes_what_the_server_sets_and_the_other_way_round() -> None:
    """encodeURIComponent and decodeURIComponent are what `clients/browser/src/cookies.ts` uses."""
    values = ["anon-1", "a@b.c", "ä €", "x;y,z=1", "50% (off)!", "~*'"]
    response = PlainTextResponse("")
    for value in values:
        set_identity_cookies(response, user_id=value)
    ours = [cookie.split(";")[0].partition("=")[2] for cookie in set_cookies(response)]
    script = (
        "const [ours, values] = JSON.parse(process.argv[1]);"
        "console.log(JSON.stringify([ours.map(decodeURIComponent), values.map(encodeURIComponent)]))"
    )
    try:
        done = subprocess.run(
            ["node", "-e", script, json.dumps([ours, values])], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("node is not installed; get it with your package manager")
    decoded, encoded = json.loads(done.stdout)
    assert decoded == values
    assert [identity_from_cookies(f"ajs_user_id={value}").user_id for value in encoded] == values
    assert quote("a@b.c") == ours[1]
