"""A `Record` as bytes and back, with a version first, so that a later release reads what an earlier one accepted."""

import msgspec

from tabard.message.types import RECORD_VERSION, Record

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class RecordUnreadable(Exception):
    """The bytes of a log entry are no record of a version we know; they go to quarantine."""


def encode(record: Record) -> bytes:
    """The record as MessagePack: an array whose first element is the version."""
    return _encoder.encode(record)


def decode(value: bytes) -> Record:
    """The record that `encode` made these bytes from. Raises `RecordUnreadable`, naming what is wrong."""
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise RecordUnreadable(f"not a record: {problem}") from problem
    if record.version != RECORD_VERSION:
        raise RecordUnreadable(f"record version {record.version}, this release reads {RECORD_VERSION}")
    return record
