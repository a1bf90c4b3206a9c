"""`tabard collect`, `resolve`, `deliver` and `web`: one role as this process."""

import importlib
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


@click.command(epilog=example("tabard resolve --data ./data"))
@settings_options
def resolve(**options: Any) -> None:
    """Run the resolver: from the log to profiles."""
    _run("resolver", begin_role(settings_of(options), "resolver-1"))


def _run(role: str, process: RoleProcess, *arguments: int) -> None:
    """Loads the drivers of this one role only: a role's memory is what it needs itself."""
    module = importlib.import_module(f"tabard.compose.{role}")
    getattr(module, f"run_{role}")(process, *arguments)
