"""The deliverer on the embedded stores."""

import asyncio
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvloop

from tabard.compose.destinations import registry_of
from tabard.compose.exclusive import exclusive
from tabard.compose.role_process import RoleProcess
from tabard.compose.store import wait_for_store
from tabard.delivery.run import Deps, run
from tabard.storage.sqlite.delivery import SqliteDeliveryStore
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.keys import sealing_keys
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader

LOCK_WAIT_S: Final = 5.0
"""How long a restarted deliverer waits for its predecessor to let go of delivery.db."""


def run_deliverer(role: RoleProcess) -> None:
    """Delivers until SIGTERM. Raises `AlreadyRunning` where another deliverer works on the installation."""
    installation = role.installation
    with exclusive(installation.run / "deliverer.lock", "a deliverer", wait_s=LOCK_WAIT_S):
        _deliver(role, installation)


def _deliver(role: RoleProcess, installation: Installation) -> None:
    keys = sealing_keys(installation, os.environ)
    messages = wait_for_store(role)
    deliveries = SqliteDeliveryStore(installation.delivery_db)
    workspace = SqliteWorkspaceReader(installation.workspace_db)
    with ThreadPoolExecutor(1, "store-reader") as reading, ThreadPoolExecutor(1, "delivery-store") as storing:
        deps = Deps(
            settings=role.settings,
            clock=role.clock,
            messages=messages,
            workspace=workspace,
            registry=registry_of(installation).destinations,
            deliveries=deliveries,
            reveal=lambda instance: keys.open_settings(instance.settings),
            draw=random.Random(time.time_ns()).random,  # noqa: S311 (jitter, no secret)
            reader_executor=reading,
            store_executor=storing,
            status_file=installation.run / "deliverer.json",
            orders_folder=installation.orders,
        )
        uvloop.run(_work(role, deps))
    for opened in (messages, deliveries, workspace):
        opened.close()


async def _work(role: RoleProcess, deps: Deps) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with role.beating():
        await run(deps, stop)
