"""`tabard doctor`: is all well, and if not, what to do."""

from pathlib import Path

import click

from tabard.clock import SystemClock
from tabard.commands.frame import data_option, example, exit_code_of, json_option, print_json, print_line
from tabard.compose.doctor import examine
from tabard.storage.sqlite.installation import open_installation


@click.command(epilog=example("tabard doctor", "tabard doctor --deep --json"))
@click.option("--deep", is_flag=True, help="Read the databases and the log whole too, for damage.")
@data_option
@json_option
def doctor(deep: bool, data: Path, as_json: bool) -> int:
    """Check an installation: keys, secrets, disk, roles, books, its own settings document and browser client.

    The exit code is 1 where something needs a person and 5 where nothing runs.
    """
    findings = examine(open_installation(data), SystemClock().now_ms(), deep=deep)
    is_well = all(each.ok for each in findings)
    if as_json:
        print_json({"ok": is_well, "findings": findings})
    else:
        for each in findings:
            print_line(f"{'ok ' if each.ok else '!! '} {each.check}: {each.seen}")
            if each.fix:
                print_line(f"      {each.fix}")
    return exit_code_of(each.check for each in findings if not each.ok)
