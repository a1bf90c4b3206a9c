"""What the roles ask of the store (the resolver's database), whatever database it is. Conformance:
tests/conformance/storage.

Positions are packed integers (`message.types.position`). Readers hold no transaction between calls.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from tabard.message.types import StoredMessage


class ProfileChange(msgspec.Struct, frozen=True):
    """An identifier moved to another profile (identity.md §7). Consumers keep the highest `seq` an identifier."""

    seq: int
    identifier: str
    old_profile_id: str | None
    new_profile_id: str | None
    cause: str


class Profile(msgspec.Struct, frozen=True):
    """One person as known now. Identifiers as text: `user:…`, `email:…`, `anon:…`; times in milliseconds."""

    profile_id: str
    canonical: str
    identifiers: tuple[str, ...]
    traits: dict[str, Any]
    groups: tuple[str, ...]
    events: int
    first_seen: int
    last_seen: int


class MessageReader(Protocol):
    """Stored messages in log order, for deliverers, exports and the live view."""

    def log_id(self) -> str | None:
        """The log the positions belong to; None before the first message."""
        ...

    def resolved(self) -> dict[int, int]:
        """Partition → offset below which everything is resolved and committed."""
        ...

    def watermark(self) -> int:
        """Every message received before this time (ms) is resolved in every partition: deliverers merge up to it."""
        ...

    def read(self, partition: int, offset: int, limit: int) -> list[StoredMessage]:
        """At most `limit` stored messages of a partition at offsets ≥ `offset`, ascending. Duplicates and controls
        are absent,
        so offsets have gaps; erased messages come with an empty body."""
        ...

    def newest(self, limit: int, *, source: str | None = None, call_type: str | None = None) -> list[StoredMessage]:
        """The newest stored messages, newest first."""
        ...

    def find(self, message_id: str) -> list[StoredMessage]:
        """The stored messages with this messageId, one a source at most."""
        ...

    def is_dead(self, message: StoredMessage) -> bool:
        """Whether a delete or suppression covers the message's subject at its time: then it is never delivered."""
        ...

    def close(self) -> None: ...


class ProfileReader(Protocol):
    """Profiles by any identifier (text such as `user:u1`, `email:a@b.c`, `anon:…`)."""

    def profile(self, identifier: str) -> Profile | None: ...
    def profile_by_id(self, profile_id: str) -> Profile | None: ...
    def search(self, text: str, limit: int, after: str = "") -> list[Profile]:
        """Profiles with an identifier that equals or (e-mails) begins with `text`."""
        ...

    def timeline(self, identifier: str, limit: int, before: int | None = None) -> Iterable[StoredMessage]:
        """Messages of the identifier's whole profile, newest first, below the position `before`."""
        ...

    def changes(self, after_seq: int, limit: int) -> list[ProfileChange]: ...
