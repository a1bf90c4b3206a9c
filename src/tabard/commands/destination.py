"""`tabard destination`: where messages go."""

from collections.abc import Callable, Mapping
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
from tabard.compose import pausing
from tabard.compose.apply import make_so, planned
from tabard.compose.destination_probe import ask_destination
from tabard.compose.destinations import DestinationDesk, desk_of
from tabard.compose.running import running_settings
from tabard.compose.workspace import named_destination, open_workspace, source_names
from tabard.delivery.addresses import REFUSED, refused_host
from tabard.destinations.kit.field import Field
from tabard.message.traits import iso_ms
from tabard.storage.sqlite.installation import open_installation
from tabard.workspace.declaration import Declaration, DeclarationInvalid, DestinationDeclared
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
    desk = desk_of(open_installation(data))
    declared = DestinationDeclared(
        name=name,
        destination=kind,
        enabled=not given["disabled"],
        settings=_settings(given["pairs"], desk, kind),
        sources=given["sources"],
        start=given["start"],
        options=_options(given["options"]),
    )
    with open_workspace(data) as workspace:
        if any(each.name == name for each in workspace.destinations()):
            raise CommandFailed("name_taken", f"there is a destination {name!r}; choose another name", EXIT_USAGE)
        make_so(workspace, desk, planned(workspace, desk, Declaration(destinations=(declared,)), clock), clock)
        stored = named_destination(workspace, name)
    _print(stored, desk, data, as_json=as_json)


@destination.command("list", epilog=example("tabard destination list --json"))
@data_option
@json_option
def list_destinations(data: Path, as_json: bool) -> None:
    """List the destinations; secrets are not shown."""
    desk = desk_of(open_installation(data))
    with open_workspace(data) as workspace:
        found = workspace.destinations()
    if as_json:
        print_json([_document(each, desk) for each in found])
        return
    print_table(
        ("NAME", "KIND", "STATE", "SUBSCRIPTIONS", "ID"),
        (
            (each.name, each.slug, _state(each), ", ".join(one.name for one in each.subscriptions), each.id)
            for each in found
        ),
    )


@destination.command(epilog=example("tabard destination enable crm"))
@click.argument("name")
@data_option
@json_option
def enable(name: str, data: Path, as_json: bool) -> None:
    """Deliver to it (again) what comes from now on; `tabard replay start` sends it what was filtered meanwhile."""
    _change(name, data, lambda found: msgspec.structs.replace(found, enabled=True), as_json=as_json)


@destination.command(epilog=example("tabard destination disable crm"))
@click.argument("name")
@data_option
@json_option
def disable(name: str, data: Path, as_json: bool) -> None:
    """Send it nothing: messages are filtered as `destination_disabled` until it is enabled."""
    _change(name, data, lambda found: msgspec.structs.replace(found, enabled=False), as_json=as_json)


@destination.command(epilog=example("tabard destination pause crm"))
@click.argument("name")
@data_option
@json_option
def pause(name: str, data: Path, as_json: bool) -> None:
    """Send it nothing until `resume`, and lose nothing: messages, replays, resends and deletions wait."""
    installation = open_installation(data)
    _print(pausing.pause(installation, name, SystemClock()), desk_of(installation), data, as_json=as_json)


@destination.command(epilog=example("tabard destination resume crm"))
@click.argument("name")
@data_option
@json_option
def resume(name: str, data: Path, as_json: bool) -> None:
    """End a pause. A destination that rests by itself, because it fails, is tried at once."""
    installation = open_installation(data)
    _print(pausing.resume(installation, name, SystemClock()), desk_of(installation), data, as_json=as_json)


