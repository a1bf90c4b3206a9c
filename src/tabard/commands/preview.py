"""`tabard preview`: what a destination would send."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from tabard.commands.frame import (
    EXIT_USAGE,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
    print_notes,
)
from tabard.compose.destinations import DestinationDesk, desk_of, desk_without_installation
from tabard.compose.preview import (
    Asked,
    alone,
    compiled_for_preview,
    one_json,
    preview_last,
    preview_one,
    summary_json,
    without_secrets,
)
from tabard.compose.workspace import named_destination, open_workspace
from tabard.delivery.compiled import Compiled
from tabard.message.parse import Refused, judge
from tabard.storage.sqlite.installation import Installation, open_installation
from tabard.workspace.declaration import DeclarationInvalid
from tabard.workspace.edit import SubscriptionEdit
from tabard.workspace.types import DestinationInstance, DestinationUnknown


@click.command(
    epilog=example(
        "tabard preview webhook --settings url=https://crm.example/in --event call.json",
        "tabard preview crm --last 1000 --json",
    )
)
@click.argument("destination")
@click.option("--settings", "given", multiple=True, metavar="FILE|JSON|NAME=VALUE", help="All as JSON, or one each.")
@click.option("--event", type=click.Path(path_type=Path, allow_dash=True), help="A file with one call; `-` is stdin.")
@click.option("--action", help="Only this action, on every message, instead of the subscriptions.")
@click.option("--mapping", type=click.Path(path_type=Path), help="With --action: a JSON file with its mapping.")
@click.option("--last", type=click.IntRange(1, 100_000), help="Sum up the last N stored messages instead.")
@data_option
@json_option
def preview(destination: str, data: Path, as_json: bool, **options: Any) -> None:
    """Print the requests that would go out for a call, or why none would.

    --json prints a list of requests; where none would go out, {"requests": [], "refusals": […]} says why.

    DESTINATION is one of the workspace, by name, or a kind such as `webhook` with --settings. Secrets are cut out; the
    call is taken as a server's.
    """
    compiled = _compiled(destination, data, options)
    now = datetime.now(UTC)
    if options["last"]:
        _print_summary(compiled, data, options["last"], now, as_json=as_json)
        return
    if options["event"] is None:
        raise CommandFailed("usage", "give a call with --event FILE, or --last N", EXIT_USAGE)
    shown = one_json(without_secrets(preview_one(compiled, Asked(_call(options["event"])), now), compiled))
    requests, refusals = shown["requests"], shown["refusals"]
    if as_json:
        print_json(requests or shown)
        if requests:
            print_notes(f"{each['kind']}: {each['reason']}" for each in refusals)
        return
    for request in requests:
        print_line(f"{request['method']} {request['url']}")
        for name, value in request["headers"].items():
            print_line(f"  {name}: {value}")
        print_line()
        print_line(request["body"])
        print_line()
    for refusal in refusals:
        place = f" ({refusal['field']})" if refusal.get("field") else ""
        print_line(f"{refusal['kind']}: {refusal['reason']}{place}")


def _print_summary(compiled: Compiled, data: Path, last: int, now: datetime, *, as_json: bool) -> None:
    summary = preview_last(open_installation(data), compiled, last, now)
    if as_json:
        print_json(summary_json(summary))
        return
    print_line(f"{summary.messages} messages: {summary.requests} requests; {summary.people} people touched")
    print_line(f"would create about {summary.profiles} profiles there, fewer where it knows them already")
    for reason, number in summary.refusals.items():
        print_line(f"{number:8} {reason}")


def _compiled(name: str, data: Path, options: dict[str, Any]) -> Compiled:
    """The instance of that name, else a new one of that kind, with what the options change."""
    installation = Installation(data)
    desk = desk_of(installation) if installation.exists() else desk_without_installation()
    found = _instance(name, data, desk) if installation.exists() else None
    kind = desk.kind(found.slug if found else name)
    settings = {**(desk.opened(found).settings if found else {}), **_settings(options["given"], set(kind.settings))}
    if found is None:
        subscriptions = desk.preset_subscriptions(name)
        found = DestinationInstance(id="preview", name=name, slug=name, subscriptions=subscriptions)
    if options["action"]:
        mapping = _object(options["mapping"]) if options["mapping"] else msgspec.UNSET
        found = alone(desk, found, "", SubscriptionEdit(action=options["action"], mapping=mapping))
    if not found.enabled:
        print_notes([f"{name} is disabled: this is what it would send if it were enabled"])
    return compiled_for_preview(desk, found, settings)


def _instance(name: str, data: Path, desk: DestinationDesk) -> DestinationInstance | None:
    """The instance of that name; None where it names a kind instead."""
    with open_workspace(data) as workspace:
        try:
            return named_destination(workspace, name)
        except DestinationUnknown:
            if name in {kind.slug for kind in desk.kinds()}:
                return None
            raise


def _settings(given: tuple[str, ...], fields: set[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for each in given:
        if each.lstrip().startswith("{"):
            settings |= _decoded(each, "--settings")
            continue
        name, separator, value = each.partition("=")
        if separator and name in fields:
            try:
                settings[name] = msgspec.json.decode(value)
            except msgspec.DecodeError:
                settings[name] = value
        elif separator and not Path(each).exists():
            raise DeclarationInvalid(f"there is no setting {name!r}; there are {', '.join(sorted(fields))}")
        else:
            settings |= _object(Path(each))
    return settings


def _call(file: Path) -> dict[str, Any]:
    """A call as the collector would take it. Raises `CommandFailed` with the reason for which it would be refused."""
    call = _object(file)
    try:
        judge(call, None)
    except Refused as refused:
        reason = f"the collector would refuse this call: {refused}"
        raise CommandFailed(refused.rejection.reason, reason, EXIT_USAGE) from refused
    return call


def _object(file: Path) -> dict[str, Any]:
    return _decoded(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes(), str(file))


def _decoded(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as problem:
        raise CommandFailed("usage", f"{what} holds no JSON object: {problem}", EXIT_USAGE) from problem
