"""Lines of an export as records: received when they say, odd ids absent, unknown types refused."""

from typing import Any

import msgspec
import pytest

from tabard.identity.rules import Fact, Rules, read
from tabard.message.normalize import normalize
from tabard.message.parse import Refused, judge
from tabard.message.rejection import Reason
from tabard.message.types import RECORD_VERSION, SERVER_TRUST, Record
from tabard.resolver.dry_run import LineUnreadable, record_of, resolved_lines

T = "2024-05-01T12:00:02.000Z"


def timestamp(line: dict[str, Any]) -> int:
    (resolved,) = resolved_lines([line], Rules())
    return resolved.message.timestamp


def test_an_event_time_depends_on_the_line_alone() -> None:
    line = {"type": "track", "event": "E", "userId": "u", "messageId": "m", "timestamp": T}
    assert timestamp(line) == 1_714_564_802_000
    assert timestamp({**line, "sentAt": "2024-05-01T12:00:09.000Z"}) == 1_714_564_802_000
    shifted = {**line, "sentAt": "2024-05-01T12:00:09.000Z", "receivedAt": "2024-05-01T12:00:10.000Z"}
    assert timestamp(shifted) == 1_714_564_803_000
    only = {key: value for key, value in line.items() if key != "timestamp"}
    assert timestamp({**only, "originalTimestamp": T}) == 1_714_564_802_000


def test_a_time_is_never_later_than_the_receipt() -> None:
    line = {"type": "page", "anonymousId": "d", "messageId": "m", "timestamp": "2035-01-01T00:00:00Z", "receivedAt": T}
    assert timestamp(line) == 1_714_564_802_000


@pytest.mark.parametrize("value", [True, [], {"a": 1}, 1.5])
def test_a_value_that_can_be_no_identifier_is_absent(value: Any) -> None:
    line = {"type": "track", "event": "E", "userId": value, "anonymousId": "d", "messageId": "m", "timestamp": T}
    (resolved,) = resolved_lines([line], Rules())
    assert resolved.reading.fact is not None
    assert resolved.reading.fact.subject == "anon:d"


def line_with(field: str, value: Any) -> dict[str, Any]:
    """A call in which an id has this value, of a type that must have the id."""
    kind = {"groupId": "group", "previousId": "alias"}.get(field, "track")
    ids = {"userId": "u", "anonymousId": "d", "groupId": "g", "previousId": "p"}
    return {"type": kind, "event": "E", "messageId": "m", "timestamp": T, **ids, field: value}


def fact_of(line: dict[str, Any]) -> Fact | None:
    (resolved,) = resolved_lines([line], Rules())
    return resolved.reading.fact


IDS = pytest.mark.parametrize("field", ["userId", "anonymousId", "groupId", "previousId"])


@IDS
@pytest.mark.parametrize("value", [7, 7.0, -3, "7", " 7 ", "1.5", 2.0**53, 10**30, "null", "-1"])
def test_an_id_names_whom_it_names_through_the_collector(field: str, value: Any) -> None:
    line = line_with(field, value)
    judge(line, None)
    record = Record(RECORD_VERSION, "s", line["type"], int(SERVER_TRUST), 1_714_564_802_000, msgspec.json.encode(line))
    assert fact_of(line) == read(normalize(record, skew_correction=True), Rules()).fact


@IDS
@pytest.mark.parametrize("value", [1.5, -0.25, 1e20, 1e300, True, [], {}])
def test_what_can_be_no_id_is_refused_by_the_collector_and_absent_here(field: str, value: Any) -> None:
    line = line_with(field, value)
    with pytest.raises(Refused) as refused:
        judge(line, None)
    assert (refused.value.rejection.reason, refused.value.rejection.field) == (Reason.ID_NOT_STRING, field)
    assert fact_of(line) == fact_of({**line, field: None})


def test_control_forms_stand_beside_wire_calls() -> None:
    (resolved,) = resolved_lines([{"type": "delete", "ids": ["user:u"], "messageId": "m", "timestamp": T}], Rules())
    assert [control.kind for control in resolved.reading.controls] == ["delete"]


def test_what_a_line_is_that_is_neither_is_said_with_what_there_is() -> None:
    with pytest.raises(LineUnreadable, match="type 'dance' is no call and no control; there are identify"):
        record_of({"type": "dance"}, 2)


def test_what_is_wrong_with_a_control_is_said() -> None:
    lines = [{"type": "page", "anonymousId": "d"}, {"type": "cut", "a": "user:u", "b": "nonsense"}]
    with pytest.raises(LineUnreadable, match=r"^cut: 'nonsense' is no identifier"):
        list(resolved_lines(lines, Rules()))
