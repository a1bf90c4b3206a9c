"""What a month used: calls by source and type, distinct people, and whether the soft limits are kept."""

import contextlib
from typing import Any

from tabard.compose.running import running_settings
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.usage import SqliteUsageReader
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader


def usage(installation: Installation, year: int, month: int) -> dict[str, Any]:
    """The document of `tabard usage`. A call counts in the month it was received, a person with any such call."""
    settings = running_settings(installation)
    named = f"{year:04d}-{month:02d}"
    rows, people = _counted(installation, named, year, month)
    calls = sum(row["calls"] for row in rows)
    limits = (
        ("calls", calls, settings.usage_calls_max, "usage_calls_max"),
        ("people", people, settings.usage_people_max, "usage_people_max"),
    )
    warnings = [
        f"{number} {what} in {named} are above {setting} = {limit}; nothing is refused for it"
        for what, number, limit, setting in limits
        if 0 < limit < number
    ]
    return {"month": named, "calls": calls, "people": people, "rows": rows, "warnings": warnings}


def _counted(installation: Installation, named: str, year: int, month: int) -> tuple[list[dict[str, Any]], int]:
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        names = {source.id: source.name for source in workspace.sources()}
    try:
        reader = SqliteUsageReader(installation.store_db)
    except DatabaseMissing:
        return [], 0
    with contextlib.closing(reader):
        rows = []
        for each in reader.counts():
            call_type, _, counted = each.key.partition("/")
            if each.name == "call" and counted == named:
                rows.append({"source": names.get(each.source, each.source), "type": call_type, "calls": each.n})
        return rows, reader.people(year, month)
