"""From a record of the log to the message: what the cases of spec/messages do not reach."""

from typing import Any

import msgspec
import pytest

from tabard.message.normalize import Unprocessable, normalize
from tabard.message.types import CONTROL, RECORD_VERSION, SERVER_TRUST, Message, Record, Trust

NOW_MS = 1_767_323_045_000  # 2026-01-02T03:04:05Z
CLIENT = int(SERVER_TRUST | Trust.CLIENT)


def record(body: dict[str, Any] | bytes, **changes: Any) -> Record:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    made = Record(RECORD_VERSION, "s1", "page", int(SERVER_TRUST), NOW_MS, encoded, message_id="m1")
    return msgspec.structs.replace(made, **changes)


def message(body: dict[str, Any], *, skew_correction: bool = True, **changes: Any) -> Message:
    return normalize(record(body, **changes), skew_correction=skew_correction)


def test_address_and_user_agent_are_those_of_a_client() -> None:
    known = message({"userId": "u"}, trust=CLIENT, ip="192.0.2.7", user_agent="Firefox")
    assert known.body["context"] == {"channel": "browser", "ip": "192.0.2.7", "userAgent": "Firefox"}


def test_address_and_user_agent_of_a_server_say_nothing_of_the_person() -> None:
    assert message({"userId": "u"}, ip="192.0.2.7", user_agent="python").body["context"] == {"channel": "server"}


def test_a_server_that_passes_on_a_browser_s_calls_does_not_lend_them_its_address() -> None:
    body = {"userId": "u", "context": {"channel": "browser"}}
    assert "ip" not in message(body, ip="192.0.2.7").body["context"]


def test_the_address_of_a_mobile_device_is_known_by_its_library() -> None:
    body = {"userId": "u", "context": {"library": {"name": "rudder-android-library"}}}
    assert message(body, ip="192.0.2.7").body["context"]["ip"] == "192.0.2.7"


def test_a_server_may_ask_for_the_address_with_direct() -> None:
    body = {"userId": "u", "context": {"direct": True}}
    assert message(body, ip="192.0.2.7").body["context"]["ip"] == "192.0.2.7"


def test_what_the_client_says_of_its_address_stays() -> None:
    body = {"userId": "u", "context": {"ip": "203.0.113.1"}}
    assert message(body, trust=CLIENT, ip="192.0.2.7").body["context"]["ip"] == "203.0.113.1"


@pytest.mark.parametrize(
    ("context", "channel"),
    [
        ({"device": {"type": "ios"}}, "mobile"),
        ({"library": {"name": "analytics-kotlin"}}, "mobile"),
        ({"library": {"name": "analytics-python"}}, "server"),
        ({"channel": "mobile"}, "mobile"),
        ({"library": 5, "device": "x"}, "server"),
    ],
)
def test_the_channel_is_what_the_client_says_or_what_its_library_shows(context: dict[str, Any], channel: str) -> None:
    assert message({"userId": "u", "context": context}).body["channel"] == channel


def test_without_skew_correction_nothing_is_shifted_but_the_clamp_holds() -> None:
    body = {"userId": "u", "timestamp": "2026-01-02T02:00:00Z", "sentAt": "2026-01-02T02:00:05Z"}
    assert message(body, skew_correction=False).body["timestamp"] == "2026-01-02T02:00:00.000Z"
    late = {"userId": "u", "timestamp": "2035-01-01T00:00:00Z"}
    assert message(late, skew_correction=False).timestamp == NOW_MS


def test_a_shift_below_the_year_one_is_bounded() -> None:
    body = {"userId": "u", "timestamp": "0001-01-01T00:00:00Z", "sentAt": "9999-12-31T00:00:00Z"}
    assert message(body).body["timestamp"] == "0001-01-01T00:00:00.000Z"


def test_the_record_s_own_warnings_come_first() -> None:
    body = {"userId": "u", "sentAt": "never"}
    assert message(body, warnings=("number_repaired",)).warnings == ("number_repaired", "sent_at_unreadable")


def test_a_control_keeps_its_type_and_gets_no_context() -> None:
    control = message({"type": "delete", "ids": ["user:u"], "messageId": "c1"}, type=CONTROL)
    assert (control.type, control.body["type"], control.body["ids"]) == (CONTROL, "delete", ["user:u"])
    assert "context" not in control.body


def test_the_same_record_gives_the_same_message() -> None:
    one = record({"userId": 7, "context": {"traits": {"a": 1}}}, type="identify")
    assert normalize(one, skew_correction=True) == normalize(one, skew_correction=True)


@pytest.mark.parametrize(
    ("body", "changes", "reason"),
    [
        (b"\xff", {}, "invalid_json"),
        (b"[]", {}, "not_object"),
        (b"{}", {"type": "wave"}, "type_unknown"),
        (b"{}", {"message_id": None}, "message_id_missing"),
        (b'{"userId":{}}', {}, "id_not_string"),
        (b'{"timestamp":"soon"}', {}, "timestamp_invalid"),
        (b'{"context":5}', {}, "context_not_object"),
        (b"{}", {"shared": b"5"}, "not_object"),
    ],
)
def test_what_can_be_no_message_has_a_reason_for_quarantine(body: bytes, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unprocessable) as problem:
        normalize(record(body, **changes), skew_correction=True)
    assert problem.value.reason == reason
