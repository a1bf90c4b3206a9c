"""`tabard status`, `rejected` and `usage`: how it goes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tabard.clock import SystemClock
from tabard.commands.frame import data_option, example, exit_code_of, json_option, print_json, print_line, print_table
from tabard.compose.rejections import InstallationRejections
from tabard.compose.status import status as status_of
from tabard.compose.usage import usage as usage_of
from tabard.compose.workspace import named_source, open_workspace, source_names
from tabard.storage.sqlite.installation import open_installation


@click.command(epilog=example("tabard status", "tabard status --json"))
@data_option
@json_option
def status(data: Path, as_json: bool) -> int:
    """Show roles, lags, books and what needs a person.

    The exit code is 1 where something needs a person and 5 where nothing runs.
    """
    document = status_of(open_installation(data), SystemClock().now_ms())
    if as_json:
        print_json(document)
    else:
        _print_status(document)
    return exit_code_of(warning["code"] for warning in document["warnings"])


def _print_status(document: dict[str, Any]) -> None:
    print_table(("ROLE", "STATE", "PID", "RESTARTS", "ADDRESS"), map(_role, document["roles"]))
    books = document["books"]
    print_line()
    print_line(
        f"{books['accepted']} accepted = {books['stored']} stored + {books['duplicates']} duplicates "
        f"({books['conflicting']} conflicting) + {books['quarantined']} quarantined + "
        f"{books['unresolved']} unresolved"
    )
    print_line()
    print_table(("SOURCE", "STATE", "STORED", "DUPLICATES", "IDENTIFIES UNCHANGED"), map(_source, document["sources"]))
    print_line()
    terms = (each.upper() for each in _SHOWN)
    print_table(("DESTINATION", "STATE", *terms, "LAG"), map(_line, document["destinations"]))
    for warning in document["warnings"]:
        print_line(f"! {warning['message']}")
    for destination in document["destinations"]:
        for line in _notes(destination):
            print_line(f"* destination {destination['name']}: {line}")
    if document["quarantine"]["kept"]:
        print_line(f"* {document['quarantine']['kept']} records in quarantine; `tabard quarantined` shows them")
    for source in document["sources"]:
        for line in _advice(source):
            print_line(f"* source {source['name']}: {line}")


@click.command(epilog=example("tabard rejected --limit 20", "tabard rejected --source shop --json"))
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, newest first.")
@click.option("--source", "source_name", help="Only this source's.")
@data_option
@json_option
def rejected(limit: int, source_name: str | None, data: Path, as_json: bool) -> None:
    """Show the newest calls that the door refused, with reason and fix."""
    installation = open_installation(data)
    source = None
    if source_name:
        with open_workspace(data) as workspace:
            source = named_source(workspace, source_name).id
    names = source_names(data)
    found = [
        {**each, "sourceName": names.get(each["source"], each["source"])}
        for each in InstallationRejections(installation).newest(limit, source)
    ]
    if as_json:
        print_json({"rejections": found})
        return
    print_table(
        ("RECEIVED", "SOURCE", "CODE", "MESSAGE"),
        ((each["receivedAt"], each["sourceName"], each["code"], each["message"]) for each in found),
    )


@click.command(epilog=example("tabard usage", "tabard usage --month 2026-11 --json"))
@click.option("--month", type=click.DateTime(["%Y-%m"]), help="The month, as 2026-11; this one unless given.")
@data_option
@json_option
def usage(month: datetime | None, data: Path, as_json: bool) -> None:
    """Count a month's calls by source and type, and its distinct people; warn above the soft limits."""
    at = month or datetime.now(UTC)
    document = usage_of(open_installation(data), f"{at:%Y-%m}")
    if as_json:
        print_json(document)
        return
    print_table(
        ("SOURCE", "TYPE", "CALLS"), ((each["source"], each["type"], each["calls"]) for each in document["rows"])
    )
    print_line()
    print_line(f"{document['month']}: {document['calls']} calls, {document['people']} people")
    for warning in document["warnings"]:
        print_line(f"! {warning}")


def _source(source: dict[str, Any]) -> tuple[Any, ...]:
    share = source["advice"].get("unchangedShare")
    state = "enabled" if source["enabled"] else "disabled"
    return source["name"], state, source["stored"], source["duplicates"], "-" if share is None else f"{share:.0%}"


def _notes(destination: dict[str, Any]) -> Iterator[str]:
    """What the books of a destination say beside their terms."""
    erasures = destination.get("erasures")
    if erasures:
        yield (
            f"{erasures['asked']} deletions asked = {erasures['done']} done + {erasures['by_action']} by action + "
            f"{erasures['failed']} failed + {erasures['pending']} pending"
        )
    if destination.get("saved"):
        yield f"{destination['saved']} needless calls saved"


def _advice(source: dict[str, Any]) -> Iterator[str]:
    """What the source does that costs calls or makes traits hard to use."""
    advice = source["advice"]
    if advice.get("identifiesEachPage"):
        yield (
            f"it identifies on each page view: {advice['identifies']} identify calls (this is said from "
            f"{advice['identifiesMin']} on) to {advice['pages']} page calls, {advice['unchanged']} of them without a "
            "change; identify when something changed"
        )
    if advice.get("twoSpellings"):
        yield f"traits in two spellings: {', '.join(advice['twoSpellings'])}"
    if advice.get("wrongTypes"):
        yield f"traits with a wrong type: {', '.join(sorted(advice['wrongTypes']))}"
    ignored = [f"{source[name]} {what}" for name, what in _IGNORED.items() if source[name]]
    if ignored:
        yield f"ignored, since it may not state them: {', '.join(ignored)}; `tabard trace` shows it of each message"
    if source["warnings"]:
        yield f"warnings: {', '.join(f'{name} ({number})' for name, number in sorted(source['warnings'].items()))}"


_IGNORED = {"controlIgnored": "controls", "aliasIgnored": "aliases", "emailClaimIgnored": "claims of an e-mail"}
_SHOWN = ("delivered", "filtered", "parked", "dead", "pending")


def _role(role: dict[str, Any]) -> tuple[Any, ...]:
    state = "running" if role["running"] else "down"
    return (
        role["name"],
        "crash loop" if role["crashLooping"] else state,
        role["pid"] or "-",
        role["restarts"],
        role["address"],
    )


def _line(destination: dict[str, Any]) -> tuple[Any, ...]:
    lag = f"{destination['lagMs'] / 1000:.1f} s" if "lagMs" in destination else "-"
    more = "+" if destination.get("pendingIsMin") else ""
    books = destination["books"]
    terms = (f"{books.get(term, 0)}{more if term == 'pending' else ''}" for term in _SHOWN)
    return destination["name"], destination["state"], *terms, lag
