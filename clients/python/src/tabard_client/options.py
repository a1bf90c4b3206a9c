"""Every option of a client, once with its type for callers and once with its default."""

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from tabard_client.drops import OnError
from tabard_client.limits import BATCH_MESSAGES_MAX, MESSAGE_BYTES_MAX

log = logging.getLogger("tabard_client")

NAME_CHARS = 16
DEFAULT_HOST = "http://127.0.0.1:7070"


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of `Client`; meanings and defaults stand in `Options`."""

    debug: bool
    max_queue_size: int
    send: bool
    on_error: OnError | None
    gzip: bool
    max_retries: int
    sync_mode: bool
    timeout: float
    proxies: Mapping[str, str] | None
    thread: int
    upload_size: int | None
    upload_interval: float
    log_handler: logging.Handler | None
    durable: bool
    memory_only_can_lose: bool
    spool_dir: str | os.PathLike[str] | None
    spool_bytes_max: int
    exit_timeout_s: float
    max_total_backoff_duration: float
    max_rate_limit_duration: float
    oauth_client_id: str | None
    oauth_client_key: str | None
    oauth_key_id: str | None
    oauth_auth_server: str | None
    oauth_scope: str | None


# In this order the published Clients take them by position, after write_key and host: customerio-cdp-analytics 1.1
# the first twelve, segment-analytics-python 2.4 all.
PUBLISHED_ORDER = (
    "debug",
    "max_queue_size",
    "send",
    "on_error",
    "gzip",
    "max_retries",
    "sync_mode",
    "timeout",
    "proxies",
    "thread",
    "upload_size",
    "upload_interval",
    "log_handler",
    "oauth_client_id",
    "oauth_client_key",
    "oauth_key_id",
    "oauth_auth_server",
    "oauth_scope",
    "max_total_backoff_duration",
    "max_rate_limit_duration",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The first block has the names, defaults and meanings of the published Python SDKs; the second is ours;
    the third is accepted so that existing code runs, and does nothing."""

    debug: bool = False  # log at DEBUG
    send: bool = True  # False: build messages, keep and send nothing (tests)
    on_error: OnError | None = None  # called with (DropError, messages) for whatever is dropped
    gzip: bool = False
    sync_mode: bool = False  # deliver within the call; for serverless functions
    timeout: float = 15  # seconds for connecting and for each read of one attempt
    proxies: Mapping[str, str] | None = None  # None: from the environment
    upload_size: int | None = None  # most messages a batch; None: as many as servers take (2,500 and 475 kB)
    upload_interval: float = 0.5  # seconds a batch is gathered
    log_handler: logging.Handler | None = None
    max_queue_size: int = 10_000  # messages in memory-only mode
    max_retries: int = 10  # memory-only mode gives a batch up after these; the spool never does

    durable: bool = False  # fsync each call: survives power loss, at the disk's speed
    memory_only_can_lose: bool = False  # no spool file: what waits dies with the process
    spool_dir: str | os.PathLike[str] | None = None  # default: in the user's state folder
    spool_bytes_max: int = 512 * 1024 * 1024  # a process; the newest message is dropped when full
    exit_timeout_s: float = 5.0  # how long the interpreter's end waits for the server

    thread: int = 1
    max_total_backoff_duration: float = 0
    max_rate_limit_duration: float = 0
    oauth_client_id: str | None = None
    oauth_client_key: str | None = None
    oauth_key_id: str | None = None
    oauth_auth_server: str | None = None
    oauth_scope: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError naming the option and its range."""
        ranges = {
            "upload_size": (1, BATCH_MESSAGES_MAX),
            "upload_interval": (0, 3_600),
            "timeout": (0.001, 3_600),
            "max_queue_size": (1, 100_000_000),
            "max_retries": (0, 1_000_000),
            "spool_bytes_max": (2 * MESSAGE_BYTES_MAX, 1 << 50),
            "exit_timeout_s": (0, 3_600),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if name == "upload_size" and value is None:
                continue
            if value is None or not low <= value <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {value}")
        if self.oauth_client_id:
            log.warning("OAuth options are ignored: a Tabard collector authenticates by write key")


def spool_directory(host: str, write_key: str, given: str | os.PathLike[str] | None) -> Path:
    """The folder of this server and key; the name holds a hash, never the key."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    base = given or Path(state) / "tabard" / "spool"
    return Path(base) / _name(host, write_key)


def fallback_directory(host: str, write_key: str) -> Path:
    """Where to spool when the state folder cannot be written (read-only home, serverless).

    Raises OSError when the folder in the shared temporary directory is somebody else's.
    """
    base = Path(tempfile.gettempdir()) / f"tabard-spool-{os.geteuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.lstat().st_uid != os.geteuid():
        raise PermissionError(f"{base} belongs to another user")
    return base / _name(host, write_key)


def _name(host: str, write_key: str) -> str:
    return sha256(f"{host.rstrip('/')}\0{write_key}".encode()).hexdigest()[:NAME_CHARS]
