"""The route of a record in the resolver: decode → normalise → read by the rules; what cannot go on is quarantined."""

from collections.abc import Iterable
from typing import Final

import msgspec

from tabard.identity.controls import ControlUnreadable
from tabard.identity.rules import Rules, read
from tabard.log.codec import RecordUnreadable, decode
from tabard.log.interface import LogEntry
from tabard.message.normalize import Unprocessable, normalize, stored
from tabard.message.types import Message, position
from tabard.profiles.advice import oddities
from tabard.storage.interface import Resolved

UNFORESEEN: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a defect of ours raises on a message nobody thought of: that message is set aside, the others go on."""


class Unresolved(msgspec.Struct, frozen=True):
    """A log entry that can be no message: its bytes and why."""

    entry: LogEntry
    reason: str
    problem: str


def resolve(
    entries: Iterable[LogEntry], rules: Rules, *, skew_correction: bool
) -> tuple[list[Resolved], list[Unresolved]]:
    """The messages of log entries as the rules read them, in the same order, and those that are none."""
    resolved: list[Resolved] = []
    unresolved: list[Unresolved] = []
    for entry in entries:
        try:
            message = normalize(decode(entry.value), skew_correction=skew_correction)
            resolved.append(resolved_as(message, position(entry.partition, entry.offset), rules))
        except RecordUnreadable as problem:
            unresolved.append(Unresolved(entry, "record_unreadable", str(problem)))
        except Unprocessable as problem:
            unresolved.append(Unresolved(entry, problem.reason, str(problem)))
        except ControlUnreadable as problem:
            unresolved.append(Unresolved(entry, "control_unreadable", str(problem)))
        except UNFORESEEN as problem:
            unresolved.append(Unresolved(entry, "unforeseen", repr(problem)))
    return resolved, unresolved


def resolved_as(message: Message, at: int, rules: Rules) -> Resolved:
    """A message as the rules read it, encoded for the store at its position. Raises `ControlUnreadable`."""
    odd = oddities(message.body.get("traits")) if message.type == "identify" else ()
    return Resolved(stored(message, at), read(message, rules), message.warnings, odd)
