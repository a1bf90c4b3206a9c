"""Named SQL statements, read once at import from a `.sql` file that stands beside the code that uses them."""

from pathlib import Path
from typing import Final

_MARK: Final = "-- name: "


def statements(path: Path) -> dict[str, str]:
    """The statements of a `.sql` file by name; each begins with a line `-- name: <name>`."""
    found: dict[str, str] = {}
    for part in path.read_text("utf-8").split(_MARK)[1:]:
        name, _, text = part.partition("\n")
        found[name.strip()] = text.strip()
    return found
