"""`tabard collect`, `resolve`, `deliver` and `web`: one role as this process."""

import importlib
from pathlib import Path
from typing import Any

import click

from tabard.commands.frame import example
from tabard.commands.role_options import settings_of, settings_options
from tabard.compose.role_process import RoleProcess, begin_role


@click.command(epilog=example("tabard collect --data ./data --partition 2"))
@click.option("--partition", type=click.IntRange(1, 32_767), default=1, show_default=True, help="Its log partition.")
@settings_options
def collect(partition: int, **options: Any) -> None:
    """Run one collector: HTTP in, durable message, answer."""
    _run("collector", begin_role(settings_of(options), f"collector-{partition}"), partition)


@click.command(epilog=example("tabard deliver --data ./data"))
@settings_options
def deliver(**options: Any) -> None:
    """Run the deliverer: stored messages to destinations."""
    _run("deliverer", begin_role(settings_of(options), "deliverer-1"))


@click.command(epilog=example("tabard web --data ./data --web 127.0.0.1:7071"))
@settings_options
def web(**options: Any) -> None:
    """Run the web role: pages and admin API."""
    _run("web", begin_role(settings_of(options), "web-1"))


@click.command(
    epilog=example("tabard resolve --data ./data", "tabard resolve calls.jsonl --config max_owners=2 --json")
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@settings_options
def resolve(file: Path | None, **options: Any) -> None:
    """Run the resolver: from the log to profiles.

    With FILE (JSON lines; `-`: standard input), resolve its calls by the real engine on a temporary store, in the order
    of the file, and print the profiles and groups. --config then takes the rules' settings: max_alias, max_owners,
    max_claims, max_traits, blocked_values.
    Times decide, not the order of the lines. A line without timestamp, sentAt and receivedAt has time 0; of equal times
    the greater messageId is the later, and a line without one is named by its number (line-1, as text).
    """
    if file is None:
        _run("resolver", begin_role(settings_of(options), "resolver-1"))
        return
    importlib.import_module("tabard.commands.dry_run").dry_run(file, options)


def _run(role: str, process: RoleProcess, *arguments: int) -> None:
    """Loads the drivers of this one role only: a role's memory is what it needs itself."""
    module = importlib.import_module(f"tabard.compose.{role}")
    getattr(module, f"run_{role}")(process, *arguments)
