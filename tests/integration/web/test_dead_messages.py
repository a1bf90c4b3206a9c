"""A trace says that the message's subject was deleted or suppressed, since when and by which control."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tabard.testing.installation import Installation, Json, eventually, running
from tests.e2e.receiver import receiving
from tests.integration.web.conftest import ENVIRON, Site

CONTROLS = {"suppressed": "suppress", "deleted": "delete"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation without a destination; of its four people one is suppressed and one deleted."""
    with running(tmp_path_factory.mktemp("dead") / "data", environ=ENVIRON) as installation:
        site = Site(installation, headers={"Authorization": f"Bearer {installation.admin_token}"})
        for name, kind in CONTROLS.items():
            control = {"type": kind, "ids": [f"user:{name}"], "messageId": kind, "timestamp": "2026-01-02T03:04:05Z"}
            assert site.ask("/api/controls", form=json.dumps(control).encode()).status == 200
        for name, moment in (("suppressed", "2026-01-03"), ("deleted", "2026-01-01"), ("alive", "2026-01-03")):
            call = {"userId": name, "event": "E", "timestamp": f"{moment}T00:00:00Z", "messageId": f"m-{name}"}
            installation.send("/v1/track", call)
        before = {"userId": "suppressed", "event": "E", "timestamp": "2026-01-01T00:00:00Z", "messageId": "m-before"}
        installation.send("/v1/track", before)
        assert eventually(lambda: installation.get("/api/status")["books"]["stored"] == 6)
        yield installation


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("suppressed", "user:suppressed is suppressed since 2026-01-02T03:04:05.000Z: stored, never delivered"),
        ("deleted", " was deleted at 2026-01-02T03:04:05.000Z: nothing up to then counts or is delivered any more"),
    ],
)
def test_a_trace_without_any_destination_says_why_a_message_goes_nowhere(
    plain: Installation, name: str, sentence: str
) -> None:
    found = plain.get(f"/api/trace/m-{name}")
    (row,) = found["messages"]
    assert found["deliveries"] == []
    assert (row["dead"]["name"], row["dead"]["message"]["messageId"]) == (name, CONTROLS[name])
    assert (row["dead"]["message"]["type"], row["dead"]["message"]["position"][:2]) == ("control", "0:")
    assert row["dead"]["sentence"].endswith(sentence)
    page = Site(plain, headers={"Authorization": f"Bearer {plain.admin_token}", "Accept": "text/html"})
    shown = page.ask(f"/messages/m-{name}").text
    assert row["dead"]["sentence"] in shown
    assert f"control <code>{CONTROLS[name]}</code>" in shown
    traced = plain.tabard("trace", f"m-{name}")
    assert isinstance(traced, dict)
    assert traced["messages"][0]["dead"] == row["dead"]
    lines = text(plain, "trace", f"m-{name}").splitlines()
    said = next(at for at, line in enumerate(lines) if line.startswith(f"{name} "))
    assert lines[said].endswith(sentence)
    assert f"control {CONTROLS[name]} at 0:" in lines[said + 1]


@pytest.mark.parametrize("message_id", ["m-alive", "m-before"])
def test_a_trace_of_a_message_that_counts_says_nothing_of_the_kind(plain: Installation, message_id: str) -> None:
    assert plain.get(f"/api/trace/{message_id}")["messages"][0]["dead"] is None
    assert "suppressed  " not in text(plain, "trace", message_id)


def test_a_destination_that_passed_a_dead_message_says_so_too(plain: Installation) -> None:
    def passed() -> Json | None:
        found = plain.get("/api/trace/m-suppressed")["deliveries"]
        return next((each for each in found if each["outcome"] != "pending"), None)

    with receiving() as hook:
        plain.tabard("destination", "add", "webhook", "crm", "--set", f"url={hook.url}", "--start", "beginning")
        told = eventually(passed)
    assert told is not None
    assert told["outcome"] in ("erased", "unknown")
    assert "suppressed" in told["reason"]


def text(installation: Installation, *words: str) -> str:
    command = [sys.executable, "-m", "tabard", *words, "--data", str(installation.data)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
