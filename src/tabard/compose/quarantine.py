"""Records that could not be processed: shown with what becomes of them today, and tried again."""

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from tabard.clock import Clock
from tabard.compose.controls import ADMIN_PARTITION, LOCK_WAIT_S
from tabard.compose.running import running_settings
from tabard.compose.store import message_reader, rules_of
from tabard.identity.rules import Rules
from tabard.log.drivers.sqlite import LogOptions, SqliteLogWriter
from tabard.log.interface import LogEntry
from tabard.log.quarantine import QuarantinedRecord, QuarantineReader
from tabard.message.traits import iso_ms
from tabard.message.types import position, position_text
from tabard.resolver.stages import resolve
from tabard.storage.interface import MessageReader
from tabard.storage.sqlite.database import is_made
from tabard.storage.sqlite.installation import Installation

PREVIEW_BYTES: Final = 400
"""How much of a record is shown."""

_APPENDED_AT_ONCE: Final = 100

UNREADABLE: Final = "unreadable"
READABLE: Final = "readable"
STORED: Final = "stored"
"""What this release says of a record: it cannot read it either; it can; it did, and the message is stored."""


class Retried(msgspec.Struct, frozen=True):
    """What a retry did: records handed in again, stored before already, and not readable by this release either."""

    handed_in: int
    stored: int
    unreadable: int


class InstallationQuarantine:
    """Reads the quarantine (`web.deps.QuarantineReader`)."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def shown(self, limit: int) -> dict[str, Any]:
        """At most `limit` records as JSON data, newest first (`quarantined`), and how many are `kept` and `dropped`."""
        with (
            contextlib.closing(QuarantineReader(self._installation.quarantine_db)) as reader,
            _judge(self._installation) as judge,
        ):
            rows = [_shown(each, judge.now(each)) for each in islice(reader.newest_first(), limit)]
        return {**self.books(), "quarantined": rows}

    def books(self) -> dict[str, int]:
        """How many records are `kept`, and how many were `dropped` for newer ones."""
        with contextlib.closing(QuarantineReader(self._installation.quarantine_db)) as reader:
            kept, dropped = reader.books()
        return {"kept": kept, "dropped": dropped}


def retry(installation: Installation, clock: Clock) -> Retried:
    """Hands every record that this release can read and that is not stored to the log once more, as it was accepted.

    The resolver takes it from there; a message that is stored meanwhile is a duplicate. The records stay listed. Raises
    `LogUnavailable`.
    """
    counts = dict.fromkeys((READABLE, STORED, UNREADABLE), 0)
    again: list[bytes] = []
    options = LogOptions(lock_wait_s=LOCK_WAIT_S)
    with (
        contextlib.closing(QuarantineReader(installation.quarantine_db)) as reader,
        _judge(installation) as judge,
        contextlib.closing(SqliteLogWriter(installation.log, ADMIN_PARTITION, options, clock)) as log,
    ):
        for each in reader.newest_first():
            now = judge.now(each)
            counts[now] += 1
            if now == READABLE:
                again.append(each.value)
            if len(again) == _APPENDED_AT_ONCE:
                log.append(again)
                again.clear()
        if again:
            log.append(again)
    return Retried(counts[READABLE], counts[STORED], counts[UNREADABLE])


class _Judge:
    """Says what this release makes of a record."""

    def __init__(self, rules: Rules, messages: MessageReader | None, *, skew_correction: bool) -> None:
        self._rules = rules
        self._messages = messages
        self._skew_correction = skew_correction

    def now(self, record: QuarantinedRecord) -> str:
        entry = LogEntry(record.partition, record.offset, record.value)
        resolved, _ = resolve([entry], self._rules, skew_correction=self._skew_correction)
        if not resolved:
            return UNREADABLE
        message = resolved[0].message
        is_stored = self._messages is not None and self._messages.holds(message.source, message.message_id)
        return STORED if is_stored else READABLE


@contextlib.contextmanager
def _judge(installation: Installation) -> Iterator[_Judge]:
    settings = running_settings(installation)
    messages = message_reader(installation) if is_made(installation.store_db) else None
    try:
        yield _Judge(rules_of(settings), messages, skew_correction=settings.skew_correction)
    finally:
        if messages:
            messages.close()


def _shown(record: QuarantinedRecord, now: str) -> dict[str, Any]:
    code, _, message = record.reason.partition(": ")
    return {
        "at": iso_ms(record.at_ms),
        "position": position_text(position(record.partition, record.offset)),
        "component": record.component,
        "version": record.version,
        "code": code,
        "message": message,
        "bytes": len(record.value),
        "preview": record.value[:PREVIEW_BYTES].decode("utf-8", "backslashreplace"),
        "now": now,
    }
