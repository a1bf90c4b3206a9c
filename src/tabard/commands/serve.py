"""`tabard serve`: everything in one command."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from tabard.clock import SystemClock
from tabard.commands.frame import CommandFailed, example, stop_printing
from tabard.commands.role_options import settings_of, settings_options
from tabard.compose.exclusive import exclusive
from tabard.compose.first_start import Opened, open_or_make
from tabard.compose.listening import reserved
from tabard.compose.role_process import drain_s
from tabard.compose.supervisor import Role, Supervisor
from tabard.settings import Settings, collector_url
from tabard.storage.sqlite.installation import Installation, write_secret
from tabard.telemetry import logging

_MARGIN_S: Final = 5.0
"""How much longer than they may drain to wait for the roles of a killed `tabard serve` to let go of everything."""


@click.command(
    epilog=example("tabard serve", "tabard serve --data /var/lib/tabard --public-url https://data.example.com")
)
@settings_options
def serve(**options: Any) -> None:
    """Start everything: collector, resolver, deliverer and web.

    Each runs as a process of its own; one that dies or hangs is started again. SIGTERM stops them in order. The first
    start makes the data folder with a source "default" and prints its write key, and the admin token to a terminal or
    with --json. Sources and destinations of the --config file are applied at each start.
    """
    settings = settings_of(options)
    logging.configure(as_json=settings.log_json, level=settings.log_level, role="supervisor")
    opened = _opened(settings)
    _apply(options["config"], settings)
    run = opened.installation.run
    with (
        exclusive(run / "serve.lock", "`tabard serve`", orphans_s=drain_s(settings) + _MARGIN_S) as lock,
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
            lock=lock,
            hung_after_s=settings.role_hung_s,
            stop_s=drain_s(settings),
            on_ready=lambda: _announce_to_reader(settings, opened, asked_json=bool(options["log_json"])),
        ).run()


def _opened(settings: Settings) -> Opened:
    """The installation. On its first start nothing is made, and so no token shown in vain, where a port is taken."""
    data = Path(settings.data)
    if not Installation(data).exists():
        with reserved(settings.collect), reserved(settings.web):
            pass
    return open_or_make(data, os.environ, SystemClock())


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


def _announce_to_reader(settings: Settings, opened: Opened, *, asked_json: bool) -> None:
    """Announces, unless nobody reads any more: the roles run all the same.

    The token is for a person at a terminal or a program that asked for the document; what is kept as a log, by systemd
    or a container's engine, shall not hold it.
    """
    try:
        _announce(settings, opened, with_token=asked_json or sys.stdout.isatty())
    except BrokenPipeError:
        stop_printing()


def _announce(settings: Settings, opened: Opened, *, with_token: bool) -> None:
    url, web_url = collector_url(settings), f"http://{settings.web}"
    source, token_file = opened.first_source, opened.installation.keys / "admin-token"
    if settings.log_json:
        document = {"collector": url, "web": web_url, "data": settings.data, "adminTokenFile": str(token_file)}
        if source:
            document["writeKey"] = source.write_key
        if opened.admin_token and with_token:
            document["adminToken"] = opened.admin_token
        click.echo(msgspec.json.encode(document).decode())
        return
    click.echo(f"\n  collector    {url}\n  web          {web_url}\n  data         {settings.data}")
    if source is None:
        click.echo(f"  write keys   tabard source list --data {settings.data}\n  admin token  in {token_file}\n")
        return
    shown = f"{opened.admin_token}   (shown once; kept in {token_file})" if with_token else f"in {token_file}"
    body = '{"userId": "u1", "traits": {"email": "ann@example.com", "firstName": "Ann"}}'
    click.echo(
        f"  write key    {source.write_key}   (source {source.name})\n"
        f"  admin token  {shown}\n\n"
        f"  curl -u {source.write_key}: -H 'Content-Type: application/json' {url}/v1/identify \\\n"
        f"    -d '{body}'\n"
    )
