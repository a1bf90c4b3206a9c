"""Serves an ASGI application of an admin kind with uvicorn until SIGTERM."""

import asyncio
import signal
import socket
from typing import Any, Final

import uvicorn
from anyio import to_thread

from tabard.compose.bounded_http import bounded_http
from tabard.compose.role_process import RoleProcess

THREADS: Final = 8
"""Requests answered at once: each thread keeps readers of its own open, with their page caches."""

CONNECTIONS_MAX: Final = 256
"""Connections above which requests are answered with 503."""


def serve_asgi(app: Any, sock: socket.socket, role: RoleProcess, address: str) -> None:
    """Serves until the process is asked to stop, beating the role's heartbeat meanwhile."""
    trusted = role.settings.trusted_proxies
    config = uvicorn.Config(
        app,
        http=bounded_http(role.settings),
        ws="none",
        proxy_headers=bool(trusted),
        forwarded_allow_ips=trusted,
        limit_concurrency=CONNECTIONS_MAX,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
        server_header=False,
    )

    # uvicorn raises the signal that stopped it once more when it is done; the role then still has to say goodbye.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    async def serve() -> None:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        async with role.beating(address):
            await uvicorn.Server(config).serve(sockets=[sock])

    asyncio.run(serve())