@destination.command("set", epilog=example("tabard destination set crm --set url=https://crm.example/v2/hook"))
@click.argument("name")
@_set_option
@_option_option
@data_option
@json_option
def set_settings(name: str, pairs: tuple[str, ...], options: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Change settings and delivery options of a destination; those not named stay, `NAME=` takes one away."""
    desk = desk_of(open_installation(data))

    def change(found: DestinationInstance) -> DestinationInstance:
        return msgspec.structs.replace(
            found,
            settings=_over(found.settings, _settings(pairs, desk, found.slug)),
            options=_over(found.options, _options(options)),
        )

    _change(name, data, change, as_json=as_json)


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
    installation = open_installation(data)
    with open_workspace(data) as workspace:
        found = named_destination(workspace, name)
    ask_destination(found, desk_of(installation), running_settings(installation))
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
        print_json([{"kind": each.slug, "name": each.name, "settings": list(each.settings)} for each in known])
        return
    print_table(
        ("KIND", "NAME", "SETTINGS"),
        ((each.slug, each.name, ", ".join(_setting(*pair) for pair in each.settings.items())) for each in known),
    )


def _change(
    name: str, data: Path, change: Callable[[DestinationInstance], DestinationInstance], *, as_json: bool
) -> None:
    desk = desk_of(open_installation(data))
    with open_workspace(data) as workspace:
        changed = desk.sealed(change(desk.opened(named_destination(workspace, name))))
        stored = workspace.put_destination(changed, SystemClock().now_ms())
    _print(stored, desk, data, as_json=as_json)


def _settings(pairs: tuple[str, ...], desk: DestinationDesk, kind: str) -> dict[str, Any]:
    """The settings as given; JSON where the field is an object or a list. Unknown names are refused."""
    fields = desk.kind(kind).settings
    found = dict(map(_pair, pairs))
    for key in found:
        if key not in fields:
            raise DeclarationInvalid(f"a {kind} has no setting {key!r}; it has {', '.join(fields)}")
    return desk.read_settings(kind, found)


def _options(pairs: tuple[str, ...]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in map(_pair, pairs)}


def _over(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was there with what was given over it, without those given as nothing."""
    return {key: value for key, value in {**present, **given}.items() if given.get(key, value) != ""}


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CommandFailed("usage", f"write NAME=VALUE, not {text!r}", EXIT_USAGE)
    return name, value


def _plain(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _state(instance: DestinationInstance) -> str:
    words = ("enabled" if instance.enabled else "disabled", "paused" if instance.paused_at else "")
    return ", ".join(filter(None, words))


def _setting(name: str, field: Field) -> str:
    return f"{name}{'' if field.required else '?'}{' (secret)' if field.secret else ''}"


def _print(instance: DestinationInstance, desk: DestinationDesk, data: Path, *, as_json: bool) -> None:
    """Prints a stored destination, and on standard error what keeps it from getting anything."""
    host = refused_host(instance.settings)
    if host and instance.enabled and not running_settings(open_installation(data)).egress_private:
        print_notes([f"{instance.name} is at {host}: {REFUSED}"])
    print_notes(desk.left_out(instance))
    document = _document(instance, desk)
    if as_json:
        print_json(document)
        return
    names = source_names(data)
    shown = document | {
        "enabled": "yes" if instance.enabled else "no",
        "pausedAt": document["pausedAt"] or "-",
        "settings": _pairs(document["settings"]),
        "subscriptions": ", ".join(f"{each.name} ({each.subscribe})" for each in instance.subscriptions),
        "sources": ", ".join(names.get(each, each) for each in instance.sources) or "all",
        "options": _pairs(instance.options),
    }
    for key, value in shown.items():
        print_line(f"{key:14} {value}".rstrip())


def _pairs(values: Mapping[str, Any]) -> str:
    """Settings or options as they are given on the command line."""
    plain = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in values.items()
    }
    return " ".join(f"{key}={value}" for key, value in plain.items())


def _document(instance: DestinationInstance, desk: DestinationDesk) -> dict[str, Any]:
    return {
        "id": instance.id,
        "name": instance.name,
        "kind": instance.slug,
        "enabled": instance.enabled,
        "pausedAt": iso_ms(instance.paused_at) if instance.paused_at else None,
        "settings": desk.shown_settings(instance),
        "subscriptions": [
            {
                "id": each.id,
                "name": each.name,
                "action": each.action,
                "subscribe": each.subscribe,
                "enabled": each.enabled,
            }
            for each in instance.subscriptions
        ],
        "sources": list(instance.sources),
        "start": instance.start,
        "options": instance.options,
        "version": instance.version,
    }
