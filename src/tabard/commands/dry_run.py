"""`tabard resolve FILE`: who is who in an export, without an installation."""

import contextlib
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tabard.commands.frame import EXIT_USAGE, CommandFailed, print_json, print_line, print_notes
from tabard.compose.store import rules_of
from tabard.resolver.dry_run import TIMES, LineUnreadable
from tabard.resolver.dry_run import dry_run as resolved
from tabard.settings import load
from tabard.storage.sqlite.store import SqliteStore

_SECRET = bytes(32)


def dry_run(file: Path, options: dict[str, Any]) -> None:
    """Prints the profiles and groups of the file's lines: JSON with --json, else a line a profile."""
    rules = rules_of(load(flags=_limits(options)))
    with tempfile.TemporaryDirectory(prefix="tabard-resolve-") as folder:
        lines = _Lines()
        with contextlib.closing(SqliteStore(Path(folder) / "store.db", _SECRET, rules)) as store:
            try:
                found = resolved(_noting_untimed(lines.of(file)), store, rules)
            except LineUnreadable as problem:
                # Lines are read one by one: the one at fault is the last that was read.
                raise CommandFailed("line_unreadable", f"line {lines.number}: {problem}", EXIT_USAGE) from problem
    if options["log_json"]:
        print_json(found)
        return
    for profile in found["profiles"]:
        print_line(f"{profile['canonical']:32} {profile['events']:6}  {', '.join(profile['ids'])}")
        print_line(f"{'':32} {'':6}  {msgspec.json.encode(profile['traits']).decode()}")


def _limits(options: dict[str, Any]) -> dict[str, str]:
    config = str(options["config"]) if options["config"] else ""
    pairs = [pair for pair in [*config.split(","), *options["more"]] if pair]
    limits = dict(pair.partition("=")[::2] for pair in pairs)
    known = ("max_alias", "max_owners", "max_claims", "max_traits", "blocked_values")
    for name in limits:
        if name not in known:
            raise CommandFailed("usage", f"{name!r} is no limit of the rules; there are {', '.join(known)}", EXIT_USAGE)
    return limits


def _noting_untimed(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines; at their end a note says how many have no time, since their order does not count."""
    untimed = 0
    for line in lines:
        untimed += not any(line.get(field) for field in TIMES)
        yield line
    if untimed:
        print_notes([f"{untimed} lines have no time and count as of time 0; see `tabard resolve --help`"])


class _Lines:
    """The lines of a file that are not blank, as JSON objects; `number` is that of the one read last."""

    number = 0

    def of(self, file: Path) -> Iterator[dict[str, Any]]:
        """From standard input where the file is `-`. Raises `LineUnreadable`."""
        if str(file) == "-":
            yield from self._decoded(sys.stdin.buffer)
            return
        with file.open("rb") as lines:
            yield from self._decoded(lines)

    def _decoded(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        for self.number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError as problem:
                raise LineUnreadable(f"it is no JSON object ({problem}); write one call a line") from problem
