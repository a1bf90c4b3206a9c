"""`tabard destination`: where messages go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from tabard.clock import SystemClock
from tabard.commands.frame import (
    EXIT_USAGE,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
    print_notes,
    print_table,
)
from tabard.compose.apply import make_so, planned
from tabard.compose.configured import ConfiguredDestinations
from tabard.compose.destinations import desk_of
from tabard.compose.workspace import named_destination, open_workspace
from tabard.destinations.kit.field import Field
from tabard.storage.sqlite.installation import open_installation
from tabard.workspace.declaration import Declaration, DestinationDeclared
from tabard.workspace.edit import DestinationEdit, plain_value
from tabard.workspace.types import DestinationInstance

_set_option = click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting; repeat it.")

_option_option = click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="A delivery option, such as record=all."
)


@click.group(
    epilog=example("tabard destination add webhook crm --set url=https://crm.example/hook", "tabard destination list")
)
def destination() -> None:
    """Destinations and what they get."""


@destination.command(epilog=example("tabard destination add webhook crm --set url=https://crm.example/in --start now"))
@click.argument("kind")
@click.argument("name")
@_set_option
@_option_option
@click.option("--source", "sources", multiple=True, help="Only messages of this source; repeat it. None given: all.")
@click.option("--start", default="now", show_default=True, help="Where to begin: now, beginning, or an ISO time.")
@click.option("--disabled", is_flag=True, help="Add it switched off.")
@data_option
@json_option
def add(kind: str, name: str, data: Path, as_json: bool, **given: Any) -> None:
    """Add a destination of a kind (`webhook`, …) with the subscriptions its kind starts with."""
    clock = SystemClock()
    destinations, desk = _destinations(data), desk_of(open_installation(data))
    declared = DestinationDeclared(
        name=name,
        destination=kind,
        enabled=not given["disabled"],
        settings=desk.known_settings(kind, dict(map(_pair, given["pairs"]))),
        sources=given["sources"],
        start=given["start"],
        options=_options(given["options"]),
    )
    with open_workspace(data) as workspace:
        if any(each.name == name for each in workspace.destinations()):
            raise CommandFailed("name_taken", f"there is a destination {name!r}; choose another name", EXIT_USAGE)
        make_so(workspace, desk, planned(workspace, desk, Declaration(destinations=(declared,)), clock), clock)
        stored = named_destination(workspace, name)
    _print(stored, destinations, as_json=as_json)


@destination.command("list", epilog=example("tabard destination list --json"))
@data_option
@json_option
def list_destinations(data: Path, as_json: bool) -> None:
    """List the destinations; secrets are not shown."""
    found = _destinations(data).listed()
    if as_json:
        print_json({"destinations": found})
        return
    print_table(
        ("NAME", "KIND", "STATE", "SUBSCRIPTIONS", "ID"),
        (
            (
                each["name"],
                each["kind"],
                _state(each),
                ", ".join(one["name"] for one in each["subscriptions"]),
                each["id"],
            )
            for each in found
        ),
    )


@destination.command(epilog=example("tabard destination show crm", "tabard destination show crm --json"))
@click.argument("name")
@data_option
@json_option
def show(name: str, data: Path, as_json: bool) -> None:
    """Show one destination; with --json also its mappings, its books, and what its kind declares."""
    destinations = _destinations(data)
    if as_json:
        print_json(destinations.described(name))
        return
    with open_workspace(data) as workspace:
        found = named_destination(workspace, name)
    _print(found, destinations, as_json=False)


@destination.command(epilog=example("tabard destination enable crm"))
@click.argument("name")
@data_option
@json_option
def enable(name: str, data: Path, as_json: bool) -> None:
    """Deliver to it (again) what comes from now on; `tabard replay start` sends it what was filtered meanwhile."""
    _change(name, data, DestinationEdit(enabled=True), as_json=as_json)


@destination.command(epilog=example("tabard destination disable crm"))
@click.argument("name")
@data_option
@json_option
def disable(name: str, data: Path, as_json: bool) -> None:
    """Send it nothing: messages are filtered as `destination_disabled` until it is enabled."""
    _change(name, data, DestinationEdit(enabled=False), as_json=as_json)


@destination.command(epilog=example("tabard destination pause crm"))
@click.argument("name")
@data_option
@json_option
def pause(name: str, data: Path, as_json: bool) -> None:
    """Send it nothing until `resume`, and lose nothing: messages, replays, resends and deletions wait."""
    destinations = _destinations(data)
    _print(destinations.pause(name), destinations, as_json=as_json)


@destination.command(epilog=example("tabard destination resume crm"))
@click.argument("name")
@data_option
@json_option
def resume(name: str, data: Path, as_json: bool) -> None:
    """End a pause. A destination that rests by itself, because it fails, is tried at once."""
    destinations = _destinations(data)
    _print(destinations.resume(name), destinations, as_json=as_json)


@destination.command("set", epilog=example("tabard destination set crm --set url=https://crm.example/v2/hook"))
@click.argument("name")
@_set_option
@_option_option
@data_option
@json_option
def set_settings(name: str, pairs: tuple[str, ...], options: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Change settings and delivery options of a destination; those not named stay, `NAME=` takes one away."""
    _change(name, data, DestinationEdit(settings=dict(map(_pair, pairs)), options=_options(options)), as_json=as_json)


