"""What the web role needs from the rest of the house, handed in by compose; readers are opened once a thread."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tabard.clock import Clock
from tabard.delivery.dead_letter import LetterSearch
from tabard.message.types import StoredMessage
from tabard.settings import Settings
from tabard.storage.deliveries import Replay
from tabard.storage.interface import (
    AsOf,
    Explanation,
    Group,
    IdentityGraph,
    MessageReader,
    Profile,
    ProfileReader,
    TraitHistory,
    TraitWrite,
)
from tabard.workspace.edit import DestinationEdit, PreviewAsked, SubscriptionEdit
from tabard.workspace.types import DestinationInstance, WorkspaceReader

Json = dict[str, Any]


class RejectionReader(Protocol):
    """What the door refused and kept, newest first, over all collectors."""

    def newest(self, limit: int, source: str | None = None) -> list[Json]:
        """Rows with `receivedAt`, `source`, `code`, `message`, `field`, `index`, `bytes` and `body` (text, cut)."""
        ...


class QuarantineReader(Protocol):
    """What was accepted and could not be processed."""

    def shown(self, limit: int) -> Json:
        """How many are `kept` and `dropped`, and the newest (`quarantined`): `at`, `position`, `version`, `code`,
        `message`, `bytes`, `preview` (text, cut) and `now` (`unreadable`, `readable` or `stored`).
        """
        ...


class IdentityReader(Protocol):
    """The questions about people that go behind the profile row. Identifiers as text such as `user:u1`."""

    def identity(self, identifier: str) -> IdentityGraph | None:
        """The identifiers of a profile and the evidence between them, each with the message behind it."""
        ...

    def explain(self, identifier: str) -> Explanation | None:
        """Why these identifiers are one person, in sentences, and why near misses are not."""
        ...

    def ignored(self, message: StoredMessage) -> str | None:
        """What a message states that its source may not: `control`, `alias` or `email_claim`."""
        ...

    def provenance(self, identifier: str) -> dict[str, TraitWrite]:
        """Trait → the write that is shown, with what it replaced."""
        ...

    def history(self, identifier: str, key: str) -> TraitHistory:
        """Every write of one trait, newest first."""
        ...

    def as_of(self, identifier: str, instant_ms: int) -> AsOf | None:
        """The profile as the events up to an event time make it, and where its traits came from."""
        ...

    def group(self, group_id: str) -> Group | None:
        """A group's traits."""
        ...

    def group_timeline(self, group_id: str, limit: int, before: int | None = None) -> list[StoredMessage]:
        """The calls that name a group, the latest resolved first, below the position `before`."""
        ...

    def group_positions(self, group_id: str, limit: int, after: int | None = None) -> list[int]:
        """The positions of these calls, oldest first, behind the position `after`; the latest `limit`."""
        ...

    def members(self, group_id: str, limit: int, after: int | None = None) -> tuple[list[str], int | None]:
        """Who is in a group, by canonical identifier, and where to go on (None at the end)."""
        ...

    def by_trait(self, key: str, value: str, limit: int, after: int = 0) -> tuple[list[Profile], int | None]:
        """Profiles with a trait of that value, and where to go on (None at the end)."""
        ...


class DeliveryReader(Protocol):
    """The deliverer's books and traces."""

    def dead_letters(self, search: LetterSearch, limit: int, place: str = "") -> Json:
        """`deadLetters`, newest first, and `next`, the place to go on from. Raises `PlaceInvalid`."""
        ...

    def dead_letter(self, consumer: str, position: int) -> Json | None:
        """One with its attempts (`tries`): what was sent and what came back, secrets cut out."""
        ...

    def replays(self, limit: int, before: str = "", destination_id: str | None = None) -> Json:
        """`replays` with their progress and books, newest first, and `next`, the id to go on from."""
        ...

    def replay(self, id_: str) -> Json | None: ...
    def trace(self, message_id: str) -> list[Json]: ...


