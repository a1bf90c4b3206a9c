"""Looks an installation over: each check says what it found and, where that is not well, what to do."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, Final

import apsw
import msgspec

from tabard.compose.collector_client import Answer, CollectorClient, Unreachable
from tabard.compose.destinations import registry_of
from tabard.compose.running import local_url, running_role, running_settings
from tabard.compose.status import status
from tabard.log.drivers.sqlite import check_integrity
from tabard.log.interface import LogUnavailable
from tabard.settings import SettingsInvalid, collector_url
from tabard.storage.sqlite.database import (
    DatabaseMissing,
    DatabaseTooNew,
    MigrationChanged,
    check_migrations,
    connect,
)
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.keys import KeyUnusable, sealing_keys
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader
from tabard.workspace.types import Source

_OK: Final = 200
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: its name, whether all is well, what was seen, and what to do if not."""

    check: str
    ok: bool
    seen: str
    fix: str = ""


Check = Callable[[Installation], Iterator[Finding]]

_UNREADABLE: Final = (
    apsw.Error,
    DatabaseTooNew,
    KeyUnusable,
    LogUnavailable,
    MigrationChanged,
    OSError,
    SettingsInvalid,
    msgspec.DecodeError,
)
_FIXES: Final = {"rules_changed": "tabard rebuild"}
"""What one command mends, by the code of the warning."""
_MEND: Final = "restore a backup (`tabard restore`); docs/operations.md says more"


def examine(installation: Installation, now_ms: int, *, deep: bool = False) -> list[Finding]:
    """All checks. `deep` reads the databases and the log whole."""
    checks: dict[str, Check] = {
        "sqlite": _sqlite,
        "databases": lambda each: _databases(each, deep=deep),
        "keys": _secrets,
        "secrets": _sealed,
        "destinations": _destinations,
        "collector": _collector,
        "status": lambda each: _of_status(status(each, now_ms)),
    }
    if deep:
        checks["log"] = _whole_log
    return [finding for name, check in checks.items() for finding in _made(name, check, installation)]


def _made(name: str, check: Check, installation: Installation) -> Iterator[Finding]:
    """The findings of a check; what keeps it from being made is one too, so that the others are made all the same."""
    try:
        yield from check(installation)
    except _UNREADABLE as problem:
        yield Finding(check=name, ok=False, seen=f"could not be checked: {problem}", fix=_MEND)


def _databases(installation: Installation, *, deep: bool) -> Iterator[Finding]:
    for name, path in installation.databases.items():
        try:
            with contextlib.closing(connect(path, read_only=True)) as database:
                check_migrations(database, name)
                problem = database.execute("PRAGMA quick_check(1)").get if deep else "ok"
        except DatabaseMissing:
            continue
        except _UNREADABLE as found:
            yield Finding(check=path.name, ok=False, seen=str(found), fix=_MEND)
        else:
            fix = "" if problem == "ok" else _MEND
            how = "every page was read" if deep else "it opens"
            yield Finding(check=path.name, ok=not fix, seen=f"{path} is damaged: {problem}" if fix else how, fix=fix)


def _sqlite(_: Installation) -> Iterator[Finding]:
    yield Finding(check="sqlite", ok=True, seen=f"SQLite {apsw.sqlite_lib_version()}, apsw {apsw.apsw_version()}")


def _secrets(installation: Installation) -> Iterator[Finding]:
    files = [installation.keys, *installation.keys.iterdir()]
    open_to_others = [path for path in files if path.stat().st_mode & _OTHERS]
    yield Finding(
        check="keys",
        ok=not open_to_others,
        seen=f"{len(files) - 1} files; the admin token is in {installation.keys / 'admin-token'}",
        fix=f"chmod go= {' '.join(map(str, open_to_others))}" if open_to_others else "",
    )


def _sealed(installation: Installation) -> Iterator[Finding]:
    try:
        keys = sealing_keys(installation, os.environ)
        with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
            for instance in workspace.destinations():
                keys.open_settings(instance.settings)
    except KeyUnusable as problem:
        yield Finding(check="secrets", ok=False, seen="a destination's secrets do not open", fix=str(problem))
    else:
        yield Finding(check="secrets", ok=True, seen=f"all open; key {keys.newest} seals")


