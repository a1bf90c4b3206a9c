"""What a preview shows: no secret of a stored destination, and of stored messages a sum that counts people once."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.compose.preview import asked_of, preview_many
from tests.integration.resolver.engine import Engine
from tests.unit.delivery.test_trust import journeys
from tests.unit.destinations.catalog.bench import NOW

SLACK = "https://hooks.slack.com/services/T0/B0/secret-secret"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return open_or_make(tmp_path / "data", {}, SystemClock()).installation.data


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("slack", {"url": SLACK}),
        ("webhook", {"url": "https://x.example/in", "headers": "Authorization: Bearer secret-secret\nX-Own: secret-2"}),
        ("customerio", {"siteId": "site-secret", "apiKey": "key-secret"}),
    ],
)
def test_a_preview_of_a_stored_destination_shows_none_of_its_secrets(
    data: Path, tmp_path: Path, kind: str, settings: dict[str, str]
) -> None:
    given = [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    added = CliRunner().invoke(main, ["destination", "add", kind, "it", *given, "--data", str(data)])
    assert added.exit_code == 0, added.output
    call = tmp_path / "call.json"
    call.write_text(json.dumps({"type": "track", "event": "E", "userId": "u1", "messageId": "m"}))
    for form in ([], ["--json"]):
        words = ["preview", "it", "--event", str(call), "--data", str(data), *form]
        if kind == "slack":
            words += ["--action", "postToChannel"]
        shown = CliRunner().invoke(main, words).output
        assert "[redacted]" in shown
        assert "secret" not in shown
        assert "Basic " not in shown


def call(kind: str, name: str, second: int, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "messageId": name, "timestamp": f"2024-05-01T12:00:{second:02d}.000Z", **fields}


def test_a_sum_over_stored_messages_counts_profiles_that_are_created_and_leaves_the_deleted_out(
    tmp_path: Path,
) -> None:
    engine = Engine(tmp_path)
    engine.feed(
        [
            call("identify", "m1", 1, userId="ann", anonymousId="d"),
            call("identify", "m2", 2, userId="ann@x.io", traits={"email": "ann@x.io"}),
            call("identify", "m3", 3, userId="ann", traits={"email": "ann@x.io"}),
            call("track", "m4", 4, anonymousId="d", event="E"),
            call("track", "m5", 5, userId="cy", event="E"),
            call("identify", "m6", 6, userId="bob"),
            call("delete", "c1", 7, ids=["user:bob"]),
        ]
    )
    engine.settle()
    messages, profiles = engine.messages(), engine.profiles()
    asked = [asked_of(each, messages, profiles) for each in messages.newest(10)]
    summary = preview_many(journeys(), asked, NOW)
    assert (summary.messages, summary.requests, summary.people, summary.profiles) == (6, 5, 2, 1)
    assert summary.refusals == {"filtered: erased": 1}
    engine.close()
