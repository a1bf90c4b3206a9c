"""What still holds a person's data after a deletion, and until when: shown with every delete."""

from typing import Any

from tabard.compose.running import running_settings
from tabard.compose.workspace import open_workspace
from tabard.storage.sqlite.installation import Installation

_DAY_S = 86_400


def holdings(installation: Installation) -> list[dict[str, Any]]:
    """Places that a delete does not reach at once, each with the time or deed that ends it."""
    settings = running_settings(installation)
    log_days = settings.log_retention_s / _DAY_S
    rejection_days = settings.rejections_age_s / _DAY_S
    found = [
        {"place": "log", "until": f"its segments are removed {log_days:g} days after they were consumed"},
        {"place": "rejections", "until": f"what was refused is kept {rejection_days:g} days"},
        {"place": "quarantine", "until": "what could not be processed is kept until newer records displace it"},
        {"place": "backups", "until": "you remove the backups taken before"},
    ]
    with open_workspace(installation.data) as workspace:
        names = [each.name for each in workspace.destinations()]
    return [*found, *({"place": f"destination {name}", "until": "it is told, where it can be"} for name in names)]
