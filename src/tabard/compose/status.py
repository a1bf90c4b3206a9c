"""How an installation is: its roles, its log and store with their books, its destinations, what needs a person."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tabard.compose.role_status import running_roles
from tabard.compose.running import running_role, running_settings
from tabard.compose.store import message_reader
from tabard.log.disk import disk
from tabard.log.drivers.sqlite import SqliteLogReader
from tabard.storage.deliveries import Term
from tabard.storage.interface import Count
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.delivery import SqliteDeliveryReader
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.usage import SqliteUsageReader
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader

Json = dict[str, Any]

LAG_WARNED: Final = 10_000
"""Messages behind which the resolver is warned about."""


def status(installation: Installation, now_ms: int) -> Json:
    """The document of `tabard status` and `GET /api/status`."""
    roles = _roles(installation)
    log, lag = _log(installation)
    counts = _counts(installation)
    destinations = _destinations(installation)
    settings = running_settings(installation)
    space = disk(installation.data, settings.disk_floor_bytes)
    document: Json = {
        "at": now_ms,
        "data": str(installation.data),
        "roles": roles,
        "log": log,
        "books": _books(log, counts),
        "sources": _sources(installation, counts),
        "destinations": destinations,
        "disk": {"freeBytes": space.free_bytes, "floorBytes": space.floor_bytes},
    }
    return {**document, "warnings": [*_warnings(document, lag, below_floor=space.below_floor)]}


def delivery_books(installation: Installation) -> dict[str, Json]:
    """Consumer id → its terms over all sources, with reasons; {} before the first deliverer ran."""
    try:
        reader = SqliteDeliveryReader(installation.delivery_db)
    except DatabaseMissing:
        return {}
    with contextlib.closing(reader):
        found: dict[str, Json] = {}
        for state in reader.consumers():
            terms: Counter[str] = Counter(dict.fromkeys(Term, 0))
            for book in reader.books(state.id):
                terms.update(book.terms)
            found[state.id] = {**{str(term): number for term, number in terms.items()}, "state": state.state}
        return found


def _roles(installation: Installation) -> list[Json]:
    supervised: dict[str, Json] = {}
    with contextlib.suppress(FileNotFoundError):
        told = msgspec.json.decode((installation.run / "supervisor.json").read_bytes())
        supervised = {each["name"]: each for each in told["roles"]}
    alive = {role.name: (role, age_s) for role, age_s in running_roles(installation.run)}
    rows = []
    for name in sorted({*supervised, *alive}):
        role, age_s = alive.get(name, (None, None))
        known = supervised.get(name, {})
        rows.append(
            {
                "name": name,
                "running": role is not None,
                "pid": role.pid if role else None,
                "startedAt": role.started_at if role else None,
                "address": role.address if role else "",
                "beatAgeS": round(age_s, 1) if age_s is not None else None,
                "restarts": known.get("restarts", 0),
                "crashLooping": known.get("crashLooping", False),
                "lastExit": known.get("lastExit", ""),
            }
        )
    return rows


def _log(installation: Installation) -> tuple[Json, int]:
    with contextlib.closing(SqliteLogReader(installation.log)) as reader:
        resolved = _resolved(installation)
        partitions = [
            {
                "partition": partition,
                "start": reader.start(partition),
                "end": reader.end(partition),
                "resolved": resolved.get(partition, 0),
            }
            for partition in reader.partitions()
        ]
        log_id = reader.log_id
    lag = sum(max(0, each["end"] - each["resolved"]) for each in partitions)
    return {"logId": log_id, "partitions": partitions, "unresolved": lag}, lag


def _resolved(installation: Installation) -> dict[int, int]:
    try:
        reader = message_reader(installation)
    except DatabaseMissing:
        return {}
    with contextlib.closing(reader):
        return reader.resolved()


def _counts(installation: Installation) -> list[Count]:
    try:
        reader = SqliteUsageReader(installation.store_db)
    except DatabaseMissing:
        return []
    with contextlib.closing(reader):
        return reader.counts()


def _books(log: Json, counts: list[Count]) -> Json:
    """accepted = stored + duplicate + conflicting + quarantined + unresolved, to the message."""
    accepted = sum(each["end"] for each in log["partitions"])
    terms = {name: sum(each.n for each in counts if each.name == counted) for name, counted in _TERMS.items()}
    unresolved = log["unresolved"]
    return {
        "accepted": accepted,
        **terms,
        "unresolved": unresolved,
        "difference": accepted - sum(terms.values()) - unresolved,
    }


_TERMS: Final = {
    "stored": "call",
    "duplicate": "duplicate",
    "conflicting": "conflicting_duplicate",
    "quarantined": "quarantined",
}
"""Term of the books → the name it is counted under."""


def _sources(installation: Installation, counts: list[Count]) -> list[Json]:
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        sources = workspace.sources()
    rows = []
    for source in sources:
        own: Counter[str] = Counter()
        warnings: Counter[str] = Counter()
        for each in counts:
            if each.source == source.id:
                own[each.name] += each.n
                if each.name == "warning":
                    warnings[each.key] += each.n
        identifies = own["identify"] + own["identify_unchanged"]
        rows.append(
            {
                "id": source.id,
                "name": source.name,
                "enabled": source.enabled,
                "stored": own["call"],
                "duplicate": own["duplicate"],
                "conflicting": own["conflicting_duplicate"],
                "controlIgnored": own["control_ignored"],
                "identifyUnchangedShare": round(own["identify_unchanged"] / identifies, 3) if identifies else None,
                "warnings": dict(warnings),
            }
        )
    return rows


def _destinations(installation: Installation) -> list[Json]:
    books = delivery_books(installation)
    told: Json = {}
    with contextlib.suppress(FileNotFoundError):
        if running_role(installation, "deliverer") is not None:
            told = msgspec.json.decode((installation.run / "deliverer.json").read_bytes())["destinations"]
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        instances = workspace.destinations()
    return [
        {
            "id": each.id,
            "name": each.name,
            "kind": each.slug,
            "enabled": each.enabled,
            "books": books.get(each.id, {}),
            "delivery": told.get(each.id, {}),
        }
        for each in instances
    ]


def _warnings(document: Json, lag: int, *, below_floor: bool) -> Iterator[str]:
    for role in document["roles"]:
        if role["crashLooping"]:
            yield f"{role['name']} dies again and again ({role['lastExit']}); its log says why"
        elif not role["running"]:
            yield f"{role['name']} does not run ({role['lastExit'] or 'not started'})"
    if below_floor:
        yield "free disk is below disk_floor_bytes: the collector answers 503 until there is room"
    if lag > LAG_WARNED:
        yield f"the resolver is {lag} messages behind"
    if document["books"]["difference"]:
        yield f"the books differ by {document['books']['difference']} messages"
    for destination in document["destinations"]:
        state = destination["delivery"].get("state", "")
        if state in ("paused", "unusable"):
            yield f"destination {destination['name']} is {state}: {destination['delivery'].get('why', '')}"
        dead = destination["books"].get("dead", 0)
        if dead:
            yield f"destination {destination['name']} has {dead} dead letters"
