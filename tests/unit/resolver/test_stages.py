"""The route of a record: what is a message goes on, what is none is named and set aside."""

import msgspec

from tabard.identity.rules import Rules
from tabard.log.codec import encode
from tabard.log.interface import LogEntry
from tabard.message.types import CONTROL, RECORD_VERSION, SERVER_TRUST, Record
from tabard.resolver.stages import resolve


def value(kind: str, body: bytes) -> bytes:
    return encode(Record(RECORD_VERSION, "s", kind, int(SERVER_TRUST), 5, body))


def test_each_kind_of_unreadable_entry_is_set_aside_under_its_name_and_the_others_keep_their_order() -> None:
    good = msgspec.json.encode({"messageId": "m", "userId": "u", "event": "E"})
    values = [
        value("track", good),
        b"junk",
        value("track", b"[1]"),
        value("dance", good),
        value(CONTROL, msgspec.json.encode({"messageId": "c", "type": "delete"})),
        value("track", good),
    ]
    entries = [LogEntry(2, offset, one) for offset, one in enumerate(values, 7)]
    resolved, unresolved = resolve(entries, Rules(), skew_correction=True)
    assert [one.position & 0xFF for one in resolved] == [7, 12]
    assert [(one.entry.offset, one.reason) for one in unresolved] == [
        (8, "record_unreadable"),
        (9, "not_object"),
        (10, "type_unknown"),
        (11, "control_unreadable"),
    ]
    assert "delete" in unresolved[-1].problem
