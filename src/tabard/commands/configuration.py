"""`tabard apply`, `export` and `settings`: configuration as a file."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from tabard.clock import SystemClock
from tabard.commands.frame import data_option, example, json_option, print_json, print_line, print_notes, print_table
from tabard.commands.role_options import settings_and_origins, settings_options
from tabard.compose.apply import make_so, planned
from tabard.compose.destinations import desk_of
from tabard.compose.workspace import open_workspace
from tabard.settings import descriptions
from tabard.storage.sqlite.installation import open_installation
from tabard.workspace.declaration import Declaration, DeclarationInvalid, read_declaration
from tabard.workspace.export import exported
from tabard.workspace.plan import Change, differences
from tabard.workspace.types import DestinationInstance


@click.command(epilog=example("tabard apply tabard.yaml --dry-run", "tabard apply tabard.yaml"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Show what would change and change nothing.")
@click.option("--prune", is_flag=True, help="Remove sources and destinations that the file's sections do not name.")
@data_option
@json_option
def apply(file: Path, dry_run: bool, prune: bool, data: Path, as_json: bool) -> None:
    """Make the workspace as a file says, showing the difference.

    `${NAME}` in the file is an environment variable. A secret whose variable is not set keeps its stored value.
    Applying the same file again changes nothing.
    """
    declared = read_file(file)
    clock = SystemClock()
    desk = desk_of(open_installation(data))
    with open_workspace(data) as workspace:
        names = {each.id: each.name for each in workspace.sources()}
        changes = planned(workspace, desk, declared, clock, prune=prune)
        for change in changes:
            if isinstance(change.after, DestinationInstance):
                print_notes(desk.left_out(change.after))
        if not dry_run:
            make_so(workspace, desk, changes, clock)
    names |= {change.after.id: change.name for change in changes if change.after}
    shown = [(change, differences(change, desk.secret_fields, names)) for change in changes]
    if as_json:
        print_json({"applied": not dry_run, "changes": [_document(*each) for each in shown]})
        return
    for change, lines in shown:
        print_line(f"{change.verb} {change.what} {change.name}")
        for line in lines:
            print_line(f"    {line}")
    done = "would change" if dry_run else "changed"
    print_line(f"{len(changes)} {done}" if changes else "nothing to change")


@click.command(epilog=example("tabard export > tabard.yaml", "tabard export --write-keys --json"))
@click.option("--write-keys", is_flag=True, help="Write the sources' keys too, to move them to another installation.")
@data_option
@json_option
def export(write_keys: bool, data: Path, as_json: bool) -> None:
    """Write the workspace as a file for `tabard apply`; secrets become names of environment variables."""
    desk = desk_of(open_installation(data))
    with open_workspace(data) as workspace:
        document = exported(
            workspace.sources(),
            workspace.destinations(),
            secret_fields=desk.secret_fields,
            default_mapping=desk.default_mapping,
            with_write_keys=write_keys,
        )
    if as_json:
        print_json(document)
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@click.command(epilog=example("tabard settings", "TABARD_COLLECTORS=2 tabard settings --json"))
@settings_options
def settings(**options: Any) -> None:
    """List every setting: its value, where the value comes from, what it is for."""
    found, origins = settings_and_origins(options)
    about = descriptions()
    values = msgspec.to_builtins(found)
    if options["log_json"]:
        print_json(
            {name: {"value": value, "origin": origins[name], "about": about[name]} for name, value in values.items()}
        )
        return
    print_table(
        ("SETTING", "VALUE", "FROM", "WHAT IT IS FOR"),
        ((name, value, origins[name], about[name]) for name, value in values.items()),
    )


def read_file(file: Path) -> Declaration:
    """The declaration in a tabard.yaml (`-`: standard input). Raises `DeclarationInvalid`."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    try:
        return read_declaration(yaml.safe_load(text), os.environ)
    except yaml.YAMLError as problem:
        raise DeclarationInvalid(f"{file} is no YAML: {problem}") from problem


def _document(change: Change, lines: list[str]) -> dict[str, Any]:
    return {"change": change.verb, "what": change.what, "name": change.name, "differences": lines}
