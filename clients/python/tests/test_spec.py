"""The cases under spec/messages, which the server's tests read too: the client sends what the server takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tabard_client import Client, Receipt

SPEC = Path(__file__).parents[3] / "spec" / "messages"
KINDS = ("identify", "track", "page", "screen", "group", "alias")
ARGUMENTS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "messageId": "message_id",
    **{name: name for name in ("traits", "properties", "context", "integrations", "timestamp")},
    **{name: name for name in ("event", "name", "category")},
}
IDS = ("userId", "anonymousId", "groupId", "previousId", "messageId")


NOT_EXPRESSIBLE = {
    "epoch-seconds": "a timestamp is a datetime or text here",
    "epoch-milliseconds": "a timestamp is a datetime or text here",
    "email-in-context-traits-alone": "a form of RudderStack's clients",
    "group-in-place-of-person": "track has no group_id, as in the published SDKs",
    "traits-array": "an empty list is sent as no traits, as by the published SDKs",
    "context-array": "an empty list is sent as no context, as by the published SDKs",
    "nested-70-deep": "the depth of sound JSON is left to the collector, which names the item",
}


def cases(folder: str) -> list[Any]:
    """The cases a call of this client can express: one message of a kind, of arguments it has."""
    found = []
    for path in sorted((SPEC / folder).glob("*.json")):
        for case in json.loads(path.read_text()):
            kind, body = case["path"].removeprefix("/v1/"), case.get("body")
            expressible = kind in KINDS and isinstance(body, dict) and set(body) <= {*ARGUMENTS, "type"}
            if expressible and case["name"] not in NOT_EXPRESSIBLE:
                found.append(pytest.param(kind, body, case["expect"], id=f"{path.stem}-{case['name']}"))
    return found


def call(kind: str, body: dict[str, Any]) -> Receipt:
    arguments = {ARGUMENTS[key]: value for key, value in body.items() if key != "type"}
    client = Client("key", send=False)
    receipt: Receipt = getattr(client, kind)(**arguments)
    return receipt


VALID, REJECTED = cases("valid"), cases("rejected")


def test_the_specification_has_cases_for_the_client() -> None:
    assert len(VALID) > 20
    assert len(REJECTED) > 10


@pytest.mark.parametrize(("kind", "body", "expect"), VALID)
def test_a_valid_case_is_sent_with_the_ids_the_server_will_see(
    kind: str, body: dict[str, Any], expect: dict[str, Any]
) -> None:
    receipt = call(kind, body)
    assert receipt.success
    for key in IDS:
        if key in expect and expect[key] is not None:
            assert receipt.message[key] == expect[key]


@pytest.mark.parametrize(("kind", "body", "expect"), REJECTED)
def test_a_case_the_server_rejects_is_not_sent(kind: str, body: dict[str, Any], expect: dict[str, Any]) -> None:
    assert not call(kind, body).success
