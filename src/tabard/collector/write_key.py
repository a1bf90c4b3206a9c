"""Write key → source. The workspace is read by a thread; a look-up here is a dictionary access.

A key is looked for in this order (sdks.md §2): Basic user name, Bearer, body, first item of the batch, query.
"""

import asyncio
import base64
import binascii
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from tabard.collector.request import Request
from tabard.message.parse import Refused
from tabard.message.rejection import Reason
from tabard.message.types import SERVER_TRUST, Trust
from tabard.telemetry.logging import logger
from tabard.workspace.types import Source, SourceKind

LOOK_S: Final = 0.05
"""How often at most the workspace is asked for keys that nobody knows: strangers cannot make it read all the time."""

_CACHED_HEADERS_MAX: Final = 10_000


class SourceReader(Protocol):
    """What the door needs of a `workspace.types.WorkspaceReader`."""

    def version(self) -> int: ...
    def sources(self) -> list[Source]: ...


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a write key opens: its source, the key's state, and the trust of the calls it carries (design.md §2.13)."""

    source: Source
    write_key: str
    state: str
    trust: int

    def require_open(self) -> "Entry":
        """This entry, if calls may be sent with it. Raises `Refused`."""
        if self.state != "active":
            raise Refused(
                Reason.KEY_ROTATED, f"this write key of source {self.source.name!r} was rotated: use the new one"
            )
        if not self.source.enabled:
            raise Refused(Reason.SOURCE_DISABLED, f"source {self.source.name!r} is disabled")
        return self


class Sources:
    """The sources of the workspace as of the last `refresh`."""

    def __init__(self, workspace: SourceReader) -> None:
        self._workspace = workspace
        self._version: int | None = None
        self._entries: dict[str, Entry] = {}
        self._by_header: dict[bytes, Entry] = {}
        self._reading = threading.Lock()
        self.refresh()

    def refresh(self) -> bool:
        """Reads the workspace if it changed, from any thread; whether it did. The old state stays if reading fails."""
        with self._reading:
            version = self._workspace.version()
            if version == self._version:
                return False
            entries = {
                key: Entry(source=source, write_key=key, state=state, trust=int(trust_of(source)))
                for source in self._workspace.sources()
                for key, state in source.write_keys.items()
            }
            self._entries, self._by_header, self._version = entries, {}, version
            return True

    def by_header(self, request: Request) -> Entry | None:
        """The entry of the Authorization header; None where it names no key. Raises `Refused` for a bad key.

        A Bearer token that is no key of ours may be an OAuth token of somebody else's: then the body decides.
        """
        authorization = request.headers.get(b"authorization")
        if authorization is None:
            return None
        cached = self._by_header.get(authorization)
        if cached is not None:
            return cached.require_open()
        key, is_bearer = _credentials(authorization)
        if not key or (is_bearer and key not in self._entries):
            return None
        entry = self.by_key(key)
        if len(self._by_header) < _CACHED_HEADERS_MAX:
            self._by_header[authorization] = entry
        return entry

    def by_key(self, write_key: str) -> Entry:
        """The entry of a key. Raises `Refused`: unknown, rotated, disabled."""
        entry = self._entries.get(write_key)
        if entry is None:
            raise Refused(Reason.UNKNOWN_SOURCE, "no source has this write key: `tabard source list` shows them")
        return entry.require_open()

    def by_content(self, request: Request, *stated: Any) -> Entry:
        """The entry of the first key among what the content states, else of the query. Raises `Refused`."""
        for key in stated:
            if isinstance(key, str) and key:
                return self.by_key(key)
        key = request.parameter("writeKey")
        if key:
            return self.by_key(key)
        raise Refused(
            Reason.NO_WRITE_KEY,
            "the call names no source: send its write key as Basic user name, or as `writeKey` in body or query",
        )


class SecondLook:
    """Reads the workspace before a key counts as unknown: it may have been made a moment ago, and SDKs drop on 401.

    Off the event loop, once for all that wait, at most each `LOOK_S`.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._waiting: list[Callable[[], None]] = []
        self._next_s = 0.0

    def then(self, again: Callable[[], None]) -> None:
        """Calls `again` on the event loop after the workspace was read, whether or not it could be."""
        self._waiting.append(again)
        if len(self._waiting) == 1:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._next_s), self._look)

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        self._next_s = loop.time() + LOOK_S

        def looked(reading: asyncio.Future[bool]) -> None:
            problem = reading.exception()
            if problem is not None:
                logger().error("collector.sources.unreadable", problem=str(problem))
            for again in waiting:
                again()

        loop.run_in_executor(None, self._sources.refresh).add_done_callback(looked)


def trust_of(source: Source) -> Trust:
    """What the calls of a source may do (design.md §2.13), before the request takes some of it away."""
    if source.kind is SourceKind.SERVER:
        return SERVER_TRUST
    trust = Trust.CLIENT
    if source.allow_alias:
        trust |= Trust.ALIAS
    if source.allow_email_claim:
        trust |= Trust.EMAIL_CLAIM
    return trust


def _credentials(authorization: bytes) -> tuple[str | None, bool]:
    """The key in an Authorization header, and whether it is a Bearer token."""
    scheme, _, value = authorization.partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer":
        return value.decode("latin-1"), True
    if scheme.lower() != b"basic":
        return None, False
    try:
        user = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True).partition(b":")[0]
    except binascii.Error:
        return None, False
    return user.decode("utf-8", "replace"), False
