"""The published SDKs, unchanged, against a running `tabard serve`: what they send is stored, field by field."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.testing.installation import Installation, Json, eventually, running

HERE = Path(__file__).parent
NODE = HERE / "node"
USER = "97980cfea0067"
PYTHON_SDKS = ["customerio-cdp-analytics", "segment-analytics-python", "rudder-sdk-python"]
NODE_SDKS = ["@customerio/cdp-analytics-node", "@segment/analytics-node", "@rudderstack/rudder-sdk-node"]
BROWSER_SDKS = ["@customerio/cdp-analytics-browser", "@segment/analytics-next"]
SERVER_CALLS = ["alias", "group", "identify", "page", "screen", "track"]

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("sdks") / "data") as installation:
        yield installation


def messages_of(tabard: Installation, source: Json, types: list[str]) -> dict[str, Json]:
    def stored() -> dict[str, Json]:
        rows = [row for row in tabard.stored() if row["source"] == source["id"]]
        return {row["type"]: row["message"] for row in rows} if len(rows) >= len(types) else {}

    found = eventually(stored)
    assert sorted(found) == sorted(types)
    return found


def assert_whole_scenario(messages: dict[str, Json], expected_traits: dict[str, Any]) -> None:
    for message in messages.values():
        assert message["userId"] == USER
        assert message["messageId"]
        assert message["timestamp"] <= message["receivedAt"]
        assert "writeKey" not in message
    for call in ("identify", "track", "page", "screen", "group"):
        assert messages[call]["anonymousId"] == "anon-1"
        assert messages[call]["context"]["library"]["name"]
    assert messages["identify"]["traits"] == expected_traits
    assert messages["track"]["event"] == "Order Completed"
    assert messages["track"]["properties"]["revenue"] == 39.95
    assert messages["page"]["properties"]["url"] == "https://example.com/docs"
    assert messages["screen"]["name"] == "Home"
    assert messages["group"]["groupId"] == "acme"
    assert messages["group"]["traits"]["employees"] == 42
    assert messages["alias"]["previousId"] == "anon-1"


@pytest.mark.parametrize("sdk", PYTHON_SDKS)
def test_every_call_of_a_published_python_sdk_is_stored_as_sent(tabard: Installation, sdk: str) -> None:
    source = tabard.add_source(sdk)
    arguments = [str(HERE / "python_scenario.py"), sdk, tabard.collector, source["writeKey"]]
    subprocess.run([sys.executable, *arguments], check=True, timeout=60)
    messages = messages_of(tabard, source, SERVER_CALLS)
    traits = dict(messages["identify"]["traits"])
    assert traits.pop("created_at").startswith("2024-01-02T03:04:05")
    assert_whole_scenario(
        messages | {"identify": messages["identify"] | {"traits": traits}},
        {
            "first_name": "cool",
            "last_name": "person",
            "email": "cool.person@example.com",
            "address": {"city": "Zürich", "postal_code": "8001"},
            "tags": ["a", "b"],
        },
    )
    assert messages["track"]["properties"]["big"] == 2**53 + 1


@pytest.mark.parametrize("sdk", NODE_SDKS)
def test_every_call_of_a_published_node_sdk_is_stored_as_sent(
    tabard: Installation, node_packages: str, sdk: str
) -> None:
    source = tabard.add_source(sdk.strip("@").replace("/", "-"))
    command = [node_packages, "drive.mjs", sdk, tabard.collector, source["writeKey"]]
    subprocess.run(command, cwd=NODE, check=True, timeout=60)
    messages = messages_of(tabard, source, SERVER_CALLS)
    assert_whole_scenario(
        messages,
        {
            "firstName": "cool",
            "lastName": "person",
            "email": "cool.person@example.com",
            "createdAt": "2024-01-02T03:04:05.000Z",
            "address": {"city": "Zürich", "postalCode": "8001"},
            "tags": ["a", "b"],
        },
    )
    assert messages["track"]["properties"]["note"] == "line\u2028end"


@pytest.mark.parametrize("sdk", BROWSER_SDKS)
def test_a_published_browser_sdk_starts_and_sends_to_us_alone(
    tabard: Installation, node_packages: str, chromium: str, sdk: str
) -> None:
    added = tabard.add_source(sdk.strip("@").replace("/", "-"), "browser")
    command = [node_packages, "browser.mjs", sdk, tabard.collector, added["writeKey"], chromium]
    done = subprocess.run(command, cwd=NODE, check=True, timeout=90, capture_output=True, text=True)
    outcome = json.loads(done.stdout)
    assert outcome["foreign"] == []
    assert outcome["trouble"] == []
    messages = eventually(
        lambda: (
            [row for row in tabard.stored() if row["source"] == added["id"]][5:]
            and [row["message"] for row in tabard.stored() if row["source"] == added["id"]]
        )
    )
    assert [message["type"] for message in messages] == ["page", "identify", "track", "identify", "group", "alias"]
    anonymous, known = (m for m in messages if m["type"] == "identify")
    assert anonymous["traits"] == {"subscriptionStatus": "inactive"}
    assert anonymous["anonymousId"] == known["anonymousId"]
    assert known["userId"] == USER
    assert known["traits"]["subscriptionStatus"] == "inactive"
    assert messages[0]["context"]["campaign"] == {"name": "spring", "source": "mail"}
    assert messages[0]["context"]["ip"] == "127.0.0.1"
    assert "HeadlessChrome" in messages[0]["context"]["userAgent"]
    person = tabard.profile(f"user:{USER}")
    assert person["traits"]["email"] == "cool.person@example.com"
