"""The reference pages of docs/ that are made from the program itself. `make docs` writes them; a test holds them fresh.

`python -m tabard.commands.manual FOLDER` writes commands.md, settings.md and telemetry.md.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from tabard.cli import main
from tabard.settings import Settings, descriptions
from tabard.telemetry.names import METRICS, MetricKind

_MADE: Final = "<!-- Made by `make docs` from the program; change it there. -->\n"

_COMMANDS_INTRO: Final = """# Commands

Admin commands take `--data DIR` (default `./data`, or `TABARD_DATA`) and work on that installation whether or not it
runs; a running server sees a change within a second. `--json` prints one JSON document on standard output and nothing
else.

A failure is one line on standard error, `tabard: name: what is wrong and what to do`, or with `--json` the document
`{"error": {"code": …, "message": …}}` on standard output. Exit codes:

| code | meaning |
| --- | --- |
| 0 | done, all well |
| 1 | done, and something needs a person (`status`, `doctor`, `import` with refused lines), or it cannot be done |
| 2 | the call was not understood, or a value in it is wrong |
| 3 | there is no such source, destination, profile, message or file |
| 4 | the installation cannot be used: absent, of a newer release, locked, damaged, disk full |
| 5 | no server runs there (`status` and `doctor` say so too), or it does not answer |
| 130 | interrupted |
"""

_SETTINGS_INTRO: Final = """# Settings

Layers, later ones winning: the default, `settings:` in the file given by `--config`, the environment
(`TABARD_` and the name in capitals), flags of `tabard serve` (`--set name=value` reaches every setting). All problems
are named together at start. `tabard settings` shows the value of each and where it comes from. Units are last in the
names.

Secrets are no settings: `TABARD_SECRET_KEY` or `TABARD_SECRET_KEY_FILE` hold the keys that seal destination secrets
(`1:<64 hex digits>`, a line each; the highest number seals, all of them open). Without them the keys in `data/keys/`
are used. What Kubernetes says of a service named `tabard` or `tabard-…` (`TABARD_SERVICE_HOST`, `TABARD_PORT`, …) is
ignored; any other `TABARD_` variable that names no setting is refused.

| setting | default | environment | what it is for |
| --- | --- | --- | --- |
"""

_TELEMETRY_INTRO: Final = """# Telemetry

`/metrics` of the collector shows the numbers of every role of the installation in the Prometheus text format. Labels
are few and bounded: sources and destinations by their id, reasons from closed sets.

| metric | kind | labels | what it says |
| --- | --- | --- | --- |
"""

_LOGS: Final = """
Logs go to standard error, as text or (`--json`, `log_json`) as JSON lines with `timestamp`, `level`, `role`, `event`
and the fields of the event. They hold neither payloads nor secrets. What libraries say arrives as `library.said`.
A problem that lasts, such as a full disk, is written when it begins and then once a minute, with how often it came
meanwhile (`repeated`).

Events that need a person: `supervisor.crash_loop` (a role dies again and again), `supervisor.role.hung`,
`delivery.destination.unusable`, `delivery.books.unbalanced`, `resolver.log_gap`, `collector.append.failed`,
`collector.script.damaged` (a kept script is refused: restore its file, or remove it).

With `alarm_url` set, the web role sends `{"data", "at", "raised": […], "cleared": […]}` there by POST whenever
a warning of `tabard status` appears or goes: a role that is down, lag, dead letters, a paused destination, low disk,
books that do not balance.
"""


def commands_page() -> str:
    """docs/commands.md: every command with its help."""
    parts = [_COMMANDS_INTRO]
    for path, command in _walk(main, ("tabard",)):
        parts.append(f"\n## {' '.join(path)}\n\n```text\n{_help(command, ' '.join(path))}\n```\n")
    return "".join(parts)


def settings_page() -> str:
    """docs/settings.md: every setting with its default."""
    about = descriptions()
    defaults = msgspec.to_builtins(Settings())
    rows = (
        f"| `{name}` | `{_text(defaults[name])}` | `TABARD_{name.upper()}` | {about[name]} |"
        for name in Settings.__struct_fields__
    )
    return _SETTINGS_INTRO + "\n".join(rows) + "\n"


def telemetry_page() -> str:
    """docs/telemetry.md: every metric and what logs are like."""
    rows = []
    for metric in METRICS:
        name = f"{metric.name}_total" if metric.kind is MetricKind.COUNTER else metric.name
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        rows.append(f"| `{name}` | {metric.kind} | {labels} | {metric.help} |")
    return _TELEMETRY_INTRO + "\n".join(rows) + "\n" + _LOGS


PAGES: Final[dict[str, Callable[[], str]]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "telemetry.md": telemetry_page,
}


def page(name: str) -> str:
    """The whole text of one of `PAGES`."""
    return _MADE + PAGES[name]()


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if path != ("tabard",):
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _walk(found, (*path, name))


def _help(command: click.Command, path: str) -> str:
    names = main.context_settings["help_option_names"]
    context = click.Context(command, info_name=path, terminal_width=110, help_option_names=names)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def _text(value: object) -> str:
    return '""' if value == "" else str(value)


if __name__ == "__main__":
    for each in PAGES:
        (Path(sys.argv[1]) / each).write_text(page(each), "utf-8")
