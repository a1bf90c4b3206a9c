"""`tabard import`: backfill from a file."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from tabard.clock import SystemClock
from tabard.commands.frame import EXIT_PROBLEM, data_option, example, json_option, print_json, print_line, progress_of
from tabard.compose.collector_client import CollectorClient
from tabard.compose.importing import CollectorIntake, Intake, LogIntake, Result, batches, import_batch
from tabard.compose.running import local_url, running_role, running_settings
from tabard.compose.workspace import open_workspace, source_to_send_as
from tabard.storage.sqlite.installation import open_installation


@click.command("import", epilog=example("tabard import export.jsonl", "zcat old.gz | tabard import -"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--source", "source_name", help="Import as this source; the first enabled server source unless given.")
@data_option
@json_option
def import_(file: Path, source_name: str | None, data: Path, as_json: bool) -> int:
    """Import calls from a file of JSON lines (`-`: standard input), each with its `type` and `timestamp`.

    They go through the running collector, else straight into the log. The same file again changes nothing.
    """
    installation = open_installation(data)
    with open_workspace(data) as workspace:
        source = source_to_send_as(workspace, source_name)
    role = running_role(installation, "collector")
    settings = running_settings(installation)
    intake: Intake
    if role is None:
        intake = LogIntake(installation, settings, source, SystemClock())
    else:
        intake = CollectorIntake(CollectorClient(local_url(settings, role), source.write_key))
    if str(file) == "-":
        result = _run(sys.stdin.buffer, 0, intake, as_json=as_json)
    else:
        with file.open("rb") as lines:
            result = _run(lines, file.stat().st_size, intake, as_json=as_json)
    if as_json:
        print_json(msgspec.to_builtins(result))
    else:
        for each in result.refused:
            print_line(f"line {each.line}: {each.code}: {each.message}", err=True)
        print_line(f"{result.accepted} accepted, {result.rejected} rejected")
    return EXIT_PROBLEM if result.rejected else 0


def _run(lines: Iterable[bytes], total: int, intake: Intake, *, as_json: bool) -> Result:
    result = Result()
    with progress_of(total, "importing", as_json=as_json or not total) as progress:
        for batch in batches(lines):
            import_batch(batch, intake, result)
            progress(sum(line.read for line in batch))
    return result
