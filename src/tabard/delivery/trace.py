"""What became of a message at each destination: from its own row or attempts where there are any, else from the range
that passed it and the decision made again with the configuration of that time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tabard.delivery.compiled import compile_subscriptions, paused_text, withheld
from tabard.delivery.dead_letter import attempt_json, erasure_json, row_json
from tabard.delivery.outcome import Verdict
from tabard.delivery.route import Filter, refusal, route_of, untrusted
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.plan import Invalid, plan
from tabard.destinations.kit.subscription import compile_trigger
from tabard.message.traits import iso_ms
from tabard.message.types import StoredMessage, offset_of, partition_of, position_text
from tabard.storage.deliveries import (
    Attempt,
    ConsumerKind,
    ConsumerState,
    DeliveryReader,
    Range,
    Replay,
    Rest,
    RowState,
    Term,
)
from tabard.storage.interface import MessageReader
from tabard.workspace.types import DestinationInstance, WorkspaceReader

Json = dict[str, Any]

NOT_CHOSEN: Final = "not_in_replay"
_REMOVED: Final = "(removed)"


@dataclass(frozen=True, slots=True)
class Tracing:
    """What a trace reads."""

    messages: MessageReader
    deliveries: DeliveryReader
    workspace: WorkspaceReader
    registry: Mapping[str, Destination]


def trace(message_id: str, tracing: Tracing) -> list[Json]:
    """One entry for each stored message of that id and each destination (and replay) that has, had or will have it.

    `outcome`: delivered, filtered, parked, waiting, dead, erased, expired, pending, before_start, removed or unknown.
    A destination that was removed before it came to the message will never get it. `how` says what the answer rests on:
    `row`, `attempts` (its row is gone, what was tried is kept), `range` (the decision was made again with the version
    shown) or `cursor`.
    `erasure` is there where the message deleted somebody and the destination was asked to erase them.
    """
    return [
        {
            "messageId": message_id,
            "messagePosition": position_text(message.position),
            **entry,
            **_erasure(state, message, tracing),
        }
        for message in tracing.messages.find(message_id)
        for state in tracing.deliveries.consumers()
        if (entry := _at(state, message, tracing)) is not None
    ]


def _at(state: ConsumerState, message: StoredMessage, tracing: Tracing) -> Json | None:
    partition, offset = partition_of(message.position), offset_of(message.position)
    instance = next((each for each in tracing.workspace.destinations() if each.id == state.destination), None)
    name = instance.name if instance else _REMOVED
    known = {"destination": state.destination, "name": name, "kind": state.kind}
    if state.kind is ConsumerKind.REPLAY:
        known["replay"] = state.id
        if not state.start.get(partition, 0) <= offset < state.end.get(partition, 0):
            return None
    attempts = tracing.deliveries.attempts(state.id, message.position)
    tries = [attempt_json(each) for each in attempts]
    row = tracing.deliveries.row(state.id, message.position)
    if row is not None:
        waits = row.state is not RowState.DEAD
        told = {**_of_row(row_json(row)), **(_waits(instance, state.rest, row.reason) if waits else {})}
        return {**known, "outcome": row.state, "how": "row", **told, "attempts": tries}
    if offset < state.start.get(partition, 0):
        return {**known, "outcome": "before_start", "how": "cursor", "attempts": tries}
    if offset >= state.offsets.get(partition, 0):
        outcome = "pending" if instance else "removed"
        return {**known, "outcome": outcome, "how": "cursor", **_waits(instance, state.rest), "attempts": tries}
    return {**known, **_passed(state, message, attempts, tracing), "attempts": tries}


def _waits(instance: DestinationInstance | None, rest: Rest, reason: str = "") -> Json:
    """Why a delivery waits, where its destination is paused or rests besides."""
    why = [reason]
    if instance is not None and instance.paused_at:
        why.append(paused_text(instance.paused_at))
    if instance is not None and rest.why:
        why.append(f"the destination rests since {iso_ms(rest.opened_at)}: {rest.why}, {rest.code}".rstrip(", "))
    return {"reason": "; ".join(each for each in why if each)} if any(why) else {}


def _erasure(state: ConsumerState, message: StoredMessage, tracing: Tracing) -> Json:
    asked = tracing.deliveries.erasure(state.id, message.position)
    return {"erasure": {**erasure_json(asked), "state": asked.state}} if asked else {}


def _of_row(row: Json) -> Json:
    return {name: row[name] for name in ("code", "reason", "late", "failingSince", "nextAttempt")}


def _passed(state: ConsumerState, message: StoredMessage, attempts: Sequence[Attempt], tracing: Tracing) -> Json:
    found = tracing.deliveries.range_of(state.id, message.position)
    if found is None:
        return {"outcome": "unknown", "how": "cursor", "reason": "it was passed longer ago than ranges are kept"}
    known = {"how": "range", "range": _range_json(found)}
    if not message.body or tracing.messages.is_dead(message):
        return {**_gone(message, found, tracing), **known}
    told = decided(state, message, found, tracing)
    ended = _by_attempts(attempts, len(told.get("actions", ())))
    return {**told, **known, "how": "attempts", **ended} if ended else {**told, **known}


def _by_attempts(attempts: Sequence[Attempt], actions: int) -> Json | None:
    """How a delivery without a row ended, as its last attempts have it; None where they do not say.

    `actions`: how many the message triggered. Of those, only what was not delivered at once need be recorded.
    """
    last = {each.subscription: each for each in attempts}
    verdicts = {each.verdict for each in last.values()}
    if Verdict.DELIVERED in verdicts or (verdicts == {Verdict.FILTERED} and len(last) < actions):
        return {"outcome": "delivered"}
    if verdicts == {Verdict.FILTERED}:
        return {"outcome": "filtered", "code": attempts[-1].code, "reason": attempts[-1].reason}
    return None


def decided(state: ConsumerState, message: StoredMessage, found: Range, tracing: Tracing) -> Json:
    """What became of a message that passed smoothly in that range: the decision made again; messages are not read.

    A replay's choice by what went before it is not kept: where its range ended in different ways nobody knows.
    """
    if state.replay is not None and (left_out := _left_out(state.replay, message, found)) is not None:
        return left_out
    instance = tracing.workspace.destination_version(state.destination, found.version)
    destination = tracing.registry.get(instance.slug) if instance else None
    if instance is None or destination is None:
        return {"outcome": "unknown", "reason": "its version is not kept"}
    told, ended = decision(instance, destination, message), _ends(message, found)
    if told["outcome"] == "delivered" and Term.FILTERED in ended and _may_be_unchanged(state, instance, message):
        if ended == {Term.FILTERED}:
            return {**told, "outcome": "filtered", "code": Filter.UNCHANGED}
        return {
            **told,
            "outcome": "unknown",
            "reason": "delivered, or unchanged: its range holds messages of both ends",
        }
    # What was parked has ended later, in any way.
    if told["outcome"] not in ended and Term.PARKED not in ended:
        why = f"its range holds no message of its source that was {told['outcome']}, as it should be by that version"
        return {"outcome": "unknown", "reason": why}
    return told


def _may_be_unchanged(state: ConsumerState, instance: DestinationInstance, message: StoredMessage) -> bool:
    return message.type == "identify" and state.replay is None and bool(instance.options.get("no_needless_calls"))


def _left_out(replay: Replay, message: StoredMessage, found: Range) -> Json | None:
    """That a replay left the message out, or that nobody knows; None where it took it."""
    if replay.trigger and not compile_trigger(replay.trigger).matches(msgspec.json.decode(message.body)):
        return {"outcome": "filtered", "code": NOT_CHOSEN}
    ended = _ends(message, found)
    if replay.only == "all" or Term.FILTERED not in ended:
        return None
    if ended == {Term.FILTERED}:
        return {"outcome": "filtered", "code": NOT_CHOSEN}
    return {"outcome": "unknown", "reason": f"the replay took only what was {replay.only}; which is not kept"}


def _ends(message: StoredMessage, found: Range) -> set[str]:
    """How messages of its source ended in the range."""
    terms = found.counts.get(message.source, {})
    return {term for term, number in terms.items() if number and term not in (Term.TAKEN, Term.BEFORE_START)}


def _gone(message: StoredMessage, found: Range, tracing: Tracing) -> Json:
    """What can still be said of a message whose body is gone: only what holds for all of its source in the range."""
    ended, dead = _ends(message, found), tracing.messages.why_dead(message)
    why = dead.name if dead else "no longer kept"
    if len(ended) != 1 or Term.PARKED in ended:
        return {"outcome": "unknown", "reason": f"it is {why}; the messages of its range ended in different ways"}
    [term] = ended
    if term in (Term.ERASED, Term.EXPIRED):
        return {"outcome": term, "reason": dead.sentence if dead else ""}
    return {"outcome": term, "reason": f"{term}, {why} since"}


def decision(instance: DestinationInstance, destination: Destination, message: StoredMessage) -> Json:
    """The pure part of a delivery, as JSON data: whether the message goes to the instance, with which actions."""
    body = msgspec.json.decode(message.body)
    reason = refusal(route_of(instance, destination), message.source, body)
    if reason is not None:
        return {"outcome": "filtered", "code": reason}
    subscriptions = [subscription for _, subscription in compile_subscriptions(instance, destination)]
    planned = plan((each for each in subscriptions if not untrusted(each.action, message.trust)), body)
    if not planned:
        refused = withheld(subscriptions, body, message.trust)
        return {"outcome": "filtered", "code": refused[0] if refused else Filter.NO_TRIGGER}
    invalid = [each.reason for each in planned if isinstance(each, Invalid)]
    actions = [each.subscription.name for each in planned]
    if invalid:
        return {"outcome": "dead", "code": "payload_invalid", "reason": "; ".join(invalid), "actions": actions}
    return {"outcome": "delivered", "actions": actions}


def _range_json(found: Range) -> Json:
    return {
        "from": f"{found.partition}:{found.start}",
        "to": f"{found.partition}:{found.end}",
        "version": found.version,
        "firstSend": iso_ms(found.first_send) if found.first_send else None,
        "lastAnswer": iso_ms(found.last_answer) if found.last_answer else None,
        "counts": found.counts,
    }