@destination.command(epilog=example("tabard destination remove crm"))
@click.argument("name")
@data_option
@json_option
def remove(name: str, data: Path, as_json: bool) -> None:
    """Remove a destination; what was delivered stays in traces."""
    with open_workspace(data) as workspace:
        found = named_destination(workspace, name)
        workspace.remove_destination(found.id, SystemClock().now_ms())
    if as_json:
        print_json({"removed": found.name, "id": found.id})
    else:
        print_line(f"removed {found.name}")


@destination.command(epilog=example("tabard destination test crm"))
@click.argument("name")
@data_option
@json_option
def test(name: str, data: Path, as_json: bool) -> None:
    """Ask a destination whether its settings work (credentials, URL)."""
    found = _destinations(data).test(name)
    if as_json:
        print_json({"ok": True, "name": found.name, "id": found.id})
    else:
        print_line(f"{found.name} accepts its settings")


@destination.command(epilog=example("tabard destination kinds"))
@data_option
@json_option
def kinds(data: Path, as_json: bool) -> None:
    """List the kinds there are, with their settings."""
    known = desk_of(open_installation(data)).kinds()
    if as_json:
        shown = [{"kind": each.slug, "name": each.name, "settings": list(each.settings)} for each in known]
        print_json({"kinds": shown})
        return
    print_table(
        ("KIND", "NAME", "SETTINGS"),
        ((each.slug, each.name, ", ".join(_setting(*pair) for pair in each.settings.items())) for each in known),
    )


def _destinations(data: Path) -> ConfiguredDestinations:
    return ConfiguredDestinations(open_installation(data), SystemClock())


def _change(name: str, data: Path, edit: DestinationEdit, *, as_json: bool) -> None:
    destinations = _destinations(data)
    _print(destinations.edit(name, edit), destinations, as_json=as_json)


def _options(pairs: tuple[str, ...]) -> dict[str, Any]:
    return {key: plain_value(value) for key, value in map(_pair, pairs)}


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CommandFailed("usage", f"write NAME=VALUE, not {text!r}", EXIT_USAGE)
    return name, value


def _state(listed: Mapping[str, Any]) -> str:
    words = (listed["state"] if listed["enabled"] else "disabled", "paused" if listed["pausedAt"] else "")
    return ", ".join(dict.fromkeys(filter(None, words)))


def _setting(name: str, field: Field) -> str:
    return f"{name}{'' if field.required else '?'}{' (secret)' if field.secret else ''}"


def _print(instance: DestinationInstance, destinations: ConfiguredDestinations, *, as_json: bool) -> None:
    """Prints a stored destination, and on standard error what keeps it from getting anything."""
    document = destinations.document(instance)
    print_notes(document["notes"])
    if as_json:
        print_json(document)
        return
    subscriptions = ", ".join(f"{each['name']} ({each['subscribe']})" for each in document["subscriptions"])
    shown = {key: document[key] for key in ("id", "name", "kind")} | {
        "enabled": "yes" if instance.enabled else "no",
        "pausedAt": document["pausedAt"] or "-",
        "settings": _pairs(document["settings"]),
        "subscriptions": subscriptions,
        "sources": ", ".join(document["sources"]) or "all",
        "start": instance.start,
        "options": _pairs(instance.options),
        "version": instance.version,
    }
    for key, value in shown.items():
        print_line(f"{key:14} {value}".rstrip())


def _pairs(values: Mapping[str, Any]) -> str:
    """Settings or options as they are given on the command line."""
    plain = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in values.items()
    }
    return " ".join(f"{key}={value}" for key, value in plain.items())
