"""One thing a destination can do: its fields, when it applies by default, and the code that sends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from tabard.destinations.kit.errors import DestinationError
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.payload import Payload
from tabard.destinations.kit.request import Send


class Call(msgspec.Struct, frozen=True):
    """What `perform` gets for one message.

    payload: the mapped values, coerced and validated by the action's fields; absent fields are absent keys. Read
        only, shared with other destinations; `payload.json(name)` is a field's JSON, encoded once for all of them.
    settings: the instance's settings, validated by the destination's fields, secrets in plain.
    message: the whole message as stored; read only, shared with other destinations.
    options: the object the message's `integrations` carries for this destination, {} where it has none.
    now: the moment of the attempt (aware, UTC). The kit reads no clock.
    """

    payload: Payload
    settings: Mapping[str, Any]
    message: Mapping[str, Any]
    now: datetime
    options: Mapping[str, Any] = {}


class Perform(Protocol):
    """Sends one call. Returning means delivered; what may be raised is listed in `errors`."""

    async def __call__(self, send: Send, call: Call, /) -> None: ...


class PerformBatch(Protocol):
    """Sends many calls of one instance in as few requests as the vendor allows.

    Returns one outcome for each call in the same order: None for delivered, or the error of that item alone.
    Raising instead applies the error to all of them.
    """

    async def __call__(self, send: Send, calls: Sequence[Call], /) -> Sequence[DestinationError | None]: ...


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` in `per_s` seconds, for one destination instance."""

    requests: int
    per_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Action:
    """One declared action.

    slug: `createUpdatePerson`: the key by which mappings and subscriptions name it; never changes.
    default_subscription: the trigger offered when someone adds the action by hand, '' for none.
    perform, perform_batch: see the protocols. An action without `perform_batch` is sent one by one; a batch of one
        is sent with `perform`.
    batch_size, batch_bytes: the most items, and the most bytes of JSON payload, of one batch.
    batch_keys: the payload fields whose values must be equal within a batch (low cardinality).
    rate: the action's own limit, beside the destination's.
    erases: it deletes or suppresses (or lifts that): it runs only for messages whose source may control, so that
        nobody erases people with a write key that a web page shows.
    merges: it makes two people one for good: it runs only for messages whose source may alias.
    """

    slug: str
    title: str
    description: str
    fields: Mapping[str, Field]
    perform: Perform
    default_subscription: str = ""
    perform_batch: PerformBatch | None = None
    batch_size: int = 1_000
    batch_bytes: int = 4_000_000
    batch_keys: tuple[str, ...] = ()
    rate: Rate | None = None
    erases: bool = False
    merges: bool = False

    def default_mapping(self) -> dict[str, Any]:
        """The mapping a new subscription starts with: every field's default, in the mapping language."""
        return {key: declared.default for key, declared in self.fields.items() if declared.default is not None}
