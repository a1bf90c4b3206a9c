"""Records survive the way through bytes, and bytes that are no record say so."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.log.codec import RecordUnreadable, decode, encode
from tabard.message.types import RECORD_VERSION, Record

RECORDS = st.builds(
    Record,
    version=st.just(RECORD_VERSION),
    source=st.text(),
    type=st.text(),
    trust=st.integers(0, 15),
    received_at=st.integers(0, 2**53),
    body=st.binary(),
    message_id=st.none() | st.text(),
    shared=st.none() | st.binary(),
    ip=st.none() | st.text(),
    user_agent=st.none() | st.text(),
    warnings=st.lists(st.text(), max_size=3).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(RECORDS)
def test_a_record_comes_back_as_it_went(record: Record) -> None:
    assert decode(encode(record)) == record


@settings(max_examples=300, deadline=None)
@given(st.binary() | RECORDS.map(encode).flatmap(lambda text: st.integers(0, len(text) - 1).map(lambda at: text[:at])))
def test_bytes_that_are_no_record_are_refused_by_name(value: bytes) -> None:
    with pytest.raises(RecordUnreadable):
        decode(value)


def test_a_record_of_another_version_is_refused_by_its_version() -> None:
    newer = msgspec.msgpack.encode(Record(RECORD_VERSION + 1, "s", "track", 0, 0, b"{}"))
    with pytest.raises(RecordUnreadable, match=f"version {RECORD_VERSION + 1}"):
        decode(newer)
