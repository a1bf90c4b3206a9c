"""What a source may not state is ignored and said: in the trace of the message, in the status, as a metric."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.testing.installation import Installation, eventually, running

ENVIRON = {"TABARD_DISK_FLOOR_BYTES": "1"}


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose browser source sent an alias, a claim, a control and a plain call."""
    with running(tmp_path_factory.mktemp("ignored") / "data", environ=ENVIRON) as installation:
        key = installation.add_source("page", "browser")["writeKey"]
        calls: dict[str, dict[str, Any]] = {
            "alias": {"userId": "u1", "previousId": "a1"},
            "identify": {"userId": "u1", "traits": {"email": "v@x.io"}},
            "track": {"userId": "u1", "event": "User Deleted"},
            "page": {"userId": "u1"},
        }
        for kind, call in calls.items():
            installation.send(f"/v1/{kind}", {**call, "messageId": f"m-{kind}"}, key=key)
        assert eventually(lambda: document(installation, "status")["books"]["stored"] == 4)
        yield installation


def document(installation: Installation, *words: str) -> dict[str, Any]:
    found = installation.tabard(*words)
    assert isinstance(found, dict)
    return found


def text(data: Path, *words: str) -> str:
    return CliRunner().invoke(main, [*words, "--data", str(data)]).output


@pytest.mark.parametrize(
    ("kind", "what", "shown"),
    [
        ("alias", "alias", "its previousId"),
        ("identify", "email_claim", "its e-mail"),
        ("track", "control", "its control"),
    ],
)
def test_a_trace_names_what_of_the_message_was_ignored(tabard: Installation, kind: str, what: str, shown: str) -> None:
    assert document(tabard, "trace", f"m-{kind}")["messages"][0]["ignored"] == what
    assert f"ignored     {shown}" in text(tabard.data, "trace", f"m-{kind}")


def test_a_trace_of_a_plain_call_names_nothing(tabard: Installation) -> None:
    assert document(tabard, "trace", "m-page")["messages"][0]["ignored"] is None
    assert "ignored" not in text(tabard.data, "trace", "m-page")


def test_the_status_counts_it_a_source(tabard: Installation) -> None:
    (source,) = (each for each in document(tabard, "status")["sources"] if each["name"] == "page")
    assert (source["controlIgnored"], source["aliasIgnored"], source["emailClaimIgnored"]) == (1, 1, 1)
    assert "ignored, since it may not state them: 1 controls, 1 aliases, 1 claims of an e-mail" in text(
        tabard.data, "status"
    )


def test_the_status_says_from_how_many_calls_on_it_advises_on_identifying_on_each_page_view(
    tabard: Installation,
) -> None:
    calls = [{"type": kind, "userId": "u9"} for kind in ("identify", "page") for _ in range(19)]
    tabard.send("/v1/batch", {"batch": calls})
    advice = eventually(lambda: advised(tabard, 19))
    assert (advice["identifies"], advice["identifiesEachPage"], advice["identifiesMin"]) == (19, False, 20)
    assert "identifies on each page view" not in text(tabard.data, "status")
    tabard.send("/v1/identify", {"userId": "u9"})
    assert eventually(lambda: advised(tabard, 20))["identifiesEachPage"]
    assert "20 identify calls (this is said from 20 on) to 19 page calls, 20 of them without a change" in text(
        tabard.data, "status"
    )


def advised(installation: Installation, identifies: int) -> dict[str, Any]:
    (source,) = (each for each in document(installation, "status")["sources"] if each["name"] == "default")
    advice: dict[str, Any] = source["advice"]
    return advice if advice.get("identifies") == identifies else {}
