"""`tabard serve`: everything in one command."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from tabard.clock import SystemClock
from tabard.commands.frame import CommandFailed, example, stop_printing
from tabard.commands.role_options import settings_of, settings_options
from tabard.compose.exclusive import exclusive
from tabard.compose.first_start import Opened, open_or_make
from tabard.compose.listening import reserved
from tabard.compose.supervisor import Role, Supervisor
from tabard.settings import Settings, collector_url
from tabard.storage.sqlite.installation import write_secret
from tabard.telemetry import logging


@click.command(
    epilog=example("tabard serve", "tabard serve --data /var/lib/tabard --public-url https://data.example.com")
)
@settings_options
def serve(**options: Any) -> None:
    """Start everything: collector, resolver, deliverer and web.

    Each runs as a process of its own; one that dies or hangs is started again. SIGTERM stops them in order. The first
    start makes the data folder with a source "default" and prints its write key and the admin token once. Sources and
    destinations of the --config file are applied at each start.
    """
    settings = settings_of(options)
    logging.configure(as_json=settings.log_json, level=settings.log_level, role="supervisor")
    opened = open_or_make(Path(settings.data), os.environ, SystemClock())
    _apply(options["config"], settings)
    run = opened.installation.run
    with (
        exclusive(run / "serve.lock", "`tabard serve`"),
        reserved(settings.collect) as collect,
        reserved(settings.web) as web,
    ):
        settings = msgspec.structs.replace(settings, collect=collect, web=web)
        config = run / "settings.json"
        write_secret(config, msgspec.json.encode({"settings": settings}).decode())
        _clear(run / "metrics")
        Supervisor(
            _roles(settings, config),
            run,
            hung_after_s=settings.role_hung_s,
            on_ready=lambda: _announce_to_reader(settings, opened),
        ).run()


def _apply(config: Path | None, settings: Settings) -> None:
    """Makes the workspace as the file says, in a process that ends: the supervisor stays small."""
    if config is None:
        return
    command = [sys.executable, "-m", "tabard", "apply", str(config), "--data", settings.data]
    done = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603 (our own command line)
    if done.returncode:
        raise CommandFailed("not_applied", f"{config} could not be applied, see above", done.returncode)


def _roles(settings: Settings, config: Path) -> list[Role]:
    common = ("--config", str(config))
    collectors = [
        Role(f"collector-{number}", ("collect", *common, "--partition", str(number)))
        for number in range(1, settings.collectors + 1)
    ]
    others = (("web-1", "web"), ("resolver-1", "resolve"), ("deliverer-1", "deliver"))
    return [*collectors, *(Role(name, (command, *common)) for name, command in others)]


def _clear(metrics: Path) -> None:
    metrics.mkdir(mode=0o700, exist_ok=True)
    for path in metrics.glob("*.db"):
        path.unlink()


def _announce_to_reader(settings: Settings, opened: Opened) -> None:
    """Announces, unless nobody reads any more: the roles run all the same."""
    try:
        _announce(settings, opened)
    except BrokenPipeError:
        stop_printing()


def _announce(settings: Settings, opened: Opened) -> None:
    url, web_url = collector_url(settings), f"http://{settings.web}"
    source = opened.first_source
    document: dict[str, Any] = {"collector": url, "web": web_url, "data": settings.data}
    if source:
        document |= {"writeKey": source.write_key, "adminToken": opened.admin_token}
    if settings.log_json:
        click.echo(msgspec.json.encode(document).decode())
        return
    click.echo(f"\n  collector    {url}\n  web          {web_url}\n  data         {settings.data}")
    if source:
        kept = opened.installation.keys / "admin-token"
        body = '{"userId": "u1", "traits": {"email": "ann@example.com", "firstName": "Ann"}}'
        click.echo(
            f"  write key    {source.write_key}   (source {source.name})\n"
            f"  admin token  {opened.admin_token}   (shown once; kept in {kept})\n\n"
            f"  curl -u {source.write_key}: -H 'Content-Type: application/json' {url}/v1/identify \\\n"
            f"    -d '{body}'\n"
        )
