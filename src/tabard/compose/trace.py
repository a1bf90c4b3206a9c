"""What became of a message at each destination: its row or the range that passed it, and the decision made anew."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tabard.delivery.compiled import Compiled, InstanceUnusable, compile_instance
from tabard.delivery.route import Filter, refusal
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.plan import Invalid
from tabard.message.types import StoredMessage, offset_of, partition_of
from tabard.storage.deliveries import ConsumerState, DeliveryReader, Range, Row
from tabard.workspace.types import DestinationInstance, WorkspaceReader

Json = dict[str, Any]

_BODY: Final = msgspec.json.Decoder(dict[str, Any])


class Tracer:
    """Answers for one installation. `registry`: destinations by slug; `reveal`: settings with secrets in plain."""

    def __init__(
        self,
        deliveries: DeliveryReader,
        workspace: WorkspaceReader,
        registry: Mapping[str, Destination],
        reveal: Callable[[DestinationInstance], Mapping[str, Any]],
    ) -> None:
        self._deliveries = deliveries
        self._workspace = workspace
        self._registry = registry
        self._reveal = reveal

    def trace(self, message: StoredMessage) -> list[Json]:
        """One entry a consumer (live or replay) that the message concerns.

        `outcome`: delivered, filtered, parked, waiting, dead, pending, before_start or unknown; `basis`: whether a
        `row` of its own says so, the `range` that passed it with the decision recomputed, or the `cursor` alone.
        """
        return [
            {"destination": self._name(state), "consumer": state.id, "kind": state.kind.value, **found}
            for state in self._deliveries.consumers()
            for found in [self._of(state, message)]
            if found is not None
        ]

    def _of(self, state: ConsumerState, message: StoredMessage) -> Json | None:
        partition, offset = partition_of(message.position), offset_of(message.position)
        if state.end and offset >= state.end.get(partition, 0):
            return None
        attempts = [msgspec.to_builtins(each) for each in self._deliveries.attempts(state.id, message.position)]
        row = self._deliveries.row(state.id, message.position)
        if row is not None:
            return {**_of_row(row), "attempts": attempts}
        if offset < state.start.get(partition, 0):
            return {"outcome": "before_start", "basis": "cursor", "reason": "it was stored before delivery began"}
        if offset >= state.offsets.get(partition, 0):
            return {"outcome": "pending", "basis": "cursor", "reason": f"the cursor has not come to it ({state.state})"}
        passed = self._deliveries.range_of(state.id, message.position)
        if passed is None:
            reason = "the cursor passed it, longer ago than ranges are kept"
            return {"outcome": "unknown", "basis": "cursor", "reason": reason, "attempts": attempts}
        return {**self._of_range(state, passed, message), "attempts": attempts}

    def _of_range(self, state: ConsumerState, passed: Range, message: StoredMessage) -> Json:
        known: Json = {
            "basis": "range",
            "version": passed.version,
            "firstSend": passed.first_send or None,
            "lastAnswer": passed.last_answer or None,
        }
        if not message.body:
            return {**known, "outcome": "unknown", "reason": "its body was erased or is past retention"}
        compiled = self._compiled(state.destination, passed.version)
        if compiled is None:
            return {**known, "outcome": "unknown", "reason": f"version {passed.version} cannot be read any more"}
        reason = _filtered(compiled, message)
        if reason is not None:
            return {**known, "outcome": "filtered", "reason": reason}
        return {**known, "outcome": "delivered", "reason": ""}

    def _compiled(self, destination_id: str, version: int) -> Compiled | None:
        instance = self._workspace.destination_version(destination_id, version)
        kind = self._registry.get(instance.slug) if instance else None
        if instance is None or kind is None:
            return None
        try:
            return compile_instance(instance, kind, self._reveal(instance))
        except InstanceUnusable:
            return None

    def _name(self, state: ConsumerState) -> str:
        for instance in self._workspace.destinations():
            if instance.id == state.destination:
                return instance.name
        return state.destination


def _of_row(row: Row) -> Json:
    return {
        "outcome": row.state.value,
        "basis": "row",
        "code": row.code,
        "reason": row.reason,
        "since": row.since,
        "due": row.due or None,
        "tries": row.attempts,
        "late": row.late,
    }


def _filtered(compiled: Compiled, message: StoredMessage) -> str | None:
    body = _BODY.decode(message.body)
    refused = refusal(compiled.route, message.source, body)
    if refused is not None:
        return refused.value
    steps = compiled.steps(body)
    if not steps:
        return Filter.NO_TRIGGER.value
    invalid = [planned for _, planned in steps if isinstance(planned, Invalid)]
    return invalid[0].reason if len(invalid) == len(steps) else None
