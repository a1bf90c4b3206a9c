"""Lines of an export as records: received when they say, odd ids absent, unknown types refused."""

from typing import Any

import pytest

from tabard.identity.rules import Rules
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


def test_control_forms_stand_beside_wire_calls() -> None:
    (resolved,) = resolved_lines([{"type": "delete", "ids": ["user:u"], "messageId": "m", "timestamp": T}], Rules())
    assert [control.kind for control in resolved.reading.controls] == ["delete"]


def test_a_line_that_is_neither_is_named() -> None:
    with pytest.raises(LineUnreadable, match="line 3"):
        record_of({"type": "dance"}, 2)


def test_a_control_that_cannot_be_read_is_named_by_its_line() -> None:
    lines = [{"type": "page", "anonymousId": "d"}, {"type": "cut", "a": "user:u", "b": "nonsense"}]
    with pytest.raises(LineUnreadable, match="line 2: cut: 'nonsense' is no identifier"):
        list(resolved_lines(lines, Rules()))
