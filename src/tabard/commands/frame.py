"""What every command shares: its options, its one shape of output, its one shape of failure, the exit codes."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from tabard.message.traits import iso_ms
from tabard.message.types import CONTROL, position_text
from tabard.storage.interface import Behind

F = TypeVar("F", bound=Callable[..., Any])

EXIT_PROBLEM: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_INSTALLATION: Final = 4
EXIT_UNREACHABLE: Final = 5

data_option: Final = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    envvar="TABARD_DATA",
    show_default=True,
    help="Folder of the installation.",
)
json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output and nothing else."
)


class CommandFailed(click.ClickException):
    """A command cannot do what it was asked: a name from a closed set, a sentence with the fix, an exit code."""

    def __init__(self, code: str, message: str, exit_code: int = EXIT_PROBLEM) -> None:
        super().__init__(message)
        self.code = code
        self.status = exit_code


def not_found(what: str, name: str, fix: str) -> CommandFailed:
    """The failure for a thing that is not there."""
    return CommandFailed(f"{what.replace(' ', '_')}_unknown", f"there is no {what} {name!r}; {fix}", EXIT_NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as it is shown."""

    code: str
    message: str
    exit_code: int


_NAMED: Final = {
    "NoInstallation": ("no_installation", EXIT_INSTALLATION),
    "InstallationIncomplete": ("installation_incomplete", EXIT_INSTALLATION),
    "InstallationDamaged": ("installation_damaged", EXIT_INSTALLATION),
    "FormatTooNew": ("format_too_new", EXIT_INSTALLATION),
    "DatabaseTooNew": ("format_too_new", EXIT_INSTALLATION),
    "MigrationChanged": ("migration_changed", EXIT_INSTALLATION),
    "DatabaseCorrupt": ("database_corrupt", EXIT_INSTALLATION),
    "DatabaseMissing": ("no_installation", EXIT_INSTALLATION),
    "SecretChanged": ("secret_changed", EXIT_INSTALLATION),
    "KeyUnusable": ("key_unusable", EXIT_INSTALLATION),
    "BusyError": ("database_busy", EXIT_INSTALLATION),
    "ReadOnlyError": ("disk_read_only", EXIT_INSTALLATION),
    "FullError": ("disk_full", EXIT_INSTALLATION),
    "CorruptError": ("database_corrupt", EXIT_INSTALLATION),
    "NotADBError": ("database_corrupt", EXIT_INSTALLATION),
    "SettingsInvalid": ("settings_invalid", EXIT_USAGE),
    "AddressInvalid": ("address_invalid", EXIT_USAGE),
    "AddressInUse": ("address_in_use", EXIT_INSTALLATION),
    "Unreachable": ("not_reachable", EXIT_UNREACHABLE),
    "OrderRefused": ("order_refused", EXIT_PROBLEM),
    "DestinationTestFailed": ("destination_test_failed", EXIT_PROBLEM),
    "AlreadyRunning": ("already_running", EXIT_INSTALLATION),
    "SourceUnknown": ("source_unknown", EXIT_NOT_FOUND),
    "DestinationUnknown": ("destination_unknown", EXIT_NOT_FOUND),
    "ReplayUnknown": ("replay_unknown", EXIT_NOT_FOUND),
    "ImportStopped": ("import_stopped", EXIT_PROBLEM),
    "BackupRefused": ("backup_refused", EXIT_PROBLEM),
    "BackupDamaged": ("backup_damaged", EXIT_PROBLEM),
    "StoreLocked": ("store_locked", EXIT_INSTALLATION),
    "LogFormatUnknown": ("format_too_new", EXIT_INSTALLATION),
    "NameTaken": ("name_taken", EXIT_USAGE),
    "NameInvalid": ("name_invalid", EXIT_USAGE),
    "BrowserOptionsInvalid": ("browser_options_invalid", EXIT_USAGE),
    "DeclarationInvalid": ("declaration_invalid", EXIT_USAGE),
    "PermissionError": ("permission_denied", EXIT_INSTALLATION),
    "FileNotFoundError": ("file_missing", EXIT_NOT_FOUND),
}
"""Exceptions that mean a named failure, by class name, so that nothing is loaded to tell them apart."""


