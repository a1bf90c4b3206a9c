"""The resolver on the embedded log and store; it also removes what of the log nobody needs any more."""

import contextlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import msgspec

from tabard.compose.role_process import RoleProcess, stop_on_signals
from tabard.compose.store import rules_of
from tabard.identity.rules import Ignored
from tabard.log.drivers.sqlite import SqliteLogReader, SqliteRetention
from tabard.log.progress import FileProgress, replace
from tabard.log.quarantine import Quarantine
from tabard.log.retention import RetentionPolicy
from tabard.resolver.consumer import Parts, Status, run
from tabard.storage.sqlite.installation import Installation, profile_secret
from tabard.storage.sqlite.store import SqliteStore, StoreOptions
from tabard.storage.sqlite.store_usage import SqliteUsageReader
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import gauge

SWEEP_S: Final = 60.0


def run_resolver(role: RoleProcess) -> None:
    """Resolves until SIGTERM. Raises `StoreLocked` where another resolver writes the store, or `Fenced`."""
    settings, installation = role.settings, role.installation
    stop = stop_on_signals()
    rules = rules_of(settings)
    options = StoreOptions(cache_kib=settings.resolver_cache_bytes // 1024)
    store = SqliteStore(installation.store_db, profile_secret(installation), rules, options)
    log = SqliteLogReader(installation.log)
    quarantine = Quarantine(installation.quarantine_db)
    progress = FileProgress(installation.run / "progress", log.log_id, role.clock)
    policy = RetentionPolicy(log_retention_s=settings.log_retention_s, log_bytes_max=settings.log_bytes_max)
    try:
        with role.announced() as heartbeat:
            parts = Parts(
                log=log,
                store=store,
                quarantine=quarantine,
                progress=progress,
                clock=role.clock,
                rules=rules,
                version=version("tabard"),
                skew_correction=settings.skew_correction,
                beat=heartbeat.beat,
                publish=_publisher(role, store, SqliteRetention(installation.log, progress, policy)),
            )
            if store.positions() and store.is_outdated():
                logger().warning("resolver.rules.changed", fix="run `tabard rebuild`")
            run(parts, stop)
    finally:
        progress.close()
        quarantine.close()
        log.close()
        store.close()


def _publisher(role: RoleProcess, store: SqliteStore, retention: SqliteRetention) -> Callable[[Status], None]:
    """Publishes the resolver's status; now and then removes what of log and archive is past its time."""
    path = role.installation.run / "resolver.json"
    kept_ms = role.settings.archive_retention_s * 1000
    sweep_at_s = role.clock.monotonic_s()

    def publish(status: Status) -> None:
        nonlocal sweep_at_s
        try:
            replace(path, msgspec.json.encode(status))
        except OSError as problem:
            logger().warning("resolver.status.unwritten", problem=str(problem))
        if kept_ms:
            store.purge(role.clock.now_ms() - kept_ms)
        if role.clock.monotonic_s() >= sweep_at_s:
            sweep_at_s = role.clock.monotonic_s() + SWEEP_S
            _measure_sources(role.installation)
            removed = retention.sweep(role.clock.now_ms())
            if removed:
                logger().info("log.segments.removed", segments=len(removed), bytes=sum(each.bytes for each in removed))

    return publish


def _measure_sources(installation: Installation) -> None:
    with contextlib.closing(SqliteUsageReader(installation.store_db)) as reader:
        for each in reader.advice():
            if each.identifies:
                gauge("tabard_identify_unchanged_share", each.unchanged / each.identifies, source=each.source)
        for books in reader.books():
            for kind in Ignored:
                gauge("tabard_ignored", getattr(books, f"{kind}_ignored"), source=books.source, what=kind)
