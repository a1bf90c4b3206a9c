"""A running installation with people in it, hostile ones too, and the web role asked as clients ask it."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tabard.testing.installation import Installation, eventually, running
from tests.e2e.receiver import receiving

Json = dict[str, Any]
HOSTILE_ID = 'u/../x?y=1#z"><script>alert(1)</script>'
HOSTILE_MESSAGE = "m/../n?o=1#p <i>"
EVENTS = 45
ENVIRON = {"TABARD_EGRESS_PRIVATE": "true", "TABARD_DISK_FLOOR_BYTES": "1"}


@dataclass(frozen=True)
class Answer:
    """One answer of the web role."""

    status: int
    headers: Message
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Site:
    """The web role of an installation; `cookies` are sent along, as a browser does."""

    tabard: Installation
    cookies: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, *, form: dict[str, str] | bytes | None = None, method: str = "", **headers: str) -> Answer:
        """GET, or POST where there is a form, unless another method is named; redirects are not followed."""
        address = urlsplit(self.tabard.web)
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=20)
        body = urlencode(form).encode() if isinstance(form, dict) else form
        sent = (
            {"Cookie": self.cookies} | self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        )
        if isinstance(form, dict):
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method or ("GET" if form is None else "POST"), path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()


@pytest.fixture(scope="package")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a webhook, a person with three identifiers, a hostile one, and two refused calls."""
    with receiving() as hook, running(tmp_path_factory.mktemp("web") / "data", environ=ENVIRON) as installation:
        installation.tabard("destination", "add", "webhook", "crm", "--set", f"url={hook.url}", "--start", "beginning")
        person = {"userId": "97980cfea0067", "anonymousId": "a-1"}
        installation.send("/v1/identify", {"anonymousId": "a-1", "traits": {"plan": "free"}})
        installation.send("/v1/identify", {**person, "traits": {"email": "Cool.Person@example.com", "plan": "pro"}})
        installation.send("/v1/group", {"userId": "97980cfea0067", "groupId": "acme", "traits": {"employees": 42}})
        calls = [{"type": "track", "userId": "97980cfea0067", "event": f"E{n % 3}"} for n in range(EVENTS)]
        installation.send("/v1/batch", {"batch": calls})
        hostile = {"</td><img src=x onerror=alert(1)>": "</script><script>alert(2)</script>", "name": "<b>Bo</b>"}
        installation.send("/v1/identify", {"userId": HOSTILE_ID, "traits": hostile})
        big = {"huge": 10**30, "event": "{{ 7*7 }}<svg onload=alert(3)>"}
        event = {"userId": HOSTILE_ID, "messageId": HOSTILE_MESSAGE, "event": big["event"], "properties": big}
        installation.send("/v1/track", event)
        installation.send("/v1/batch", {"batch": [{"type": "track", "userId": "<script>alert(4)</script>"}, calls[0]]})
        assert eventually(lambda: installation.get("/api/status")["books"]["stored"] == EVENTS + 6)
        assert eventually(lambda: installation.get("/api/destinations")["destinations"][0]["books"].get("pending") == 0)
        yield installation


@pytest.fixture
def stranger(tabard: Installation) -> Site:
    return Site(tabard)


@pytest.fixture
def admin(tabard: Installation) -> Site:
    """Whoever sends the admin token with each call."""
    return Site(tabard, headers={"Authorization": f"Bearer {tabard.admin_token}"})


@pytest.fixture
def visitor(tabard: Installation) -> Site:
    """A browser that has logged in."""
    site = Site(tabard, headers={"Accept": "text/html"})
    answer = site.ask("/login", form={"token": tabard.admin_token})
    site.cookies = answer.headers["set-cookie"].split(";")[0]
    return site
