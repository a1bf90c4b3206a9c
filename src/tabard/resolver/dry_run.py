"""`tabard resolve FILE`: lines of an export through the real engine on a store of their own, without a log."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec

from tabard.identity.controls import ControlUnreadable
from tabard.identity.rules import Rules
from tabard.message.normalize import Unprocessable, identifier_text, message_id_text, normalize
from tabard.message.traits import parse_instant
from tabard.message.types import CALL_TYPES, CONTROL, RECORD_VERSION, SERVER_TRUST, Record
from tabard.resolver.stages import resolved_as
from tabard.storage.interface import Consumed, Resolved, StoreWriter

BATCH: Final = 1000
SOURCE: Final = "resolve"
LOG_ID: Final = "dry-run"
TIMES: Final = ("receivedAt", "sentAt", "timestamp", "originalTimestamp")
"""The fields a line's time is made from; without any of them it is 0."""

_IDS: Final = {
    **dict.fromkeys(("userId", "anonymousId", "previousId", "groupId"), identifier_text),
    "messageId": message_id_text,
}

CONTROL_FORMS: Final = ("delete", "suppress", "unsuppress", "cut", "uncut", "ungroup")
"""The control forms of spec/identity/examples.json, accepted beside wire calls."""


class LineUnreadable(ValueError):
    """A line that is no call and no control; the text names what is wrong with it, and the fix."""


class DryRunStore(StoreWriter, Protocol):
    """A store that can show all it holds."""

    def dump(self) -> dict[str, Any]: ...


def dry_run(lines: Iterable[dict[str, Any]], store: DryRunStore, rules: Rules) -> dict[str, Any]:
    """The profiles and groups of these lines, fed in their order, as in spec/identity/examples.json.

    Raises `LineUnreadable`.
    """
    store.begin(LOG_ID)
    offset = 0
    for batch in _batches(resolved_lines(lines, rules)):
        end = offset + len(batch)
        store.apply(batch, [Consumed(0, offset, end, batch[-1].message.received_at)])
        offset = end
    while store.project(BATCH):
        pass
    return store.dump()


def resolved_lines(lines: Iterable[dict[str, Any]], rules: Rules, first: int = 0) -> Iterator[Resolved]:
    """Lines as messages of a trusted source, at the positions of partition 0 from `first` on.

    Raises `LineUnreadable`.
    """
    for at, line in enumerate(lines, first):
        try:
            message = normalize(record_of(line, at), skew_correction=True)
            yield resolved_as(message, at, rules)
        except (Unprocessable, ControlUnreadable) as problem:
            raise LineUnreadable(str(problem)) from problem


def record_of(line: dict[str, Any], number: int) -> Record:
    """The record a line stands for. Received when it says, else when it happened: the answer must not depend on now.

    Values that can be no identifier (true, fractions, lists, objects), which the collector refuses, are absent here
    (identity.md A3).
    """
    kind = line.get("type")
    body = {key: value if key not in _IDS or _is_sound(key, value) else None for key, value in line.items()}
    if kind not in (*CALL_TYPES, *CONTROL_FORMS):
        known = ", ".join((*CALL_TYPES, *CONTROL_FORMS))
        raise LineUnreadable(f"type {kind!r} is no call and no control; there are {known}")
    times = [parse_instant(line.get(field)) or 0 for field in TIMES]
    received = times[0] or max(times)
    return Record(
        version=RECORD_VERSION,
        source=SOURCE,
        type=CONTROL if kind in CONTROL_FORMS else str(kind),
        trust=int(SERVER_TRUST),
        received_at=received,
        body=msgspec.json.encode(body),
        message_id=f"line-{number + 1}",
    )


def _is_sound(field: str, value: Any) -> bool:
    try:
        _IDS[field](value)
    except TypeError:
        return False
    return True


def _batches(resolved: Iterable[Resolved]) -> Iterator[list[Resolved]]:
    batch: list[Resolved] = []
    for one in resolved:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
