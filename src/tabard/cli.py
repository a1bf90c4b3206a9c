"""The command `tabard`: the list of its commands. Each is loaded only when it is called, so that `--help` is quick."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import click

from tabard.commands.frame import failure_of, show_failure, stop_printing


class Entry(NamedTuple):
    """Where a command is, and its line in the list."""

    module: str
    about: str


COMMANDS: Final = {
    "serve": Entry("serve", "Start everything: collector, resolver, deliverer and web."),
    "collect": Entry("roles", "Run one collector."),
    "resolve": Entry("roles", "Run the resolver; with FILE, resolve it on a temporary store."),
    "deliver": Entry("roles", "Run one deliverer."),
    "web": Entry("roles", "Run the web role."),
    "source": Entry("source", "Sources and their write keys."),
    "destination": Entry("destination", "Destinations and what they get."),
    "apply": Entry("configuration", "Make the workspace as a file says."),
    "export": Entry("configuration", "Write the workspace as a file."),
    "send": Entry("client", "Send one call to the running collector."),
    "profile": Entry("profile", "One person: what is known, why, and the controls."),
    "tail": Entry("messages", "Show messages as they are stored."),
    "trace": Entry("messages", "Follow one message to every destination."),
    "dead-letter": Entry("delivery", "List and resend what could not be delivered."),
    "replay": Entry("delivery", "Send a range of the past to one destination again."),
    "preview": Entry("preview", "Print what a destination would send, without sending it."),
    "status": Entry("status", "Show roles, lags, books and what needs a person."),
    "rejected": Entry("status", "Show the newest calls that the door refused."),
    "quarantined": Entry("quarantined", "Show what was accepted and could not be processed; try it again."),
    "usage": Entry("status", "Count a month's calls and people."),
    "health": Entry("health", "Ask a running role whether it answers, for container checks."),
    "doctor": Entry("doctor", "Check an installation and say what to do."),
    "rebuild": Entry("upkeep", "Derive all profiles anew from the archive."),
    "state-hash": Entry("upkeep", "Print a digest of the whole derived state."),
    "import": Entry("importing", "Import calls from a file of JSON lines."),
    "backup": Entry("backup", "Copy an installation while it runs."),
    "restore": Entry("backup", "Make a data folder from a backup."),
    "keys": Entry("keys", "New sealing keys, a new admin token."),
    "settings": Entry("configuration", "List the settings and where each value comes from."),
}


class LazyGroup(click.Group):
    """A click group that knows its commands by name and loads them when asked."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The loaded command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tabard.commands.{COMMANDS[cmd_name].module}")
        attribute = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        command: click.Command = getattr(module, attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list for `--help`, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.about) for name, entry in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs a command. A failure is shown in its one shape and ends the process with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(given, *rest, **extra)
        except BrokenPipeError:
            # Whoever read the output has seen enough, as in `tabard tail | head`.
            stop_printing()
            code = 0
        except Exception as problem:
            failure = failure_of(problem)
            if failure is None:
                raise
            code = show_failure(failure, as_json="--json" in given)
        sys.exit(code if isinstance(code, int) else 0)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tabard", message="%(version)s")
def main() -> None:
    """Tabard: a customer data pipeline that you run yourself.

    \b
    Start it:             tabard serve
    Send a call:          tabard send identify --user-id u1 --traits '{"email": "ann@example.com"}'
    Look at the person:   tabard profile show u1
    """
