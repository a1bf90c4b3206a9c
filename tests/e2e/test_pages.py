"""The web pages in a real browser, before data that would take them over if it could."""

import json
import subprocess
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tabard.testing.installation import Installation, eventually, running
from tests.e2e.conftest import NODE

pytestmark = pytest.mark.e2e

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
PERSON = "/people/" + quote(f"user:{HOSTILE}", safe="")


@pytest.fixture
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("pages") / "data") as installation:
        yield installation


def test_an_operator_walks_all_pages_and_the_browser_finds_nothing_to_complain_of(
    tabard: Installation, node_packages: str, chromium: str
) -> None:
    traits = {HOSTILE: HOSTILE, "name": HOSTILE, "note": "long" * 200}
    tabard.send("/v1/identify", {"userId": HOSTILE, "traits": traits, "messageId": f"1{HOSTILE}"})
    tabard.send("/v1/track", {"userId": HOSTILE, "event": HOSTILE, "messageId": f"2{HOSTILE}"})
    tabard.send("/v1/batch", {"batch": [{"type": "track", "userId": HOSTILE}, {"type": "page", "userId": HOSTILE}]})
    assert eventually(lambda: len(tabard.stored()) == 3)
    parts = [f"{PERSON}/timeline", f"{PERSON}/traits/{quote(HOSTILE, safe='')}/history", f"{PERSON}?as_of=2999-01-01"]
    paths = ["/messages", "/people", f"/people?q={quote(HOSTILE)}", PERSON, *parts]
    paths += ["/destinations", "/rejections", "/docs"]
    command = [node_packages, "site.mjs", chromium, tabard.web, tabard.admin_token, *paths]
    with subprocess.Popen(command, cwd=NODE, stdout=subprocess.PIPE, text=True) as walk:
        assert walk.stdout is not None
        assert json.loads(walk.stdout.readline()) == {"ready": True}
        tabard.send("/v1/track", {"userId": "u1", "event": "Just now"})
        seen = json.loads(walk.stdout.readline())
    assert seen["complaints"] == []
    assert {status for status, _ in seen["headings"].values()} == {200}
    assert seen["headings"][PERSON][1] == HOSTILE