def exit_code_of(warnings: Iterable[str]) -> int:
    """The exit code of `status` and `doctor` by the codes of what needs a person."""
    codes = set(warnings)
    if "not_running" in codes:
        return EXIT_UNREACHABLE
    return EXIT_PROBLEM if codes else 0


def failure_names() -> list[str]:
    """The names that stand for an exception; commands raise further ones themselves (`CommandFailed`)."""
    return sorted({name for name, _ in _NAMED.values()})


def failure_of(problem: Exception) -> Failure | None:
    """The named failure an exception stands for; None for a defect, which is shown with its trace."""
    if isinstance(problem, CommandFailed):
        return Failure(problem.code, problem.message, problem.status)
    if isinstance(problem, click.exceptions.Abort):
        return Failure("interrupted", "stopped before the end", 130)
    if isinstance(problem, click.UsageError):
        hint = f"; see `{problem.ctx.command_path} --help`" if problem.ctx else ""
        return Failure("usage", f"{problem.format_message().rstrip('.')}{hint}", EXIT_USAGE)
    for kind in type(problem).__mro__:
        if kind.__name__ == "LogUnavailable":
            return Failure(str(getattr(problem, "code", "log_failed")), str(problem), EXIT_INSTALLATION)
        if kind.__name__ in _NAMED:
            code, exit_code = _NAMED[kind.__name__]
            return Failure(code, _sentence(problem), exit_code)
    return None


def _sentence(problem: Exception) -> str:
    if type(problem).__name__ in ("CorruptError", "NotADBError"):
        return f"{problem}; `tabard doctor --deep` names the damaged file; restore a backup (`tabard restore`)"
    if isinstance(problem, OSError) and problem.filename:
        return f"{problem.filename}: {problem.strerror}"
    return str(problem)


def show_failure(failure: Failure, *, as_json: bool) -> int:
    """Prints a failure (standard error, or the JSON document on standard output) and returns its exit code."""
    if as_json:
        print_json({"error": {"code": failure.code, "message": failure.message}})
    else:
        print_line(f"tabard: {failure.code}: {failure.message}", err=True)
    return failure.exit_code


def stop_printing() -> None:
    """Lets standard output go nowhere, after its reader has gone: a later flush would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(document: Any) -> None:
    """Prints one JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))


def print_json_line(document: Any) -> None:
    """Prints one JSON document as one line, where more follow."""
    click.echo(msgspec.json.encode(document).decode())


_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTIONS: Final = (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_WRITTEN_OUT: Final = {
    code: chr(code).encode("unicode_escape").decode() for code in (*_CONTROLS, *_DIRECTIONS, 0x2028, 0x2029)
}
"""Control characters, what turns the direction of writing round, and the two separators of lines."""


def visible(text: str) -> str:
    """The text with everything that would steer a terminal or begin a line written out, as in `\\x1b`.

    Whoever has a public write key chooses event names and traits; an operator reads them in a shell.
    """
    return text.translate(_WRITTEN_OUT)


def print_line(text: str = "", *, err: bool = False) -> None:
    """Prints exactly one line, whatever the text holds (`visible`)."""
    click.echo(visible(text), err=err)


def print_notes(notes: Iterable[str]) -> None:
    """Prints what is worth knowing though nothing is wrong, on standard error."""
    for note in notes:
        print_line(f"tabard: {note}", err=True)


def print_block(text: str) -> None:
    """Prints text of several lines, indented, so that none of them can be taken for a line of ours."""
    for line in text.split("\n"):
        print_line(f"    {line}")


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints rows in aligned columns below their heads, each on one line."""
    lines = [[visible(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def behind_text(message: Behind, names: dict[str, str]) -> str:
    """The message or control behind a conclusion; `names`: source id → its name."""
    if message.type == CONTROL:
        what = f"control {message.message_id} at {position_text(message.position)}"
    else:
        what = f"message {message.message_id}, source {names.get(message.source, message.source)}"
    return f"{what}, {iso_ms(message.timestamp)}"


@contextlib.contextmanager
def progress_of(total: int, label: str, *, as_json: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar with the time left, on standard error while that is a terminal; the yielded call advances it."""
    if as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=max(total, 1), label=label, show_eta=True, file=sys.stderr) as bar:
        yield bar.update


def example(*lines: str) -> str:
    """The epilogue of a command's help: how to call it."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
