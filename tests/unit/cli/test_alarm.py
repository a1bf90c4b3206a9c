"""The alarm tells what is new and what is over, once, and again until it was heard."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tabard.compose.alarm import Alarm, news

DISK = {"code": "disk_floor", "subject": "", "message": "free disk is low"}
DEAD = {"code": "dead_letters", "subject": "crm", "message": "destination crm has 3 dead letters"}


def test_only_what_was_not_told_is_news_and_what_is_gone_is_cleared() -> None:
    assert news([], [DISK]) == ([DISK], [])
    assert news([("disk_floor", "")], [DISK, DEAD]) == ([DEAD], [])
    assert news([("disk_floor", ""), ("dead_letters", "crm")], [DEAD]) == ([], [("disk_floor", "")])


def test_a_warning_whose_number_grows_is_not_told_again() -> None:
    assert news([("dead_letters", "crm")], [{**DEAD, "message": "destination crm has 4 dead letters"}]) == ([], [])


class Ear(ThreadingHTTPServer):
    """Hears alarms on loopback; answers `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), Listener)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alarm"


class Listener(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status == 200:
            self.server.heard.append(body)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture
def ear() -> Iterator[Ear]:
    with Ear() as ear:
        threading.Thread(target=ear.serve_forever, daemon=True).start()
        yield ear
        ear.shutdown()


def test_an_alarm_is_posted_when_a_warning_comes_and_when_it_goes(ear: Ear) -> None:
    warnings: list[dict[str, str]] = []
    alarm = Alarm(ear.url, lambda: {"data": "/data", "at": 5, "warnings": warnings})
    alarm.look()
    assert ear.heard == []
    warnings.append(DISK)
    alarm.look()
    alarm.look()
    warnings.clear()
    alarm.look()
    assert ear.heard == [
        {"data": "/data", "at": 5, "raised": [DISK], "cleared": []},
        {"data": "/data", "at": 5, "raised": [], "cleared": [{"code": "disk_floor", "subject": ""}]},
    ]


def test_an_alarm_that_was_not_heard_is_told_again(ear: Ear) -> None:
    alarm = Alarm(ear.url, lambda: {"data": "/data", "at": 5, "warnings": [DEAD]})
    ear.status = 503
    alarm.look()
    ear.status = 200
    alarm.look()
    alarm.look()
    assert [each["raised"] for each in ear.heard] == [[DEAD]]
