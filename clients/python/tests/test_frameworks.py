"""The helpers inside the frameworks themselves, served over HTTP, and clients in the prefork servers.

Of the frameworks only FastAPI is among the project's own packages; each other test runs where its framework is
installed, as `pip install flask django gunicorn celery` does.
"""

import asyncio
import http.client
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from clients.python.tests.recorder import Recorder
from fastapi import FastAPI, Request, Response

from tabard_client import (
    AsgiIdentity,
    AsyncClient,
    Client,
    WsgiIdentity,
    bind_request,
    identity_from_request,
    set_identity_cookies,
    set_user,
)

COOKIE = "ajs_anonymous_id=anon-1; ajs_user_id=forged"
Served = Iterator[int]


@contextmanager
def wsgi_served(app: Any) -> Served:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def asgi_served(app: Any) -> Served:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def post(port: int, path: str) -> list[str]:
    """The cookies the answer sets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, headers={"Cookie": COOKIE, "User-Agent": "Firefox/1", "Content-Length": "0"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read().decode()
    answer.read()
    connection.close()
    return answer.headers.get_all("Set-Cookie") or []


def expect_login(recorder: Recorder, cookies: list[str]) -> None:
    """A visitor viewed, then logged in and ordered; the browser was told who it is."""
    view, identify, order = recorder.messages
    assert [message["anonymousId"] for message in recorder.messages] == ["anon-1"] * 3
    assert (view["userId"], identify["userId"], order["userId"]) == (None, "u1", "u1"), "a cookie is no login"
    for message in recorder.messages:
        assert message["context"]["userAgent"] == "Firefox/1"
        assert message["context"]["ip"] == "127.0.0.1"
        assert message["context"]["page"]["path"] == "/login"
    (user,) = cookies
    assert user.startswith("ajs_user_id=u1;")


def log_in(client: Client, response: Any) -> Any:
    client.track(event="Login Viewed")
    client.identify("u1", {"plan": "pro"})
    client.track(event="Order Completed")
    set_identity_cookies(response, user_id="u1", secure=False)
    client.flush()
    return response


def test_fastapi_in_the_loop_and_in_its_worker_threads(make_client: Callable[..., Client], recorder: Recorder) -> None:
    client = make_client()
    app = FastAPI()
    app.add_middleware(AsgiIdentity)

    @app.post("/login")
    def login(response: Response) -> dict[str, str]:
        log_in(client, response)
        return {}

    @app.post("/loop")
    async def loop(request: Request) -> dict[str, str]:
        async with AsyncClient("key", recorder.url, upload_interval=0.02) as awaited:
            set_user("u2")
            await awaited.track(event="Order Completed")
            await awaited.flush()
        return {"known": str(identity_from_request(request).anonymous_id)}

    with asgi_served(app) as port:
        expect_login(recorder, post(port, "/login"))
        recorder.messages.clear()
        post(port, "/loop")
    (message,) = recorder.messages
    assert (message["userId"], message["anonymousId"]) == ("u2", "anon-1")


def test_flask(make_client: Callable[..., Client], recorder: Recorder) -> None:
    flask = pytest.importorskip("flask", reason="needs Flask: pip install flask")
    client = make_client()
    app = flask.Flask("shop")
    app.wsgi_app = WsgiIdentity(app.wsgi_app)
    app.add_url_rule("/login", view_func=lambda: log_in(client, flask.Response()), methods=["POST"])
    with wsgi_served(app) as port:
        expect_login(recorder, post(port, "/login"))
    assert not client.track(event="outside").success

    bare = flask.Flask("bare")

    def login() -> Any:
        with bind_request(flask.request):
            return log_in(client, flask.Response())

    bare.add_url_rule("/login", view_func=login, methods=["POST"])
    recorder.messages.clear()
    with wsgi_served(bare) as port:
        expect_login(recorder, post(port, "/login"))


@pytest.fixture(scope="module")
def django_view() -> Iterator[dict[str, Callable[[Any], Any]]]:
    """Django's settings are one to a process; the view of a test is put in here."""
    django = pytest.importorskip("django", reason="needs Django: pip install django")
    view: dict[str, Callable[[Any], Any]] = {}

    def answer(request: Any) -> Any:
        return view["login"](request)

    urls = ModuleType("shop_urls")
    urls.urlpatterns = [import_module("django.urls").path("login", answer)]  # type: ignore[attr-defined]
    sys.modules["shop_urls"] = urls
    import_module("django.conf").settings.configure(
        ROOT_URLCONF="shop_urls", SECRET_KEY="secret", ALLOWED_HOSTS=["*"], MIDDLEWARE=[]
    )
    django.setup()
    yield view
    del sys.modules["shop_urls"]


