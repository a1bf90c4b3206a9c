"""What is accepted becomes a message, what is not has its code: the cases of spec/messages, without sockets."""

import json
from typing import Any

import msgspec
import pytest

from tabard.collector.accept import Accepted, Parcel, Sender, accept, open_batch, open_call
from tabard.collector.routes import CALLS
from tabard.log.codec import decode
from tabard.message.limits import Limits
from tabard.message.normalize import normalize
from tabard.message.parse import Refused
from tabard.message.traits import parse_instant
from tabard.message.types import SERVER_TRUST, Message
from tests.unit.message.cases import body_of, cases, name_of

LIMITS = Limits()
NOW_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
IDS = {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "previous_id", "groupId": "group_id"}


def taken(path: str, body: bytes, received_at: int = NOW_MS) -> Accepted:
    """The items of a body after the door's checks."""
    call = CALLS[path.encode()]
    parcel: Parcel = open_batch(body, LIMITS) if call.type is None else open_call(body, LIMITS)
    sender = Sender("s1", int(SERVER_TRUST), received_at, "192.0.2.7", "agent/1", call.type)
    return accept(parcel, sender, LIMITS, lambda: "made-by-the-door")


def messages(accepted: Accepted) -> list[Message]:
    return [normalize(decode(value), skew_correction=True) for value in accepted.values]


@pytest.mark.parametrize("case", cases("valid"), ids=name_of)
def test_a_valid_message_is_resolved_as_the_case_says(case: dict[str, Any]) -> None:
    accepted = taken(case["path"], body_of(case), parse_instant(case.get("receivedAt")) or NOW_MS)
    assert not accepted.refused
    (message,) = messages(accepted)
    expect = case["expect"]
    for member, attribute in IDS.items():
        if member in expect:
            assert getattr(message, attribute) == expect[member]
    for member, value in expect.get("body", {}).items():
        assert message.body[member] == value, member
    assert not set(expect.get("absent", ())) & message.body.keys()
    assert message.type == expect.get("type", message.type)
    assert message.message_id == expect.get("messageId", message.message_id)
    assert list(message.warnings) == expect.get("warnings", [])
    assert json.loads(msgspec.json.encode(message.body)) == message.body


@pytest.mark.parametrize("case", cases("rejected"), ids=name_of)
def test_a_bad_message_is_refused_with_the_code_and_field_of_the_case(case: dict[str, Any]) -> None:
    try:
        rejection = taken(case["path"], body_of(case)).refused[0].rejection
    except Refused as refusal:
        rejection = refusal.rejection
    assert (rejection.reason, rejection.field) == (case["expect"]["code"], case["expect"]["field"])
    assert rejection.message


def test_ninety_nine_good_items_and_one_with_nan_are_a_hundred_messages() -> None:
    good = [json.dumps({"type": "track", "userId": "u1", "event": "x", "messageId": f"m{n}"}) for n in range(99)]
    odd = '{"type":"track","userId":"u1","event":"x","properties":{"a":NaN,"b":"\\ud83d"}}'
    accepted = taken("/v1/batch", f'{{"batch":[{",".join([*good[:50], odd, *good[50:]])}]}}'.encode())
    assert (len(accepted.values), accepted.refused) == (100, [])
    repaired = [message for message in messages(accepted) if message.warnings]
    assert [message.warnings for message in repaired] == [("number_repaired", "text_repaired")]
    assert repaired[0].body["properties"] == {"a": None, "b": "\ufffd"}
    assert [decode(value).body for value in accepted.values[:2]] == [good[0].encode(), good[1].encode()]


def test_bad_items_are_listed_by_index_and_the_good_ones_kept() -> None:
    batch = {
        "batch": [{"type": "page", "userId": "u1"}, {"type": "page"}, {"userId": "u1"}, {"type": "page", "userId": 2}]
    }
    accepted = taken("/v1/batch", json.dumps(batch).encode())
    assert [(item.rejection.index, item.rejection.reason) for item in accepted.refused] == [
        (1, "no_user_anon_id"),
        (2, "type_missing"),
    ]
    assert [message.user_id for message in messages(accepted)] == ["u1", "2"]


def test_an_item_that_the_fast_split_lets_through_is_refused_by_itself() -> None:
    items = (
        b'{"type":"page","userId":"u\xff"}',
        b'{"type":"page","userId":"u1","n":1e400}',
        b'{"type":"page","userId":"u1"}',
    )
    accepted = taken("/v1/batch", b'{"batch":[%s]}' % b",".join(items))
    assert [item.rejection.reason for item in accepted.refused] == ["invalid_utf8", "number_out_of_range"]
    assert len(accepted.values) == 1


def test_what_the_batch_says_lies_under_what_each_item_says() -> None:
    batch = {
        "sentAt": "2026-01-02T03:04:00Z",
        "context": {"ip": "198.51.100.4", "locale": "de"},
        "integrations": {"All": False},
        "batch": [{
            "type": "page", "userId": "u1", "context": {"locale": "en"}, "integrations": {"Mixpanel": True},
            "timestamp": "2026-01-02T03:03:59Z",
        }],
    }  # fmt: skip
    (message,) = messages(taken("/v1/batch", json.dumps(batch).encode()))
    assert message.body["context"] == {"ip": "198.51.100.4", "locale": "en", "channel": "server"}
    assert message.body["integrations"] == {"All": False, "Mixpanel": True}
    assert message.body["timestamp"] == "2026-01-02T03:04:04.000Z"


def test_a_message_id_is_made_only_where_none_was_sent() -> None:
    batch = {"batch": [{"type": "page", "userId": "u", "messageId": value} for value in ("m1", "", None, " ", 5)]}
    made = "made-by-the-door"
    assert [message.message_id for message in messages(taken("/v1/batch", json.dumps(batch).encode()))] == [
        "m1", made, made, made, "5",
    ]  # fmt: skip


def test_an_empty_batch_holds_nothing_and_is_no_fault() -> None:
    accepted = taken("/v1/batch", b'{"batch":[]}')
    assert (accepted.values, accepted.refused) == ([], [])
