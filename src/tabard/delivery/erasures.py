"""Tells destinations whom we deleted, so that they erase them too (`Destination.on_delete`).

Deletions are followed in the store with a cursor of their own, and each is a row until the destination has carried it
out: at the earliest when no request begun before the deletion can be under way any more, then by the table of retries
until `delivery_patience_s` is over, when it has failed and waits for a person. A destination is asked one by one.
"""

import asyncio
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import msgspec

from tabard.delivery.compiled import Compiled
from tabard.delivery.deliverer import Deliverer
from tabard.delivery.feed import FRESH_MS
from tabard.delivery.outcome import Outcome, Verdict
from tabard.delivery.outlet import Outlet
from tabard.delivery.retry import wait_s
from tabard.delivery.route import refusal
from tabard.destinations.kit.destination import Subject
from tabard.message.types import CONTROL, offset_of
from tabard.storage.deliveries import Erasure, ErasureState
from tabard.storage.interface import Deletion, MessageReader
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import count

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Found:
    """Deletions that follow a cursor, and the cursor behind them."""

    deletions: list[Deletion]
    cursor: dict[int, int]


class Erasures:
    """The duty of one deliverer; call `tell` every few seconds. After `stop` is set nothing more is asked."""

    def __init__(self, deliverer: Deliverer, stop: asyncio.Event) -> None:
        self._deliverer = deliverer
        self._stop = stop
        self._deliveries = deliverer.deps.deliveries
        self._cursors: dict[str, dict[int, int]] = {}

    async def tell(self) -> None:
        """Takes up new deletions for every destination that can erase, and asks for what is due, side by side."""
        outlets = [each for each in self._deliverer.outlets.values() if each.compiled.destination.on_delete]
        await asyncio.gather(*(self._tell(outlet) for outlet in outlets))

    async def _tell(self, outlet: Outlet) -> None:
        while await self._follow(outlet.compiled):
            continue
        if not outlet.compiled.instance.enabled:
            return
        destination, now_ms = outlet.compiled.instance.id, self._deliverer.now_ms()
        due = await self._deliverer.in_store(
            lambda: self._deliveries.erasures(ErasureState.ASKED, destination, _PAGE, due=now_ms)
        )
        for erasure in due:
            if self._stop.is_set() or not outlet.is_open:
                return
            outcome = await outlet.erase(subjects_of(erasure.people))
            await self._ended(outlet, erasure, outcome)
            if outcome.verdict in (Verdict.RETRY, Verdict.CREDENTIALS):
                return

    async def _follow(self, compiled: Compiled) -> bool:
        """Takes up some of the deletions since the last time; whether there may be more."""
        in_store, destination = self._deliverer.in_store, compiled.instance.id
        cursor = self._cursors.get(destination)
        if cursor is None:
            cursor = await in_store(self._deliveries.erasure_cursor, destination)
        found: Found = await self._deliverer.feed.call(following, cursor)
        # Before the instance was made it was sent nothing.
        asked = [
            self._erasure(compiled, each)
            for each in found.deletions
            if each.identifiers and each.received_at >= compiled.instance.created_at
        ]
        if asked:
            await in_store(self._deliveries.put_erasures, asked, (destination, found.cursor))
        self._cursors[destination] = found.cursor
        return bool(found.deletions)

    def _erasure(self, compiled: Compiled, deletion: Deletion) -> Erasure:
        now_ms, by_action = self._deliverer.now_ms(), goes_as_action(compiled, deletion)
        return Erasure(
            destination=compiled.instance.id,
            position=deletion.position,
            state=ErasureState.BY_ACTION if by_action else ErasureState.ASKED,
            message_id=deletion.message.message_id,
            people=() if by_action else deletion.identifiers,
            asked_at=now_ms,
            due=now_ms + int(self._deliverer.deps.settings.delivery_timeout_s * 1000) + FRESH_MS,
        )

    async def _ended(self, outlet: Outlet, erasure: Erasure, outcome: Outcome) -> None:
        deps, now_ms = self._deliverer.deps, self._deliverer.now_ms()
        patience_ms = deps.settings.delivery_patience_s * 1000
        ended = after(erasure, outcome, now_ms, patience_ms=patience_ms, fraction=deps.draw())
        if ended.state is ErasureState.DONE and outlet.shared.needless:
            outlet.shared.needless.forget_people(erasure.people)
            await self._deliverer.commit()
        await self._deliverer.in_store(self._deliveries.put_erasures, [ended])
        count("tabard_erasures", destination=erasure.destination, outcome=str(outcome.verdict))
        if ended.state is ErasureState.FAILED:
            where = {"destination": ended.destination, "position": ended.position}
            logger().error("delivery.erasure.failed", **where, code=ended.code)


