"""What the roles ask of the store (the resolver's database), whatever database it is. Conformance:
tests/conformance/storage.

Positions are packed integers (`message.types.position`). Readers hold no transaction between calls.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from tabard.identity.rules import Reading
from tabard.message.types import StoredMessage


class ProfileChange(msgspec.Struct, frozen=True, rename="camel"):
    """The newest move of an identifier to another profile (identity.md §7); None = no profile.

    `key`: a keyed hash of the identifier (32 hex digits), the same before and after its erasure, which leaves
    `identifier` as `user:~KEY`.
    """

    seq: int
    identifier: str
    key: str
    old_profile_id: str | None
    new_profile_id: str | None
    cause: str


class Profile(msgspec.Struct, frozen=True):
    """One person as known now. Identifiers as text: `user:…`, `email:…`, `anon:…`; times in milliseconds.

    `truncated`: it is of a past time, and made from a part of a neighbourhood that is too large to be looked at whole.
    """

    profile_id: str
    canonical: str
    identifiers: tuple[str, ...]
    traits: dict[str, Any]
    groups: tuple[str, ...]
    events: int
    first_seen: int
    last_seen: int
    truncated: bool = False


class Deletion(msgspec.Struct, frozen=True):
    """A message that deleted people (a delete of ours, or User Deleted of a source that may), and whom it named.

    `identifiers`: of people only, as text (`user:u1`); () where the message's body is no longer kept. `position` and
    `received_at` are the message's, or those of another copy of it that named these, and the message does not.
    """

    message: StoredMessage
    identifiers: tuple[str, ...]
    position: int
    received_at: int

    @property
    def is_of_copy(self) -> bool:
        """Whether only a copy that is not the message names these people."""
        return self.position != self.message.position


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

    def holds(self, source: str, message_id: str) -> bool:
        """Whether a message or a control of this name is stored, erased or not."""
        ...

    def is_dead(self, message: StoredMessage) -> bool:
        """Whether a delete or suppression covers the message's subject at its time: then it is never delivered."""
        ...

    def why_dead(self, message: StoredMessage) -> "Reason | None":
        """Why the message is dead (`deleted` or `suppressed`), with the control behind it; None where it is not."""
        ...

    def deletions(self, partition: int, offset: int, limit: int) -> list[Deletion]:
        """At most `limit` deletions of a partition at offsets ≥ `offset`, ascending."""
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

    def positions(self, identifier: str, limit: int, after: int | None = None) -> list[int]:
        """The positions of the profile's messages, oldest first, behind the position `after`; the latest `limit`."""
        ...

    def changes(self, after_seq: int, limit: int) -> list[ProfileChange]:
        """Moves of identifiers between profiles, in order; of each identifier the newest only."""
        ...


class Resolved(msgspec.Struct, frozen=True, gc=False):
    """A message on its way into the store, as the rules read it. Its body is encoded already: a batch holds thousands.

    `warnings` (of `normalize`) and `oddities` (of its traits, `profiles.advice`) are for the books.
    """

    message: StoredMessage
    reading: Reading
    warnings: tuple[str, ...] = ()
    oddities: tuple[tuple[str, str], ...] = ()

    @property
    def position(self) -> int:
        """Where the message stands in the log, packed."""
        return self.message.position


class Consumed(msgspec.Struct, frozen=True, gc=False):
    """How far a batch takes a partition: from `offset` to `next_offset`.

    `received_at` is that of its last message; `polled_at` when the partition was found at its end, else 0.
    """

    partition: int
    offset: int
    next_offset: int
    received_at: int
    polled_at: int = 0


class Committed(msgspec.Struct, frozen=True):
    """What one commit did: messages stored, copies of known ones, copies among those with other content."""

    stored: int
    duplicates: int
    conflicting: int
    sources: dict[str, tuple[int, int]] = {}


class Fenced(Exception):
    """Another resolver took the store over, or the positions are not where this one left them: stop at once."""


class Count(msgspec.Struct, frozen=True, gc=False):
    """So many of something, for the books: a name, the source, a key, and the position of a sample."""

    name: str
    source: str
    key: str = ""
    n: int = 1
    sample: int | None = None


