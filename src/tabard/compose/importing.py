"""Backfill: lines of a file as messages, through the running collector, or straight into the admin partition."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec

from tabard.clock import Clock
from tabard.collector.accept import Parcel, Sender, accept
from tabard.collector.write_key import trust_of
from tabard.compose.collector_client import CollectorClient
from tabard.compose.controls import ADMIN_PARTITION, LOCK_WAIT_S
from tabard.log.drivers.sqlite import LogOptions, SqliteLogWriter
from tabard.message.limits import Limits
from tabard.settings import Settings
from tabard.storage.sqlite.installation import Installation
from tabard.workspace.types import Source

ITEMS_MAX: Final = 1000
BYTES_MAX: Final = 400_000
SHOWN_MAX: Final = 20

_OK: Final = 200


class ImportStopped(Exception):
    """The import cannot go on; the text says how far it came. The same file again goes on from there."""


class Line(msgspec.Struct, frozen=True):
    """One line: its number (from 1), the bytes read, and the call it holds as JSON ("" where it holds none)."""

    number: int
    read: int
    body: bytes


class RefusedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was not accepted, and why."""

    line: int
    code: str
    message: str


class Taken(msgspec.Struct, frozen=True):
    """What an intake says of a batch: how many it refused, and some of those by their index, with code and text."""

    rejected: int = 0
    shown: list[tuple[int, str, str]] = []


class Result(msgspec.Struct, kw_only=True):
    """What an import did. `refused` shows the first of the rejected lines, in their order."""

    accepted: int = 0
    rejected: int = 0
    refused: list[RefusedLine] = []


class Intake(Protocol):
    """Where a batch of calls goes."""

    def take(self, bodies: list[bytes]) -> Taken: ...


def import_batch(batch: list[Line], intake: Intake, result: Result) -> None:
    """Hands one batch in and adds up what became of it."""
    calls = [each for each in batch if each.body]
    taken = intake.take([each.body for each in calls]) if calls else Taken()
    refused = [
        RefusedLine(line=each.number, code="invalid_json", message="the line is no JSON object")
        for each in batch
        if not each.body
    ]
    result.accepted += len(calls) - taken.rejected
    result.rejected += len(refused) + taken.rejected
    refused += [RefusedLine(line=calls[at].number, code=code, message=text) for at, code, text in taken.shown]
    refused.sort(key=lambda each: each.line)
    result.refused += refused[: SHOWN_MAX - len(result.refused)]


def batches(lines: Iterable[bytes]) -> Iterator[list[Line]]:
    """The lines in batches the collector takes. Empty lines are skipped.

    A line without a messageId gets one made of its number and text, so that the same file again changes nothing.
    """
    batch: list[Line] = []
    size = 0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        line = Line(number, len(text), _call(text, number))
        if batch and (len(batch) == ITEMS_MAX or size + line.read > BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += line.read
    if batch:
        yield batch


def _call(text: bytes, number: int) -> bytes:
    try:
        call = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return b""
    if not call.get("messageId"):
        digest = hashlib.sha256(b"%d:%s" % (number, text.strip())).hexdigest()
        call["messageId"] = f"import-{digest[:32]}"
    return msgspec.json.encode(call)


class CollectorIntake:
    """The running collector's `/v1/batch`."""

    def __init__(self, client: CollectorClient) -> None:
        self._client = client

    def take(self, bodies: list[bytes]) -> Taken:
        """See `Intake`. Raises `Unreachable` or `ImportStopped` when the collector takes none for another reason."""
        answer = self._client.post_patiently("/v1/batch", b'{"batch":[' + b",".join(bodies) + b"]}")
        errors = [each for each in answer.document.get("errors", ()) if each.get("index") is not None]
        if answer.status != _OK and not errors:
            reason = answer.document.get("message", "without a reason")
            raise ImportStopped(f"the collector answered {answer.status}: {reason}")
        rejected = int(answer.document.get("rejected", 0)) if answer.status == _OK else len(bodies)
        return Taken(rejected, [(each["index"], each["code"], each["message"]) for each in errors])


class LogIntake:
    """The admin partition of the log, while no collector runs: the same acceptance, the same records.

    It holds the partition for a batch at a time, so that controls and a server that starts find it free in between.
    """

    def __init__(self, installation: Installation, settings: Settings, source: Source, clock: Clock) -> None:
        self._clock = clock
        self._source = source
        self._limits = Limits(
            message_bytes_max=settings.message_bytes_max,
            batch_bytes_max=settings.batch_bytes_max,
            batch_items_max=settings.batch_items_max,
            json_depth_max=settings.json_depth_max,
        )
        self._log = installation.log
        self._options = LogOptions(disk_floor_bytes=settings.disk_floor_bytes, lock_wait_s=LOCK_WAIT_S)

    def take(self, bodies: list[bytes]) -> Taken:
        """See `Intake`. Raises `LogUnavailable`."""
        parcel = Parcel(items=bodies, stated_keys=())
        sender = Sender(
            source=self._source.id,
            trust=int(trust_of(self._source)),
            received_at=self._clock.now_ms(),
            ip=None,
            user_agent=None,
            call_type=None,
        )
        accepted = accept(parcel, sender, self._limits, self._clock.new_id)
        if accepted.values:
            with contextlib.closing(SqliteLogWriter(self._log, ADMIN_PARTITION, self._options, self._clock)) as log:
                log.append(accepted.values)
        refusals = [each.rejection for each in accepted.refused]
        return Taken(len(refusals), [(each.index or 0, each.reason.value, each.message) for each in refusals])
