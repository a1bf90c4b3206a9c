"""How an installation is: its roles, its log and store with their books, its destinations, what needs a person."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tabard.compose.deliveries import InstallationDeliveries
from tabard.compose.destinations import line, registry_of
from tabard.compose.quarantine import InstallationQuarantine
from tabard.compose.role_status import SupervisedRole, running_roles, supervised_roles
from tabard.compose.running import running_settings
from tabard.compose.store import message_reader, rules_of
from tabard.delivery.addresses import REFUSED, refused_host
from tabard.log.disk import disk
from tabard.log.drivers.sqlite import SqliteLogReader
from tabard.settings import Settings
from tabard.storage.interface import SourceAdvice, SourceBooks
from tabard.storage.sqlite.database import is_made
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.store_usage import IDENTIFIES_MIN, SqliteUsageReader
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader

Json = dict[str, Any]

READS_MAX: Final = 20
LAG_WARNED: Final = 10_000
"""Messages behind which the resolver is warned about."""
DELIVERY_LAG_WARNED_MS: Final = 600_000
"""Age of the message a destination's cursor stands at, above which the destination is warned about."""
_RULES_CHANGED: Final = (
    "blocked_values or max_traits are not those by which the stored messages were read: profiles follow them only "
    "after `tabard rebuild`"
)


def status(installation: Installation, now_ms: int) -> Json:
    """The document of `tabard status` and `GET /api/status`."""
    roles = _roles(installation)
    settings = running_settings(installation)
    store = _store(installation, settings)
    log = _log(installation, store.resolved)
    destinations = _destinations(installation)
    space = disk(installation.data, settings.disk_floor_bytes)
    document: Json = {
        "at": now_ms,
        "data": str(installation.data),
        "roles": roles,
        "log": log,
        "books": _books(log, store),
        "sources": _sources(installation, store),
        "quarantine": InstallationQuarantine(installation).books(),
        "destinations": destinations,
        "disk": {"freeBytes": space.free_bytes, "floorBytes": space.floor_bytes},
    }
    broken = [f"{each.origin} is no destination: {each.reason}" for each in registry_of(installation).broken]
    refused = {} if settings.egress_private else _refused_hosts(installation)
    warnings = [
        *_warnings(document, below_floor=space.below_floor, refused=refused),
        *([_warning("rules_changed", "", _RULES_CHANGED)] if store.is_outdated else []),
        *_expiring(destinations, settings.archive_retention_s * 1000),
        *(_warning("plugin_broken", "", each) for each in broken),
    ]
    return {**document, "warnings": warnings}


def _roles(installation: Installation) -> list[Json]:
    supervised = {each.name: each for each in supervised_roles(installation.run)}
    alive = {role.name: (role, age_s) for role, age_s in running_roles(installation.run)}
    rows = []
    for name in sorted({*supervised, *alive}):
        role, age_s = alive.get(name, (None, None))
        known = supervised.get(name, SupervisedRole(name=name))
        rows.append(
            {
                "name": name,
                "running": role is not None,
                "pid": role.pid if role else None,
                "startedAt": role.started_at if role else None,
                "address": role.address if role else "",
                "beatAgeS": round(age_s, 1) if age_s is not None else None,
                "restarts": known.restarts,
                "crashLooping": known.crash_looping,
                "lastExit": known.last_exit,
            }
        )
    return rows


class _Store(msgspec.Struct, frozen=True):
    """What the store says at one moment."""

    resolved: dict[int, int] = {}
    books: list[SourceBooks] = []
    advice: list[SourceAdvice] = []
    is_outdated: bool = False


def _store(installation: Installation, settings: Settings) -> _Store:
    """Positions and books of one moment: read again where a commit came between."""
    if not is_made(installation.store_db):
        return _Store()
    with (
        contextlib.closing(message_reader(installation)) as messages,
        contextlib.closing(SqliteUsageReader(installation.store_db)) as usage,
    ):
        for _ in range(READS_MAX):
            is_outdated = messages.is_outdated(rules_of(settings))
            found = _Store(messages.resolved(), usage.books(), usage.advice(), is_outdated)
            if found.resolved == messages.resolved():
                break
        return found


def _log(installation: Installation, resolved: dict[int, int]) -> Json:
    with contextlib.closing(SqliteLogReader(installation.log)) as reader:
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
    return {"logId": log_id, "partitions": partitions, "unresolved": lag}


def _sources(installation: Installation, store: _Store) -> list[Json]:
    """Each source with its books and the advice on it."""
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        sources = workspace.sources()
    known = {each.source: each for each in store.books}
    advised = {each.source: each for each in store.advice}
    return [
        {
            "id": source.id,
            "name": source.name,
            "enabled": source.enabled,
            **_plain(known.get(source.id, SourceBooks(source.id))),
            "advice": _advice(advised[source.id]) if source.id in advised else {},
        }
        for source in sources
    ]


