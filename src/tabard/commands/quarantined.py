"""`tabard quarantined`: what was accepted and could not be processed."""

from pathlib import Path
from typing import Final

import click

from tabard.clock import SystemClock
from tabard.commands.frame import data_option, example, json_option, print_json, print_line, print_table
from tabard.compose.quarantine import InstallationQuarantine, retry
from tabard.storage.sqlite.installation import open_installation

BEGIN_CHARS: Final = 40
_COLUMNS: Final = ("at", "position", "version", "code", "message", "bytes", "now")


@click.command(epilog=example("tabard quarantined --limit 20", "tabard quarantined --retry"))
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, newest first.")
@click.option("--retry", "is_retry", is_flag=True, help="Hand in again, once, all that this release can read.")
@data_option
@json_option
def quarantined(limit: int, is_retry: bool, data: Path, as_json: bool) -> None:
    """Show the newest records that were accepted and that the resolver could not process, and why.

    NOW says what this release makes of each: `unreadable` as before, `readable` (--retry hands it in again) or `stored`
    since. After an upgrade that mends the cause, run it with --retry: such records go to the end of the log as they
    were accepted, with their own time and messageId, and a message that is there already is a duplicate.
    """
    installation = open_installation(data)
    if is_retry:
        done = retry(installation, SystemClock())
        if as_json:
            print_json({"handedIn": done.handed_in, "stored": done.stored, "unreadable": done.unreadable})
        else:
            print_line(
                f"{done.handed_in} handed in again, {done.stored} stored already, "
                f"{done.unreadable} not readable by this release either"
            )
        return
    found = InstallationQuarantine(installation).shown(limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("AT", "POSITION", "RELEASE", "CODE", "MESSAGE", "BYTES", "NOW", "BEGINS"),
        ((*(each[key] for key in _COLUMNS), each["preview"][:BEGIN_CHARS]) for each in found["quarantined"]),
    )
    print_line(f"{found['kept']} kept, {found['dropped']} dropped for newer ones")