def after(erasure: Erasure, outcome: Outcome, now_ms: int, *, patience_ms: int, fraction: float) -> Erasure:
    """The erasure after an attempt: done, to be tried again, or failed. `fraction`: random, in [0, 1)."""
    if outcome.verdict in (Verdict.DELIVERED, Verdict.FILTERED):
        return msgspec.structs.replace(erasure, state=ErasureState.DONE, people=(), code=outcome.code, reason="")
    attempts, since = erasure.attempts + 1, erasure.since or now_ms
    tried = msgspec.structs.replace(erasure, attempts=attempts, since=since, code=outcome.code, reason=outcome.reason)
    if outcome.verdict is Verdict.DEAD:
        return msgspec.structs.replace(tried, state=ErasureState.FAILED)
    if now_ms - since >= patience_ms:
        return msgspec.structs.replace(tried, state=ErasureState.FAILED, code=f"gave_up_{outcome.code}")
    pause_s = wait_s(attempts, fraction, outcome.retry_after_s)
    return msgspec.structs.replace(tried, due=now_ms + int(pause_s * 1000))


def asked_again(erasure: Erasure, now_ms: int) -> Erasure:
    """A failed erasure as it is tried anew."""
    return msgspec.structs.replace(erasure, state=ErasureState.ASKED, attempts=0, since=0, due=now_ms)


def subjects_of(people: tuple[str, ...]) -> list[Subject]:
    """Identifiers as text (`user:u1`) as subjects, each with one identifier of a kind at most."""
    by_kind: dict[str, list[str]] = {"user": [], "anon": [], "email": []}
    for text in people:
        kind, _, value = text.partition(":")
        by_kind[kind].append(value)
    return [Subject(user_id, anonymous_id, email) for user_id, anonymous_id, email in zip_longest(*by_kind.values())]


def goes_as_action(compiled: Compiled, deletion: Deletion) -> bool:
    """Whether the message that deleted (User Deleted) reaches the destination as an action that erases."""
    message = deletion.message
    if message.type == CONTROL or deletion.is_of_copy or not compiled.instance.enabled:
        return False
    body = msgspec.json.decode(message.body)
    if refusal(compiled.route, message.source, body) is not None:
        return False
    allowed = {id_ for id_, _ in compiled.steps(body, message.trust, {})}
    return any(id_ in allowed and subscription.action.erases for id_, subscription in compiled.subscriptions)


def following(reader: MessageReader, cursor: dict[int, int]) -> Found:
    """Some of the deletions that follow a cursor; none where there are no more."""
    found, behind = [], dict(cursor)
    for partition, end in reader.resolved().items():
        if cursor.get(partition, 0) >= end:
            continue
        page = reader.deletions(partition, cursor.get(partition, 0), _PAGE)
        resolved = [each for each in page if offset_of(each.position) < end]
        found += resolved
        is_whole = len(page) < _PAGE or len(resolved) < len(page)
        behind[partition] = end if is_whole else offset_of(page[-1].position) + 1
    return Found(found, behind)