def _plain(struct: msgspec.Struct) -> Json:
    document: Json = msgspec.to_builtins(struct)
    return {key: value for key, value in document.items() if key != "source"}


def _advice(advice: SourceAdvice) -> Json:
    share = round(advice.unchanged / advice.identifies, 3) if advice.identifies else None
    return {**_plain(advice), "unchangedShare": share, "identifiesMin": IDENTIFIES_MIN}


def _books(log: Json, store: _Store) -> Json:
    """accepted = stored + duplicates (with conflicting ones) + quarantined + unresolved, to the message."""
    terms = {name: sum(getattr(each, name) for each in store.books) for name in _TERMS}
    resolved = sum(store.resolved.values())
    return {
        "accepted": resolved + log["unresolved"],
        **terms,
        "unresolved": log["unresolved"],
        "difference": resolved - terms["stored"] - terms["duplicates"] - terms["quarantined"],
    }


_TERMS: Final = ("stored", "duplicates", "conflicting", "quarantined")


def _destinations(installation: Installation) -> list[Json]:
    books = InstallationDeliveries(installation).books()
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        instances = workspace.destinations()
    return [line(each, books) for each in instances]


def _refused_hosts(installation: Installation) -> dict[str, str]:
    """Destination → its address, where that is a private one."""
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        found = {each.name: refused_host(each.settings) for each in workspace.destinations() if each.enabled}
    return {name: host for name, host in found.items() if host}


def _warnings(document: Json, *, below_floor: bool, refused: dict[str, str]) -> Iterator[Json]:
    """What needs a person: a stable code, the role or destination it is about, and a sentence."""
    yield from _role_warnings(document)
    if below_floor:
        text = "free disk is below disk_floor_bytes: the collector answers 503 until there is room"
        yield _warning("disk_floor", "", text)
    lag = document["log"]["unresolved"]
    if lag > LAG_WARNED:
        yield _warning("resolver_behind", "", f"the resolver is {lag} messages behind")
    if document["books"]["difference"]:
        yield _warning("books_differ", "", f"the books differ by {document['books']['difference']} messages")
    for name, host in refused.items():
        yield _warning("destination_private", name, f"destination {name} is at {host}: {REFUSED}")
    for destination in document["destinations"]:
        yield from _destination_warnings(destination)


def _role_warnings(document: Json) -> Iterator[Json]:
    if not any(role["running"] for role in document["roles"]):
        yield _warning("not_running", "", f"nothing runs here; start `tabard serve --data {document['data']}`")
        return
    for role in document["roles"]:
        last = role["lastExit"] or "not started"
        if role["crashLooping"]:
            yield _warning("crash_loop", role["name"], f"{role['name']} dies again and again ({last}); see its log")
        elif not role["running"]:
            yield _warning("role_down", role["name"], f"{role['name']} does not run ({last})")


def _destination_warnings(destination: Json) -> Iterator[Json]:
    name, state = destination["name"], destination.get("state", "")
    if state == "paused" and destination.get("pausedAt"):
        text = f"destination {name} is {destination['why']}; `tabard destination resume {name}` lets it go on"
        yield _warning("destination_paused", name, text)
    elif state in ("paused", "unusable"):
        yield _warning(f"destination_{state}", name, f"destination {name} is {state}: {destination.get('why', '')}")
    if destination.get("lagMs", 0) > DELIVERY_LAG_WARNED_MS:
        text = f"destination {name} is {destination['lagMs'] // 60_000} minutes behind"
        yield _warning("destination_behind", name, text)
    if destination.get("unbalanced"):
        yield _warning("books_unbalanced", name, f"the books of {name} do not balance: {destination['unbalanced']}")
    dead = destination["books"].get("dead")
    if dead:
        yield _warning("dead_letters", name, f"destination {name} has {dead} dead letters")
    failed = destination.get("erasures", {}).get("failed")
    if failed:
        text = f"destination {name} did not carry out {failed} deletions; `tabard dead-letter list` names the people"
        yield _warning("erasures_failed", name, text)


def _expiring(destinations: list[Json], kept_ms: int) -> Iterator[Json]:
    """What waits at a paused destination for more than half of the time that bodies are kept."""
    for each in destinations:
        waited_ms = each.get("lagMs", 0)
        if kept_ms and each.get("state") == "paused" and waited_ms > kept_ms / 2:
            left_h = max(0, kept_ms - waited_ms) / 3_600_000
            text = f"what waits at destination {each['name']} expires from {left_h:.1f} hours on (archive_retention_s)"
            yield _warning("destination_expiring", each["name"], text)


def _warning(code: str, subject: str, message: str) -> Json:
    return {"code": code, "subject": subject, "message": message}