def _destinations(installation: Installation) -> Iterator[Finding]:
    registry = registry_of(installation)
    for broken in registry.broken:
        yield Finding(check="plugin", ok=False, seen=f"{broken.origin} was left out", fix=broken.reason)
    yield Finding(check="destinations", ok=True, seen=f"kinds: {', '.join(sorted(registry.destinations))}")


def _collector(installation: Installation) -> Iterator[Finding]:
    settings = running_settings(installation)
    role = running_role(installation, "collector")
    if role is None:
        fix = f"tabard serve --data {installation.data}"
        yield Finding(check="collector", ok=False, seen="no collector runs", fix=fix)
        return
    with contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace:
        source = next((each for each in workspace.sources() if each.enabled), None)
    here, public = local_url(settings, role), collector_url(settings)
    yield _asked("ready", here, "/ready", "the log cannot commit: see `tabard status` and the collector's log")
    if source is None:
        yield Finding(check="source", ok=False, seen="no source is enabled", fix="tabard source add NAME")
        return
    yield _settings_document(here, public, source)
    yield _snippet(here, source)
    if public != here:
        fix = f"clients use {public}: check DNS, the proxy in front and public_url"
        path = f"/v1/projects/{source.write_key}/settings"
        yield _asked("public_url", public, path, fix, is_own=False)


def _settings_document(here: str, public: str, source: Source) -> Finding:
    answer = _get(here, f"/v1/projects/{source.write_key}/settings")
    hosts = sorted(_api_hosts(answer.document)) if answer else []
    host = public.partition("://")[2].rstrip("/")
    strange = [each for each in hosts if not each.startswith(host)]
    return Finding(
        check="settings document",
        ok=bool(answer and answer.status == _OK and hosts and not strange),
        seen=f"apiHost: {', '.join(hosts) or 'none'}",
        fix=f"a client that reads it sends elsewhere than {host}; set public_url" if strange or not hosts else "",
    )


def _snippet(here: str, source: Source) -> Finding:
    path = f"/v1/analytics-js/snippet/{source.write_key}/analytics.min.js"
    return _asked("browser client", here, path, "the browser client is not served; reinstall Tabard")


def _asked(check: str, url: str, path: str, fix: str, *, is_own: bool = True) -> Finding:
    answer = _get(url, path, is_own=is_own)
    seen = f"{url}{path} answered {answer.status}" if answer else f"{url}{path} did not answer"
    is_well = answer is not None and answer.status == _OK
    return Finding(check=check, ok=is_well, seen=seen, fix="" if is_well else fix)


def _get(url: str, path: str, *, is_own: bool = True) -> Answer | None:
    try:
        return CollectorClient(url, "", is_own=is_own).get(path)
    except Unreachable:
        return None


def _api_hosts(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {value for key, value in document.items() if key == "apiHost" and isinstance(value, str)}
        return own.union(*(_api_hosts(value) for value in document.values()))
    return set()


def _of_status(document: dict[str, Any]) -> Iterator[Finding]:
    warnings = document["warnings"]
    for warning in warnings:
        yield Finding(
            check=warning["code"],
            ok=False,
            seen=warning["message"],
            fix=_FIXES.get(warning["code"], "tabard status; docs/operations.md says what helps"),
        )
    if not warnings:
        roles = ", ".join(role["name"] for role in document["roles"])
        behind = document["log"]["unresolved"]
        seen = f"{roles} run; the books balance; {behind} accepted messages are not resolved yet"
        yield Finding(check="status", ok=True, seen=seen)


def _whole_log(installation: Installation) -> Iterator[Finding]:
    report = check_integrity(installation.log)
    seen = f"{report.entries} entries in {report.segments} segments, {report.bytes} bytes"
    yield Finding(
        check="log", ok=not report.problems, seen=seen, fix="; ".join(report.problems) if report.problems else ""
    )
