"""`tabard source`: where messages come from, and their write keys."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from tabard.clock import SystemClock
from tabard.collector.browser_assets import MANIFEST, snippet
from tabard.commands.frame import data_option, example, json_option, print_json, print_line, print_table
from tabard.compose.running import running_settings
from tabard.compose.workspace import named_source, open_workspace
from tabard.settings import collector_url
from tabard.storage.sqlite.installation import open_installation
from tabard.workspace.browser_options import BrowserOptionsInvalid, checked_browser_options
from tabard.workspace.sources import checked_name, rotated
from tabard.workspace.types import Source, SourceKind

browser_options: Final = click.option(
    "--browser-options",
    "browser_options",
    metavar="JSON|FILE",
    default="{}",
    help="Load options in the script of a browser source, e.g. '{\"spa\": true}', or a file of them.",
)


@click.group(epilog=example("tabard source add shop --kind browser", "tabard source list"))
def source() -> None:
    """Sources and their write keys."""


@source.command(epilog=example("tabard source add shop --kind browser --origin https://shop.example --json"))
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["server", "browser"]),
    default="server",
    show_default=True,
    help="browser: the key is public, so it cannot delete people, alias, or claim an e-mail for a userId.",
)
@click.option("--permissive", is_flag=True, help="Answer 200 to bad calls too, as Customer.io does; they are kept.")
@click.option("--origin", "origins", multiple=True, help="Allowed Origin of browsers; repeat it. None given: any.")
@click.option(
    "--rate", "rate_per_s", type=click.IntRange(min=0), default=0, help="Most messages a second; 0 = no limit."
)
@click.option("--allow-alias", is_flag=True, help="A browser source may join two identifiers.")
@click.option("--allow-email-claim", is_flag=True, help="A browser source may claim an e-mail for a userId.")
@click.option("--write-key", default="", help="Use this key instead of a new one (to take over existing clients).")
@browser_options
@data_option
@json_option
def add(name: str, write_key: str, browser_options: str, data: Path, as_json: bool, **options: Any) -> None:
    """Add a source and print its write key; of a browser source also the snippet for its pages."""
    now_ms = SystemClock().now_ms()
    made = msgspec.convert(
        {
            **options,
            "id": f"src_{secrets.token_hex(6)}",
            "name": checked_name(name),
            "write_keys": {write_key or secrets.token_hex(10): "active"},
            "browser_options": _read_options(browser_options, options["kind"]),
            "created_at": now_ms,
        },
        Source,
    )
    with open_workspace(data) as workspace:
        workspace.put_source(made, now_ms)
    _print_source(made, data, as_json=as_json)


@source.command("set", epilog=example("tabard source set shop --browser-options '{\"spa\": true}'"))
@click.argument("name")
@browser_options
@data_option
@json_option
def set_source(name: str, browser_options: str, data: Path, as_json: bool) -> None:
    """Give a browser source other load options, all at once; pages have them within five minutes."""

    def change(found: Source) -> Source:
        return msgspec.structs.replace(found, browser_options=_read_options(browser_options, found.kind))

    _change(name, data, change, as_json=as_json)


@source.command("list", epilog=example("tabard source list --json"))
@data_option
@json_option
def list_sources(data: Path, as_json: bool) -> None:
    """List the sources with their write keys."""
    with open_workspace(data) as workspace:
        sources = workspace.sources()
    host = _host(data)
    if as_json:
        print_json({"sources": [_document(each, host) for each in sources]})
        return
    print_table(
        ("NAME", "KIND", "STATE", "WRITE KEY", "ID"),
        (
            (each.name, each.kind, "enabled" if each.enabled else "disabled", each.write_key, each.id)
            for each in sources
        ),
    )
    for each in sources:
        if each.kind is SourceKind.BROWSER:
            print_line()
            print_line(f"In the <head> of the pages of {each.name}:")
            print_line(_snippet(each, host))


@source.command(epilog=example("tabard source disable shop"))
@click.argument("name")
@data_option
@json_option
def disable(name: str, data: Path, as_json: bool) -> None:
    """Refuse a source's calls by name (`source_disabled`)."""
    _change(name, data, lambda found: msgspec.structs.replace(found, enabled=False), as_json=as_json)


@source.command(epilog=example("tabard source enable shop"))
@click.argument("name")
@data_option
@json_option
def enable(name: str, data: Path, as_json: bool) -> None:
    """Accept a disabled source's calls again."""
    _change(name, data, lambda found: msgspec.structs.replace(found, enabled=True), as_json=as_json)


@source.command(epilog=example("tabard source rotate shop --keep-old"))
@click.argument("name")
@click.option("--keep-old", is_flag=True, help="Go on accepting the present keys; rotate again to retire them.")
@data_option
@json_option
def rotate(name: str, keep_old: bool, data: Path, as_json: bool) -> None:
    """Give a source a new write key; the old one is refused by name (`key_rotated`)."""

    _change(name, data, lambda found: rotated(found, secrets.token_hex(10), keep_old=keep_old), as_json=as_json)


def _change(name: str, data: Path, change: Callable[[Source], Source], *, as_json: bool) -> None:
    with open_workspace(data) as workspace:
        changed = change(named_source(workspace, name))
        workspace.put_source(changed, SystemClock().now_ms())
    _print_source(changed, data, as_json=as_json)


def _read_options(text: str, kind: str) -> dict[str, Any]:
    """The options that a text states, or the file it names. Raises `BrowserOptionsInvalid`."""
    stated = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
    try:
        return checked_browser_options(msgspec.json.decode(stated, type=dict[str, Any]), kind)
    except msgspec.DecodeError as problem:
        raise BrowserOptionsInvalid(f"browser options must be a JSON object: {problem}") from problem


def _host(data: Path) -> str:
    return collector_url(running_settings(open_installation(data)))


def _snippet(source: Source, host: str) -> str:
    line = snippet(source.write_key, host, source.browser_options.get("global", "tabard"))
    return f"<script>{line}</script>"


def _print_source(source: Source, data: Path, *, as_json: bool) -> None:
    document = _document(source, _host(data))
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        print_line(f"{key:16} {value}")


def _document(source: Source, host: str) -> dict[str, Any]:
    """`integrity` is that of the immutable script, `/v1/js/{version}/{hash}.js`, which has no load options in it."""
    document = {
        "id": source.id,
        "name": source.name,
        "kind": source.kind,
        "writeKey": source.write_key,
        "enabled": source.enabled,
        "permissive": source.permissive,
        "origins": list(source.origins),
        "ratePerS": source.rate_per_s,
        "allowAlias": source.allow_alias,
        "allowEmailClaim": source.allow_email_claim,
        "createdAt": source.created_at,
    }
    if source.kind is not SourceKind.BROWSER:
        return document
    return document | {
        "browserOptions": source.browser_options,
        "snippet": _snippet(source, host),
        "immutableScript": f"{host}/v1/js/{MANIFEST.version}/{MANIFEST.hash}.js",
        "integrity": MANIFEST.integrity,
    }