class Destinations(Protocol):
    """Destinations as an operator sees and changes them, each by name or id. All raise `DestinationUnknown`; what
    changes one raises `DeclarationInvalid` with every fault.
    """

    def listed(self) -> list[Json]: ...
    def described(self, name: str) -> Json: ...
    def document(self, instance: DestinationInstance) -> Json: ...
    def edit(self, name: str, edit: DestinationEdit) -> DestinationInstance:
        """Raises `ChangedMeanwhile`, `SourceUnknown`."""
        ...

    def pause(self, name: str) -> DestinationInstance: ...
    def resume(self, name: str) -> DestinationInstance: ...
    def add_subscription(self, name: str, edit: SubscriptionEdit) -> DestinationInstance:
        """It is the last one."""
        ...

    def edit_subscription(self, name: str, subscription: str, edit: SubscriptionEdit) -> DestinationInstance:
        """Raises `SubscriptionUnknown`."""
        ...

    def remove_subscription(self, name: str, subscription: str) -> DestinationInstance:
        """Raises `SubscriptionUnknown`."""
        ...

    def test(self, name: str) -> DestinationInstance:
        """Raises `DestinationTestFailed`."""
        ...

    def preview(self, name: str, asked: PreviewAsked) -> Json:
        """Raises `SubscriptionUnknown`, and `message.parse.Refused` for a call that the door refuses."""
        ...


class Orders(Protocol):
    """Orders to the deliverer. Each answers with its `order` and what came of it, or `waiting`. They raise
    `OrderRefused`.
    """

    def consumer(self, name: str) -> str:
        """The consumer that a destination's name or id, or a replay's id, stands for. Raises `DestinationUnknown`."""
        ...

    def resend(self, consumer: str, search: LetterSearch, positions: tuple[int, ...] | None = None) -> Json: ...
    def start_replay(self, destination: str, replay: Replay) -> Json:
        """Raises `ReplayRefused`, `TriggerInvalid`, `DestinationUnknown`."""
        ...

    def cancel_replay(self, replay: str) -> Json:
        """Raises `ReplayUnknown`."""
        ...


class Controls(Protocol):
    """States controls (delete, suppress, cut …) in the log, so that `rebuild` replays them."""

    def append(self, control: Mapping[str, Any]) -> str:
        """The position the control was kept at. Raises ValueError naming what is wrong with it."""
        ...

    def whole(self, ids: list[str]) -> list[str]:
        """Every identifier, now, of the people whom these name. Raises ValueError for what is no identifier."""
        ...

    def still_held(self) -> list[Json]:
        """What holds data after a delete, each `place` with `until`."""
        ...


class EndedSessions(Protocol):
    """The sessions that were ended by a logout, of this process and others, kept until they would have expired."""

    def holds(self, session: str, expires_s: int) -> bool:
        """Whether a session (by its id) is over. Raises OSError."""
        ...

    def add(self, session: str, expires_s: int, now_s: int) -> None:
        """Ends a session for good; durable on return. Raises OSError."""
        ...


@dataclass(frozen=True)
class Readers:
    """One thread's open readers."""

    messages: MessageReader
    profiles: ProfileReader
    identity: IdentityReader
    deliveries: DeliveryReader
    rejections: RejectionReader
    quarantine: QuarantineReader
    workspace: WorkspaceReader


@dataclass(frozen=True)
class Deps:
    """Everything the web role works with. `token_is_admin` compares in constant time; `session_key` signs cookies."""

    settings: Settings
    clock: Clock
    token_is_admin: Callable[[str], bool]
    session_key: bytes
    open_readers: Callable[[], Readers]
    controls: Controls
    status: Callable[[], Json]
    ended: EndedSessions
    destinations: Destinations
    orders: Orders
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def readers(self) -> Readers:
        """This thread's readers; SQLite handles are not shared between threads."""
        opened: Readers | None = getattr(self._local, "readers", None)
        if opened is None:
            opened = self._local.readers = self.open_readers()
        return opened
