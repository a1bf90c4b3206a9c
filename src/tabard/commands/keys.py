"""`tabard keys`: new sealing keys and a new admin token."""

import os
from pathlib import Path

import click

from tabard.clock import SystemClock
from tabard.commands.frame import EXIT_PROBLEM, CommandFailed, data_option, example, json_option, print_json, print_line
from tabard.compose.destinations import desk_of
from tabard.compose.workspace import open_workspace
from tabard.storage.sqlite.installation import open_installation
from tabard.storage.sqlite.keys import add_sealing_key, new_admin_token, sealing_keys


@click.group(epilog=example("tabard keys rotate", "tabard keys new-admin-token"))
def keys() -> None:
    """The secrets of an installation."""


@keys.command(epilog=example("tabard keys rotate"))
@data_option
@json_option
def rotate(data: Path, as_json: bool) -> None:
    """Seal all destination secrets with a new key.

    In the data folder the key is made; with TABARD_SECRET_KEY add one of a higher version there first. Older keys are
    needed as long as backups and older versions of destinations are.
    """
    installation = open_installation(data)
    if not any(os.environ.get(name) for name in ("TABARD_SECRET_KEY", "TABARD_SECRET_KEY_FILE")):
        add_sealing_key(installation)
    desk = desk_of(installation)
    with open_workspace(data) as workspace, workspace.change():
        sealed = [desk.sealed(desk.opened(each)) for each in workspace.destinations()]
        for each in sealed:
            workspace.put_destination(each, SystemClock().now_ms())
    version = sealing_keys(installation, os.environ).newest
    if as_json:
        print_json({"version": version, "destinations": len(sealed)})
    else:
        print_line(f"key {version} seals now; {len(sealed)} destinations were sealed anew")


@keys.command("new-admin-token", epilog=example("tabard keys new-admin-token --yes"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def new_token(yes: bool, data: Path, as_json: bool) -> None:
    """Replace the admin token and print the new one; the web role takes it up when it next starts."""
    installation = open_installation(data)
    if not yes:
        if as_json:
            raise CommandFailed("not_confirmed", "--json asks nothing; add --yes", EXIT_PROBLEM)
        click.confirm("Replace the admin token?", abort=True, err=True)
    token = new_admin_token(installation)
    if as_json:
        print_json({"adminToken": token})
    else:
        print_line(token)
