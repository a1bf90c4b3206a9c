"""Which source a command of the CLI speaks for, and the collector it speaks to."""

from pathlib import Path

from tabard.compose.workspace import open_workspace
from tabard.workspace.types import Source, SourceKind


class SourceUnknown(LookupError):
    """There is no such source; the text names the fix."""


def named_source(data: Path, name: str) -> Source:
    """The source of that name or id. Raises `SourceUnknown`."""
    found = next((each for each in _sources(data) if name in (each.name, each.id)), None)
    if found is None:
        raise SourceUnknown(f"there is no source {name!r}; `tabard source list` shows them")
    return found


def source_to_send_as(data: Path, name: str | None) -> Source:
    """The named source, else the first enabled server source, else the first enabled one. Raises `SourceUnknown`."""
    if name is not None:
        return named_source(data, name)
    enabled = [each for each in _sources(data) if each.enabled]
    if not enabled:
        raise SourceUnknown("no source is enabled; add one with `tabard source add NAME`")
    return next((each for each in enabled if each.kind is SourceKind.SERVER), enabled[0])


def _sources(data: Path) -> list[Source]:
    with open_workspace(data) as workspace:
        return workspace.sources()
