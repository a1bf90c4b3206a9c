"""The module-level style of the published Python SDKs.

`from customerio import analytics` or `import segment.analytics as analytics` becomes
`from tabard_client import analytics`; nothing else changes. Set `write_key` and `host` before the first call.
Calls here never raise, not even for a missing key: that is logged, and the receipt says `success=False`.
"""

import logging
import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from tabard_client import client
from tabard_client.drops import OnError, Receipt
from tabard_client.options import PUBLISHED_ORDER, ClientOptions, Options
from tabard_client.version import VERSION

__version__ = VERSION

_DEFAULTS = Options()

write_key: str | None = None
host: str | None = None
on_error: OnError | None = _DEFAULTS.on_error
debug: bool = _DEFAULTS.debug
log_handler: logging.Handler | None = _DEFAULTS.log_handler
send: bool = _DEFAULTS.send
sync_mode: bool = _DEFAULTS.sync_mode
max_queue_size: int = _DEFAULTS.max_queue_size
gzip: bool = _DEFAULTS.gzip
timeout: float = _DEFAULTS.timeout
max_retries: int = _DEFAULTS.max_retries
oauth_client_id: str | None = None
oauth_client_key: str | None = None
oauth_key_id: str | None = None
oauth_auth_server: str | None = None
oauth_scope: str | None = None
# Ours; see Options.
durable: bool = _DEFAULTS.durable
memory_only_can_lose: bool = _DEFAULTS.memory_only_can_lose
spool_dir: str | os.PathLike[str] | None = _DEFAULTS.spool_dir
spool_bytes_max: int = _DEFAULTS.spool_bytes_max


class Client(client.Client):
    """`tabard_client.Client`, which takes options by position too, in the order of the published SDKs.

    Raises ValueError as that one does; TypeError for too many positions, or an option given twice.
    """

    def __init__(
        self,
        write_key: str | None = None,
        host: str | None = None,
        *positional: Any,
        **options: Unpack[ClientOptions],
    ) -> None:
        if len(positional) > len(PUBLISHED_ORDER):
            raise TypeError(f"at most {2 + len(PUBLISHED_ORDER)} positional arguments, not {2 + len(positional)}")
        by_position: dict[str, Any] = dict(zip(PUBLISHED_ORDER, positional, strict=False))
        # Not one merged dict: Python itself then refuses an option given twice.
        super().__init__(write_key, host, **by_position, **options)


default_client: Client | None = None

_log = logging.getLogger("tabard_client")
_lock = threading.RLock()


def _forget_lock() -> None:
    """In a forked child: another thread of the parent may have held it, and will never let go here."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_forget_lock)

P = ParamSpec("P")
R = TypeVar("R")


def _client() -> Client:
    global default_client  # noqa: PLW0603 - the published SDKs name and use it so
    if default_client is None:
        with _lock:
            if default_client is None:
                default_client = Client(
                    write_key or "",
                    host,
                    on_error=on_error,
                    debug=debug,
                    log_handler=log_handler,
                    send=send,
                    sync_mode=sync_mode,
                    max_queue_size=max_queue_size,
                    gzip=gzip,
                    timeout=timeout,
                    max_retries=max_retries,
                    oauth_client_id=oauth_client_id,
                    durable=durable,
                    memory_only_can_lose=memory_only_can_lose,
                    spool_dir=spool_dir,
                    spool_bytes_max=spool_bytes_max,
                )
    return default_client


def _through(method: Callable[Concatenate[Client, P], R], otherwise: R) -> Callable[P, R]:
    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            target = _client()
        except ValueError as error:
            _log.error("nothing is sent: %s", error)
            return otherwise
        return method(target, *args, **kwargs)

    return call


_NOT_SENT = Receipt(False, {})

identify = _through(Client.identify, _NOT_SENT)
track = _through(Client.track, _NOT_SENT)
page = _through(Client.page, _NOT_SENT)
screen = _through(Client.screen, _NOT_SENT)
group = _through(Client.group, _NOT_SENT)
alias = _through(Client.alias, _NOT_SENT)
flush = _through(Client.flush, 0)
join = _through(Client.join, None)
shutdown = _through(Client.shutdown, 0)
