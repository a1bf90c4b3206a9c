"""`tabard rebuild` and `tabard state-hash`: the derived state, made anew and compared."""

import time
from functools import partial
from pathlib import Path

import click

from tabard.commands.frame import (
    EXIT_PROBLEM,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
    print_notes,
    progress_of,
)
from tabard.compose.running import running_settings
from tabard.compose.upkeep import StateMoving, rebuild_store, state_hash_of
from tabard.storage.sqlite.installation import open_installation


@click.command(epilog=example("tabard rebuild", "tabard rebuild --json"))
@data_option
@json_option
def rebuild(data: Path, as_json: bool) -> None:
    """Derive all profiles anew from the archive, under the present limits.

    A running `tabard serve` stops its resolver meanwhile and starts it again afterwards; calls are accepted as always,
    profiles are incomplete until the end. The same rules give the same profile ids and the same state hash. A rebuild
    that is cut off goes on when the resolver starts again.
    """
    installation = open_installation(data)
    began_s = time.monotonic()
    digest = rebuild_store(installation, running_settings(installation), partial(progress_of, as_json=as_json))
    took_s = round(time.monotonic() - began_s, 1)
    if as_json:
        print_json({"stateHash": digest, "tookS": took_s})
    else:
        print_line(f"rebuilt in {took_s} s; state hash {digest}")


@click.command("state-hash", epilog=example("tabard state-hash", "tabard state-hash --json"))
@data_option
@json_option
def state_hash(data: Path, as_json: bool) -> None:
    """Print a digest of the whole derived state.

    It is equal in this installation and its copies wherever the same messages were resolved, in any order: profile ids
    are keyed, so two installations differ. Records of the log that are not resolved yet are no part of it: how many is
    said on standard error, and with --json in `unresolved`.
    """
    try:
        digest, unresolved = state_hash_of(open_installation(data))
    except StateMoving as problem:
        raise CommandFailed("state_moving", str(problem), EXIT_PROBLEM) from problem
    if unresolved:
        print_notes([f"{unresolved} records of the log are not resolved and no part of this; see `tabard status`"])
    if as_json:
        print_json({"stateHash": digest, "unresolved": unresolved})
    else:
        print_line(digest)
