"""The web pages in a real browser, before data that would take them over if it could."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, eventually, running
from tests.e2e.conftest import NODE
from tests.e2e.receiver import receiving

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
    paths += ["/destinations", "/dead-letters", "/replays", "/rejections", "/quarantined", "/docs"]
    command = [node_packages, "site.mjs", chromium, tabard.web, tabard.admin_token, *paths]
    with subprocess.Popen(command, cwd=NODE, stdout=subprocess.PIPE, text=True) as walk:
        assert walk.stdout is not None
        assert json.loads(walk.stdout.readline()) == {"ready": True}
        tabard.send("/v1/track", {"userId": "u1", "event": "Just now"})
        seen = json.loads(walk.stdout.readline())
    assert seen["complaints"] == []
    assert {status for status, _ in seen["headings"].values()} == {200}
    assert seen["headings"][PERSON][1] == HOSTILE


def test_an_operator_mends_a_mapping_resends_what_died_and_watches_a_replay_on_a_phone(
    tmp_path: Path, node_packages: str, chromium: str
) -> None:
    crm = FaultyDestination(bad=lambda sent: "tenant" not in sent, bad_status=422)
    with receiving(crm), running(tmp_path / "data", environ={"TABARD_EGRESS_PRIVATE": "true"}) as tabard:
        tabard.tabard("destination", "add", "webhook", "crm", "--set", f"url={crm.url}", "--start", "beginning")
        for number in range(3):
            tabard.send("/v1/track", {"userId": f"u{number}", "event": HOSTILE, "messageId": f"m{number}"})
        assert eventually(lambda: len(tabard.get("/api/dead-letters")["deadLetters"]) == 3)
        command = [node_packages, "operate.mjs", chromium, tabard.web, tabard.admin_token, "crm"]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert seen["complaints"] == []
        read = seen["read"]
        assert read["letters"].count("http_422") == 3
        assert '"messageId":"m2"' in read["letter"]
        assert "mapping/data/@path should be a string or a mapping directive but it is a number." in read["fault"]
        assert read["kept"] == '{"data": {"@path": 1}}'
        assert "3 messages: 3 requests" in read["preview"]
        assert '{"messageId":"m2","tenant":"acme"}' in read["preview"]
        assert (read["saved"], read["resent"]) == ("Saved.", "Sent again.")
        assert read["began"] < 1
        assert read["replayed"] == "100.0 % done"
        assert sorted(crm.message_ids) == ["m0", "m0", "m1", "m1", "m2", "m2"]
