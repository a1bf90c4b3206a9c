"""A collector on the embedded log."""

import gc

import uvloop

from tabard.collector.app import Door
from tabard.collector.browser_assets import CURRENT
from tabard.collector.rejections import SqliteRejections
from tabard.collector.scripts import keep
from tabard.collector.server import serve
from tabard.compose.listening import address_text, listener
from tabard.compose.role_process import RoleProcess
from tabard.log.drivers.sqlite import LogOptions, SqliteLogWriter
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader

LOCK_WAIT_S = 5.0
"""How long a restarted collector waits for its predecessor to let go of the partition."""


def run_collector(role: RoleProcess, partition: int) -> None:
    """Serves until SIGTERM. Raises `LogUnavailable("log_locked")` where another collector writes the partition."""
    settings, installation = role.settings, role.installation
    options = LogOptions(
        segment_bytes=settings.segment_bytes,
        segment_age_s=settings.segment_age_s,
        disk_floor_bytes=settings.disk_floor_bytes,
        lock_wait_s=LOCK_WAIT_S,
    )
    log = SqliteLogWriter(installation.log, partition, options, role.clock)
    rejections = SqliteRejections(installation.log / str(partition), settings, role.clock)
    workspace = SqliteWorkspaceReader(installation.workspace_db)
    scripts = keep(
        installation.scripts, CURRENT, scripts_max=settings.scripts_max, bytes_max=settings.scripts_bytes_max
    )
    door = Door(
        settings=settings, clock=role.clock, log=log, workspace=workspace, rejections=rejections, scripts=scripts
    )
    sock = listener(settings.collect)
    address = address_text(*sock.getsockname()[:2])

    async def work() -> None:
        async with role.beating(address):
            await serve(door, sock)

    # What is loaded lives as long as the process: without it a full collection no longer holds up answers.
    gc.freeze()
    try:
        uvloop.run(work())
    finally:
        log.close()
        rejections.close()
        workspace.close()
