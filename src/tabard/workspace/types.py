"""Sources, destination instances and their subscriptions, as plain frozen data. How they are stored:
`storage/*/workspace`.
"""

from enum import StrEnum
from typing import Any, Protocol

import msgspec


class SourceUnknown(LookupError):
    """There is no such source; the text names the fix."""


class DestinationUnknown(LookupError):
    """There is no such destination; the text names the fix."""


class SourceKind(StrEnum):
    """Whether a source's write key is public. A `browser` source is untrusted (design.md §2.13)."""

    BROWSER = "browser"
    SERVER = "server"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A place messages come from. `write_keys` maps each key to the name of its state: `active` or `rotated`.

    `origins`: allowed Origin values of browsers, empty = any. `rate_per_s`: messages a second, 0 = unlimited.
    `allow_alias` and `allow_email_claim` matter to browser sources only; server sources may always. `browser_options`:
    load options in the script of a browser source's pages (`browser_options.py`).
    """

    id: str
    name: str
    kind: SourceKind = SourceKind.SERVER
    enabled: bool = True
    permissive: bool = False
    write_keys: dict[str, str] = {}
    origins: tuple[str, ...] = ()
    rate_per_s: int = 0
    allow_alias: bool = False
    allow_email_claim: bool = False
    browser_options: dict[str, Any] = {}
    created_at: int = 0

    @property
    def write_key(self) -> str:
        """The active write key."""
        return next(key for key, state in self.write_keys.items() if state == "active")


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One action switched on at a destination instance: which messages trigger it and how they become its payload."""

    id: str
    action: str
    subscribe: str
    mapping: dict[str, Any]
    name: str = ""
    enabled: bool = True


class DestinationInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A configured destination. `settings` hold no secrets in the clear: secret fields are sealed (see
    `storage/sqlite/keys`).

    `start`: where delivery begins: `now`, `beginning` or an ISO time. `sources`: ids it is joined to, empty = all.
    `options`: delivery options by name (`record`, `no_needless_calls`, `order_patience_s`, `rate_per_s`,
    `batch_size`, …).
    `version` grows by one with each change; versions are kept, so that a trace can recompute a past decision.
    `paused_at`: since when an operator has it paused (ms), 0 where it is not; no part of any version.
    """

    id: str
    name: str
    slug: str
    enabled: bool = True
    settings: dict[str, Any] = {}
    subscriptions: tuple[Subscription, ...] = ()
    sources: tuple[str, ...] = ()
    start: str = "now"
    options: dict[str, Any] = {}
    version: int = 1
    created_at: int = 0
    paused_at: int = 0


class WorkspaceReader(Protocol):
    """What the roles read of the workspace. `version()` is cheap: it changes whenever anything did (other processes
    too).
    """

    def version(self) -> int: ...
    def sources(self) -> list[Source]: ...
    def source_by_key(self, write_key: str) -> tuple[Source, str] | None:
        """The source a write key belongs to and the key's state (`active` or `rotated`)."""
        ...

    def destinations(self) -> list[DestinationInstance]: ...
    def destination_version(self, destination_id: str, version: int) -> DestinationInstance | None: ...
