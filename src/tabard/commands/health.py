"""`tabard health`: one question to a running role, for the health check of a container."""

from pathlib import Path
from typing import Final

import click

from tabard.commands.frame import (
    EXIT_UNREACHABLE,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
)
from tabard.compose.collector_client import CollectorClient
from tabard.compose.running import local_url, running_role, running_settings
from tabard.storage.sqlite.installation import Installation

TIMEOUT_S: Final = 4.0
_OK: Final = 200


@click.command(epilog=example("tabard health", "tabard health --role web --json"))
@click.option(
    "--role",
    "kind",
    type=click.Choice(["collector", "web"]),
    default="collector",
    show_default=True,
    help="Whom to ask.",
)
@data_option
@json_option
def health(kind: str, data: Path, as_json: bool) -> None:
    """Ask a running role whether it answers, at the address it listens on; its certificate is not judged.

    The exit code is 5 where it does not run or does not answer within 4 seconds. `tabard doctor` looks further.
    """
    installation = Installation(data)
    role = running_role(installation, kind)
    if role is None:
        raise CommandFailed("not_reachable", f"no {kind} runs on {data}; start `tabard serve`", EXIT_UNREACHABLE)
    url = local_url(running_settings(installation), role)
    status = CollectorClient(url, "", timeout_s=TIMEOUT_S).get("/health").status
    if status != _OK:
        raise CommandFailed("not_reachable", f"{url}/health answered {status}; see its log", EXIT_UNREACHABLE)
    if as_json:
        print_json({"role": role.name, "url": url, "ok": True})
    else:
        print_line(f"{role.name} answers at {url}")
