"""The controls of `tabard profile`: split, unsplit, delete, suppress, unsuppress."""

import contextlib
from pathlib import Path
from typing import Any, Final

import click

from tabard.clock import SystemClock
from tabard.commands.frame import (
    EXIT_PROBLEM,
    EXIT_USAGE,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
    print_notes,
)
from tabard.compose.controls import Controls
from tabard.compose.identity import StoreIdentity
from tabard.compose.running import running_settings
from tabard.compose.store import profile_reader
from tabard.identity.controls import EVERYTHING
from tabard.identity.identifiers import parsed
from tabard.message.traits import parse_instant
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.installation import open_installation
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

KINDS: Final = ("user", "email", "anon")
"""How an identifier begins."""

_person_option = click.option("--person", is_flag=True, help="All identifiers of these people, as they are now.")


@click.command(
    epilog=example("tabard profile split user:u1 anon:a1 --until 2026-11-01", "tabard profile split anon:kiosk '*'")
)
@click.argument("first")
@click.argument("second")
@click.option("--until", help="Only what linked them before this time (ISO 8601).")
@data_option
@json_option
def split(first: str, second: str, until: str | None, data: Path, as_json: bool) -> None:
    """State that two identifiers are not one person (a cut); `unsplit` takes it back.

    SECOND may be `*`: then nothing is one person with FIRST.
    """
    if until:
        instant(until)
    _state(data, {"type": "cut", "a": _identifier(first), "b": _far_end(second), "until": until}, as_json=as_json)
    if _only_others_link(first, second, data):
        print_notes([f"nothing links {first} and {second} directly; split what `tabard profile explain {first}` names"])


@click.command(epilog=example("tabard profile unsplit user:u1 anon:a1"))
@click.argument("first")
@click.argument("second")
@data_option
@json_option
def unsplit(first: str, second: str, data: Path, as_json: bool) -> None:
    """Take a split back; `*` as SECOND takes every split of FIRST back."""
    _state(data, {"type": "uncut", "a": _identifier(first), "b": _far_end(second)}, as_json=as_json)


@click.command(
    epilog=example(
        "tabard profile delete user:u1 --person", "tabard profile delete user:u1 email:ann@example.com --yes"
    )
)
@click.argument("identifiers", nargs=-1, required=True)
@_person_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def delete(identifiers: tuple[str, ...], person: bool, yes: bool, data: Path, as_json: bool) -> None:
    """Delete what was said of these identifiers until now, here and (where possible) at destinations.

    Messages are overwritten on disk; what still holds data afterwards, and until when, is printed.
    """
    ids = _identifiers(identifiers, data, person=person)
    if not yes:
        if as_json:
            raise CommandFailed("not_confirmed", "--json asks nothing; add --yes", EXIT_PROBLEM)
        click.confirm(f"Delete {', '.join(ids)}? This cannot be undone", abort=True, err=True)
    _state(data, {"type": "delete", "ids": ids}, as_json=as_json)


@click.command(epilog=example("tabard profile suppress user:u1 --person"))
@click.argument("identifiers", nargs=-1, required=True)
@_person_option
@data_option
@json_option
def suppress(identifiers: tuple[str, ...], person: bool, data: Path, as_json: bool) -> None:
    """Take no notice of these identifiers from now on: stored, never delivered."""
    _state(data, {"type": "suppress", "ids": _identifiers(identifiers, data, person=person)}, as_json=as_json)


@click.command(epilog=example("tabard profile unsuppress user:u1"))
@click.argument("identifiers", nargs=-1, required=True)
@data_option
@json_option
def unsuppress(identifiers: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Take notice of them again."""
    _state(data, {"type": "unsuppress", "ids": _identifiers(identifiers, data, person=False)}, as_json=as_json)


def _state(data: Path, control: dict[str, Any], *, as_json: bool) -> None:
    controls = Controls(open_installation(data), SystemClock())
    try:
        unknown = controls.unknown(control.get("ids", []))
        still = controls.still_held() if control["type"] == "delete" else None
        position = controls.append(control)
    except ValueError as problem:
        raise CommandFailed("control_invalid", str(problem), EXIT_USAGE) from problem
    if as_json:
        ids = {"ids": control["ids"], "unknown": unknown} if "ids" in control else {}
        held = {"stillHeld": still} if still is not None else {}
        print_json({"accepted": True, "position": position, **ids, **held})
        return
    print_line(f"{control['type']} accepted at {position}" + "".join(f" {one}" for one in control.get("ids", ())))
    print_notes(f"nothing is known of {one}; it is obeyed if something comes" for one in unknown)
    for each in still or ():
        print_line(f"  {each['place']}: {each['until']}")


def _identifier(text: str) -> str:
    if text.partition(":")[0] not in KINDS:
        raise CommandFailed("usage", f"{text!r}: a control names user:…, email:… or anon:…", EXIT_USAGE)
    return text


def _only_others_link(first: str, second: str, data: Path) -> bool:
    """Whether two identifiers are one person by links with others alone, which a cut of the two does not touch."""
    if second == EVERYTHING:
        return False
    with contextlib.suppress(DatabaseMissing), reading(data) as profiles:
        pair = {parsed(first), parsed(second)}
        graph = StoreIdentity(profiles).identity(first)
        if graph is not None and pair <= set(graph.nodes) and not graph.truncated:
            return all({one.low, one.high} != pair for one in graph.evidence)
    return False


def _identifiers(texts: tuple[str, ...], data: Path, *, person: bool) -> list[str]:
    named = [_identifier(each) for each in texts]
    if not person:
        return named
    try:
        return Controls(open_installation(data), SystemClock()).whole(named)
    except ValueError as problem:
        raise CommandFailed("control_invalid", str(problem), EXIT_USAGE) from problem


def _far_end(text: str) -> str:
    return text if text == EVERYTHING else _identifier(text)


def reading(data: Path) -> contextlib.closing[SqliteProfileReader]:
    """The profiles of an installation, by the settings it runs with."""
    installation = open_installation(data)
    return contextlib.closing(profile_reader(installation, running_settings(installation)))


def instant(text: str) -> int:
    """A time that was typed, in milliseconds. Raises `CommandFailed` for what is none."""
    found = parse_instant(text)
    if found is None:
        raise CommandFailed("usage", f"{text!r} is no time; write it as in 2026-11-24T18:00Z", EXIT_USAGE)
    return found
