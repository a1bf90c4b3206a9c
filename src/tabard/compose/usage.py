"""What a month used: calls by source and type, distinct people, and whether the soft limits are kept."""

import contextlib
from typing import Any

from tabard.compose.running import running_settings
from tabard.message.types import CALL_TYPES
from tabard.storage.sqlite.database import is_made
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.store_usage import SqliteUsageReader
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader


def usage(installation: Installation, month: str) -> dict[str, Any]:
    """The document of `tabard usage` for a month (`2026-11`). A call counts in the month it was received."""
    settings = running_settings(installation)
    rows, people = _counted(installation, month)
    calls = sum(row["calls"] for row in rows)
    limits = (
        ("calls", calls, settings.usage_calls_max, "usage_calls_max"),
        ("people", people, settings.usage_people_max, "usage_people_max"),
    )
    warnings = [
        f"{number} {what} in {month} are above {setting} = {limit}; nothing is refused for it"
        for what, number, limit, setting in limits
        if 0 < limit < number
    ]
    return {"month": month, "calls": calls, "people": people, "rows": rows, "warnings": warnings}


def _counted(installation: Installation, month: str) -> tuple[list[dict[str, Any]], int]:
    if not is_made(installation.store_db):
        return [], 0
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        names = {source.id: source.name for source in workspace.sources()}
    with contextlib.closing(SqliteUsageReader(installation.store_db)) as reader:
        rows = [
            {"source": names.get(row.source, row.source), "type": row.type, "calls": row.calls}
            for row in reader.usage(month)
            if row.type in CALL_TYPES
        ]
        return rows, reader.people(month)