class StoreUnavailable(Exception):
    """The store cannot commit now; nothing of the call was kept, and it may be made again. `code` names the cause:
    `disk_full` or `store_busy`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StoreWriter(Protocol):
    """The one writer of a store. Whatever order messages come in, the same set gives the same state."""

    def begin(self, log_id: str, beat: Callable[[], None] = lambda: None) -> None:
        """Takes the store for a log, fencing any resolver before. Raises `Fenced` for a store of another log.

        Finishes a rebuild that was cut off, which may take long; `beat` is called meanwhile.
        """
        ...

    def positions(self) -> dict[int, int]:
        """Partition → the offset to go on from."""
        ...

    def apply(self, batch: Sequence[Resolved], consumed: Sequence[Consumed], counts: Sequence[Count] = ()) -> Committed:
        """Commits messages, all their effects and the positions in one transaction.

        Raises `Fenced` and `StoreUnavailable`; so do `project` and `erase`.
        """
        ...

    def project(self, limit: int) -> int:
        """Brings at most `limit` marked identifiers to their profiles, in a transaction of its own; how many were
        done.
        """
        ...

    def erase(self, limit: int) -> int:
        """Erases what deletes made dead, of at most `limit` identifiers; how many were done."""
        ...

    def wipe(self) -> bool:
        """Takes what was erased so far out of the bytes on disk as well; False: a reader is in the way, try again."""
        ...

    def marks(self) -> int:
        """How many identifiers wait for the projector (at most 100,000 are counted)."""
        ...

    def sync(self) -> None:
        """Makes everything committed so far durable; only then may the log let go of it."""
        ...

    def close(self) -> None: ...


class Behind(msgspec.Struct, frozen=True, rename="camel"):
    """The message behind a conclusion."""

    position: int
    source: str
    type: str
    message_id: str
    timestamp: int


class Reason(msgspec.Struct, frozen=True, rename="camel"):
    """Why an identifier is, or is not, part of a profile: a short name, a sentence, the message behind it."""

    identifier: str
    other: str
    name: str
    sentence: str
    message: Behind | None = None


class Explanation(msgspec.Struct, frozen=True, rename="camel"):
    """Why these identifiers are one person, and why near misses are not. `truncated`: there are more than are listed.

    `profile_id` is None for an identifier that is in no profile; then `apart` says why.
    """

    profile_id: str | None
    canonical: str
    together: tuple[Reason, ...]
    apart: tuple[Reason, ...]
    truncated: bool = False


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """Evidence between two identifiers: a claim of the higher on the lower, or an alias edge `low` → `high`."""

    low: str
    high: str
    kind: str
    message: Behind | None


class IdentityGraph(msgspec.Struct, frozen=True, rename="camel"):
    """The identifiers of a profile and the evidence that touches them. `truncated`: there are more than are listed."""

    nodes: tuple[str, ...]
    evidence: tuple[Claim, ...]
    truncated: bool = False


class TraitWrite(msgspec.Struct, frozen=True, rename="camel"):
    """One write of a trait: where it comes from, what it said, and the write it stood over, if that is known.

    `truncated`: there may be one, in messages older than those that were looked at.
    """

    key: str
    value: Any
    identifier: str
    message: Behind
    replaced: "TraitWrite | None" = None
    truncated: bool = False


class TraitHistory(msgspec.Struct, frozen=True, rename="camel"):
    """The writes of a trait, the newest by event time first.

    `since`: None where all messages were looked at, else the event time of the last of those that were.
    """

    writes: tuple[TraitWrite, ...]
    since: int | None = None


class AsOf(msgspec.Struct, frozen=True, rename="camel"):
    """A profile as the events up to a time made it; of each trait the write that was shown then."""

    profile: Profile
    provenance: dict[str, TraitWrite]


class Group(msgspec.Struct, frozen=True, rename="camel"):
    """A group (a company, an object) and its traits."""

    group_id: str
    traits: dict[str, Any]


class UsageRow(msgspec.Struct, frozen=True, rename="camel"):
    """Calls of one source and type in a month (`2026-11`)."""

    month: str
    source: str
    type: str
    calls: int


class SourceAdvice(msgspec.Struct, frozen=True, rename="camel"):
    """The habits of one source, as the page of the identify call advises on them."""

    source: str
    identifies: int
    unchanged: int
    pages: int
    identifies_each_page: bool
    two_spellings: tuple[str, ...]
    wrong_types: dict[str, int]


class SourceBooks(msgspec.Struct, frozen=True, rename="camel"):
    """What became of one source's messages; samples are positions."""

    source: str
    stored: int = 0
    duplicates: int = 0
    conflicting: int = 0
    conflicting_sample: int | None = None
    quarantined: int = 0
    control_ignored: int = 0
    warnings: dict[str, int] = {}
    alias_ignored: int = 0
    email_claim_ignored: int = 0
