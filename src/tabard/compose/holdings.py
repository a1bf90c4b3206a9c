"""What still holds a person's data after a deletion, and until when: shown with every delete."""

from typing import Any

from tabard.clock import Clock
from tabard.compose.destinations import registry_of
from tabard.compose.running import running_settings
from tabard.compose.workspace import open_workspace
from tabard.message.traits import iso_ms
from tabard.storage.sqlite.installation import Installation

_DAY_S = 86_400


def holdings(installation: Installation, clock: Clock) -> list[dict[str, Any]]:
    """Places that a delete does not reach at once, or never, each with the time or deed that ends it."""
    settings = running_settings(installation)
    log_days, rejection_days = settings.log_retention_s / _DAY_S, settings.rejections_age_s / _DAY_S
    earliest = iso_ms(clock.now_ms() + settings.log_retention_s * 1000)
    found = {
        "store": "the resolver overwrites the listed identifiers' messages in seconds, or once it runs",
        "delivery": "the deliverer overwrites their dead letters and attempts in about ten minutes, or once it runs",
        "deletion": "it names the listed identifiers and stays, in log and store, so that a rebuild obeys it",
        "hashes": "keyed hashes, messageIds and times stay: late copies and messages are known by them",
        "other identifiers": "what was said of identifiers of the same person that are not listed stays: list them",
        "other people": "messages about others that mention a listed identifier, such as a shared device, stay",
        "log": (
            f"not before {earliest}: a segment goes {log_days:g} days after it was full (or an hour old) and read; "
            "the newest of a partition goes only after another message began the next"
        ),
        "rejections": f"what was refused is kept {rejection_days:g} days",
        "quarantine": "what could not be processed is kept until newer records displace it",
        "backups": "you remove the backups taken before",
    }
    copies = sorted(path.name for path in installation.data.glob("*.before-*"))
    if copies:
        found["copies of an upgrade"] = f"you remove {', '.join(copies)}"
    with open_workspace(installation.data) as workspace:
        instances = workspace.destinations()
    known = registry_of(installation).destinations
    for each in instances:
        kind = known.get(each.slug)
        is_told = kind is not None and kind.on_delete is not None
        found[f"destination {each.name}"] = (
            "it is asked to erase them; `tabard dead-letter list` names what it refused"
            if is_told
            else "it has no way to be asked: erase them there by hand"
        )
    return [{"place": place, "until": until} for place, until in found.items()]
