"""`tabard tail` and `tabard trace`: messages as they come, and what became of one."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from tabard.commands.frame import (
    behind_text,
    data_option,
    example,
    json_option,
    not_found,
    print_block,
    print_json,
    print_json_line,
    print_line,
)
from tabard.compose.deliveries import InstallationDeliveries
from tabard.compose.identity import ignored_in
from tabard.compose.running import running_settings
from tabard.compose.store import message_reader, rules_of
from tabard.compose.workspace import named_source, open_workspace, source_names
from tabard.identity.words import IGNORED
from tabard.message.shown import message_document
from tabard.message.traits import iso_ms
from tabard.message.types import CALL_TYPES, StoredMessage, offset_of, position_text
from tabard.storage.interface import MessageReader
from tabard.storage.shown import reason_json
from tabard.storage.sqlite.installation import open_installation

_PAUSE_S: Final = 0.25
_AT_ONCE: Final = 500


@click.command(epilog=example("tabard tail", "tabard tail --source shop --type identify --last 100 --no-follow --json"))
@click.option("--source", "source_name", help="Only this source's.")
@click.option("--type", "call_type", type=click.Choice(CALL_TYPES), help="Only calls of this type.")
@click.option("--last", type=click.IntRange(0, 10_000), default=10, show_default=True, help="Show so many older ones.")
@click.option("--no-follow", is_flag=True, help="Stop after those instead of waiting for more.")
@data_option
@json_option
def tail(source_name: str | None, call_type: str | None, last: int, no_follow: bool, data: Path, as_json: bool) -> None:
    """Show messages as they are stored.

    With --json: one document a line while following, one of all `messages` with --no-follow.
    """
    source = _source_id(data, source_name) if source_name else None
    names = source_names(data)
    with contextlib.closing(message_reader(open_installation(data))) as reader:
        cursor = reader.resolved()
        older = reader.newest(last, source=source, call_type=call_type)[::-1] if last else []
        if no_follow and as_json:
            print_json({"messages": [message_document(each, names) for each in older]})
            return
        for each in older:
            _show(each, names, as_json=as_json)
        if no_follow:
            return
        for each in _following(reader, cursor):
            if source in (None, each.source) and call_type in (None, each.type):
                _show(each, names, as_json=as_json)


@click.command(epilog=example("tabard trace 0f2c7c1e-2f5e-4f4e-9f0e-6f8d1a2b3c4d", "tabard trace m1 --json"))
@click.argument("message_id")
@click.option("--verbose", is_flag=True, help="Show what each attempt sent and what came back.")
@data_option
@json_option
def trace(message_id: str, verbose: bool, data: Path, as_json: bool) -> None:
    """Follow one message: accepted, stored, and what each destination decided, tried and answered."""
    installation = open_installation(data)
    with contextlib.closing(message_reader(installation)) as reader:
        found = reader.find(message_id)
        dead = [reader.why_dead(each) for each in found]
    if not found:
        raise not_found("message", message_id, "it may not be stored yet; `tabard rejected` shows what was refused")
    deliveries = InstallationDeliveries(installation).trace(message_id)
    rules = rules_of(running_settings(installation))
    ignored = [ignored_in(each, rules) for each in found]
    names = source_names(data)
    if as_json:
        documents = [
            {**message_document(each, names), "dead": why and reason_json(why), "ignored": what}
            for each, why, what in zip(found, dead, ignored, strict=True)
        ]
        print_json({"messages": documents, "deliveries": deliveries})
        return
    for each, why, what in zip(found, dead, ignored, strict=True):
        source = names.get(each.source, each.source)
        print_line(f"accepted    {iso_ms(each.received_at)} at {position_text(each.position)}, source {source}")
        print_line(f"happened    {iso_ms(each.timestamp)}")
        print_line(f"stored      {_summary(each)}")
        if why:
            print_line(f"{why.name:11} {why.sentence}")
            if why.message:
                print_line(f"            {behind_text(why.message, names)}")
        if what:
            print_line(f"ignored     {IGNORED[what]}")
    for entry in deliveries:
        reason = ": ".join(str(entry[key]) for key in ("code", "reason") if entry.get(key))
        print_line(f"{entry['outcome']:11} {entry['name']} ({entry['kind']}, by its {entry['how']}) {reason}".rstrip())
        for attempt in entry["attempts"]:
            said = " ".join(str(attempt[key]) for key in ("outcome", "code", "reason") if attempt[key])
            print_line(f"  attempt   {attempt['at']} {said} after {attempt['tookMs']} ms")
            if verbose and attempt["request"]:
                print_block(f"{attempt['request']}\n\n{attempt['answer']}\n")


def _source_id(data: Path, name: str) -> str:
    with open_workspace(data) as workspace:
        return named_source(workspace, name).id


def _following(reader: MessageReader, cursor: dict[int, int]) -> Iterator[StoredMessage]:
    """Messages stored after the cursor, for ever."""
    while True:
        fresh: list[StoredMessage] = []
        for partition, end in reader.resolved().items():
            at = cursor.get(partition, 0)
            while at < end and (found := reader.read(partition, at, _AT_ONCE)):
                fresh += found
                at = offset_of(found[-1].position) + 1
            cursor[partition] = max(at, end)
        yield from sorted(fresh, key=lambda each: each.received_at)
        time.sleep(_PAUSE_S)


def _show(message: StoredMessage, names: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json_line(message_document(message, names))
    else:
        print_line(f"{iso_ms(message.received_at)}  {position_text(message.position):>10}  {_summary(message)}")


def _summary(message: StoredMessage) -> str:
    body: dict[str, Any] = msgspec.json.decode(message.body) if message.body else {}
    who = " ".join(f"{key}={body[key]}" for key in ("userId", "anonymousId", "groupId", "previousId") if body.get(key))
    what = body.get("event") or body.get("name") or ""
    return f"{message.type:8} {who} {what}".rstrip() if body else f"{message.type:8} (erased)"