@pytest.mark.parametrize("interface", ["WSGI", "ASGI", "bind_request"])
def test_django(
    interface: str,
    django_view: dict[str, Callable[[Any], Any]],
    make_client: Callable[..., Client],
    recorder: Recorder,
) -> None:
    response = import_module("django.http").HttpResponse
    wsgi = import_module("django.core.wsgi").get_wsgi_application
    asgi = import_module("django.core.asgi").get_asgi_application
    client = make_client()

    def login(request: Any) -> Any:
        assert identity_from_request(request).anonymous_id == "anon-1"
        if interface == "bind_request":
            with bind_request(request):
                return log_in(client, response())
        return log_in(client, response())

    django_view["login"] = login
    serve: Callable[[], AbstractContextManager[int]] = {
        "WSGI": lambda: wsgi_served(WsgiIdentity(wsgi())),
        "ASGI": lambda: asgi_served(AsgiIdentity(asgi())),
        "bind_request": lambda: wsgi_served(wsgi()),
    }[interface]
    with serve() as port:
        expect_login(recorder, post(port, "/login"))


SHOP = """
import os
from tabard_client import Client
client = Client("key", os.environ["COLLECTOR"], upload_interval=0.01)
"""


def free_port() -> int:
    with asyncio.Runner() as runner:
        server = runner.run(asyncio.start_server(lambda *_: None, "127.0.0.1", 0))
        port: int = server.sockets[0].getsockname()[1]
        server.close()
    return port


@contextmanager
def running(command: list[str], folder: Path, recorder: Recorder) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "COLLECTOR": recorder.url}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.e2e
def test_gunicorn_that_forks_after_the_client_was_made_loses_nothing_when_a_worker_is_killed(
    recorder: Recorder, spool_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gunicorn", reason="needs gunicorn: pip install gunicorn")
    (tmp_path / "shop.py").write_text(
        SHOP
        + textwrap.dedent(
            """
            def app(environ, start_response):
                receipt = client.track("u1", "e", {"pid": os.getpid()})
                start_response("200 OK", [("Set-Cookie", f"id={receipt.message['messageId']}-{os.getpid()}")])
                return [b"ok"]
            """
        )
    )
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", f"--bind=127.0.0.1:{port}", "shop:app"]
    made: list[str] = []
    pids: set[str] = set()
    with running([*command, "--log-level=error"], tmp_path, recorder):
        deadline = time.monotonic() + 20
        while len(made) < 60:
            try:
                (cookie,) = post(port, "/")
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline
                time.sleep(0.05)
                continue
            message_id, _, pid = cookie.removeprefix("id=").rpartition("-")
            made.append(message_id)
            pids.add(pid)
            if len(made) == 30:
                os.kill(int(pid), signal.SIGKILL)
    # What the killed worker had not sent is taken over by whoever has the same spool next.
    assert Client("key", recorder.url, upload_interval=0.01).shutdown(20) == 0
    assert len(pids) >= 2
    assert set(made) == set(recorder.ids)


@pytest.mark.e2e
def test_the_calls_of_recycled_celery_workers_are_sent_by_the_next_process(
    recorder: Recorder, spool_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("celery", reason="needs celery: pip install celery")
    for folder in ("queue", "done"):
        (tmp_path / folder).mkdir()
    ran = tmp_path / "ran"
    (tmp_path / "shop.py").write_text(
        SHOP
        + textwrap.dedent(
            f"""
            from celery import Celery
            app = Celery("shop", broker="filesystem://")
            app.conf.broker_transport_options = {{
                "data_folder_in": {str(tmp_path / "queue")!r}, "data_folder_out": {str(tmp_path / "queue")!r},
                "control_folder": {str(tmp_path / "done")!r},
            }}
            app.conf.worker_max_tasks_per_child = 5
            @app.task
            def order(n):
                client.track("u1", "e", {{"n": n}})
                with open({str(ran)!r}, "a") as done:
                    done.write("ran\\n")
            """
        )
    )
    place = "import shop\nfor n in range(20): shop.order.delay(n)"
    environment = {**os.environ, "COLLECTOR": recorder.url}
    subprocess.run([sys.executable, "-c", place], cwd=tmp_path, env=environment, check=True, timeout=30)
    worker = [sys.executable, "-m", "celery", "--app=shop", "worker", "--pool=prefork", "--concurrency=2"]
    # A child is replaced after five tasks and ends at once, without exit hooks.
    with running([*worker, "--loglevel=error", "--without-gossip", "--without-mingle"], tmp_path, recorder):
        recorder.wait_for(lambda: ran.exists() and len(ran.read_text().splitlines()) == 20, 40)
    assert Client("key", recorder.url, upload_interval=0.01).shutdown(20) == 0
    assert sorted(message["properties"]["n"] for message in recorder.messages) == list(range(20))
