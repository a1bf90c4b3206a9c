"""The requests of published SDKs, as recorded on the wire (spec/sdk_examples.json), each sent to a real socket."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.collector.doors import Running

EXAMPLES = json.loads((Path(__file__).parents[3] / "spec" / "sdk_examples.json").read_text("utf-8"))
POSTS = [example for example in EXAMPLES if example["method"] == "POST"]


def label(example: dict[str, Any]) -> str:
    return f"{example['sdk']}-{example['version']}-{example['path']}-{example['note'][:20]}"


def sent(example: dict[str, Any]) -> bytes:
    body = json.dumps(example["body"]).encode() if example["body"] is not None else b""
    return gzip.compress(body) if ["Content-Encoding", "gzip"] in example["headers"] else body


@pytest.mark.parametrize("example", EXAMPLES, ids=label)
async def test_every_recorded_request_gets_200_or_its_preflight(door: Running, example: dict[str, Any]) -> None:
    url = example["path"] + (f"?{example['query']}" if example["query"] else "")
    answer = await door.ask(example["method"], url, sent(example), None, dict(example["headers"]))
    assert answer.status == (204 if example["method"] == "OPTIONS" else 200)
    assert answer.headers["access-control-allow-origin"]
    if example["method"] == "POST":
        assert answer.json == {"success": True}


@pytest.mark.parametrize("example", POSTS, ids=label)
async def test_every_message_of_a_recorded_request_is_kept_as_it_was_sent(
    door: Running, example: dict[str, Any]
) -> None:
    await door.ask("POST", example["path"], sent(example), None, dict(example["headers"]))
    items = example["body"].get("batch", [example["body"]])
    messages = door.messages()
    assert len(messages) == len(items)
    for item, message in zip(items, messages, strict=True):
        assert message.source == "s7"
        for member in ("traits", "properties", "event", "name", "type"):
            if item.get(member) is not None:
                assert message.body[member] == item[member], member
        assert message.user_id == (str(item["userId"]) if item.get("userId") not in (None, "") else None)
        assert message.message_id
        assert item.get("messageId") in (None, "", message.message_id)
        assert message.timestamp <= message.received_at
        assert not {"writeKey", "_metadata"} & message.body.keys()
        is_browser = any(name == "Origin" for name, _ in example["headers"])
        assert ("ip" in message.body["context"]) >= is_browser
