"""One destination instance being served: its live consumer and its replays, over one pace, breaker and way out.

The edge around `Consumer`: reads, sends, sets timers. Every outlet has tasks and connections of its own, so that a
dead destination costs the others nothing. While an operator has the instance paused it neither reads nor sends.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tabard.clock import Clock
from tabard.delivery.attempt import Recording, attempt, credentials_refused, erase, outcome_of, test_failure
from tabard.delivery.breaker import Why
from tabard.delivery.compiled import Compiled
from tabard.delivery.consumer import Consumer
from tabard.delivery.entry import Item, Phase, Unit
from tabard.delivery.feed import CHUNK, Feed, Seat
from tabard.delivery.needless import Needless
from tabard.delivery.outcome import DELIVERED, Outcome, Verdict
from tabard.delivery.pace import Bucket
from tabard.delivery.record import attempts_of, redacted, secrets_of, without_secrets
from tabard.delivery.replay import Selection
from tabard.delivery.shared import Shared
from tabard.destinations.kit.destination import Subject
from tabard.destinations.kit.request import Send
from tabard.storage.deliveries import Term
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import count

T = TypeVar("T")

STORE_RETRY_S = 1.0
ROOM_WAIT_S = 0.02
TURN_WAIT_MAX_S = 2.0
"""How long an erasure waits for its turn; what takes longer is tried again later."""
IDLE_S = 0.5
"""A consumer that waits for room or messages looks again after this long, whatever events it missed."""


@dataclass(slots=True)
class Served:
    """A consumer with its place in the feed. end, selection: a replay's last cursor and what belongs to it."""

    consumer: Consumer
    seat: Seat
    end: dict[int, int] | None = None
    bucket: Bucket | None = None
    selection: Selection | None = None
    reader: asyncio.Task[None] | None = None
    is_read: bool = False
    ended: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def is_done(self) -> bool:
        """Whether a replay has ended: everything is read, and nothing is under way."""
        return self.is_read and self.consumer.holds() == (0, 0)


class Outlet:
    """Serves one destination instance until it is closed. `hurry` asks for a commit, which makes room."""

    def __init__(
        self, shared: Shared, send: Send, feed: Feed, clock: Clock, retry_after_max_s: float, hurry: Callable[[], None]
    ) -> None:
        self.shared = shared
        self.served: list[Served] = []
        self._send = send
        self._feed = feed
        self._clock = clock
        self._retry_after_max_s = retry_after_max_s
        self._hurry = hurry
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._stands_at = 0

    @property
    def paused_at(self) -> int:
        """Since when an operator has it paused (ms), 0 where it is not."""
        return self.compiled.instance.paused_at

    @property
    def is_open(self) -> bool:
        """Whether anything may be sent: it is neither paused nor closed."""
        return not (self._closed or self.paused_at)

    @property
    def compiled(self) -> Compiled:
        """The instance as it is configured now."""
        return self.shared.compiled

    def add(self, served: Served) -> None:
        """Starts to serve a consumer; the live one is added first."""
        self.served.append(served)
        if self.is_open:
            served.reader = asyncio.create_task(self._read(served))
            self._start_task(self._load_wanted(served))
        elif served.end is None:
            served.reader = asyncio.create_task(self._stand(served))

    async def remove(self, served: Served) -> None:
        """Ends a consumer's reading; what is under way finishes."""
        self.served.remove(served)
        served.ended = True
        served.more.set()
        if served.reader:
            await served.reader

    def reconfigure(self, compiled: Compiled) -> None:
        """Goes on with a changed configuration; the next probe goes at once."""
        self.shared.compiled = compiled
        self.shared.pace.set_rates(compiled.rates())
        if self.shared.needless:
            self.shared.needless.compiled = compiled
        for served in self.served:
            served.consumer.reconfigured(self._clock.now_ms())
        self.try_now()
        self.wake()

    def try_now(self) -> None:
        """Ends a wait the destination asked for, and lets the probe of an open breaker go at once."""
        self.shared.pace.held_until_s = 0.0
        self.shared.breaker.probe_now(self._clock.now_ms())
        self.pump()

    def wake(self) -> None:
        """New messages, or another configuration: goes on."""
        self.make_room()
        self.pump()

    def make_room(self) -> None:
        """A commit has taken entries out of the way: reading goes on."""
        if self.is_open:
            for served in self.served:
                served.more.set()

    def lag_ms(self, now_ms: int) -> int:
        """The age of the message the live cursor stands at, 0 where it has nothing before it."""
        return now_ms - self._stands_at if self._stands_at else self.served[0].consumer.lag_ms(now_ms)

    async def close(self, grace_s: float) -> None:
        """Ends reading, lets what is under way finish for that long, then breaks it off: a store may be away."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        for served in self.served:
            served.ended = True
            served.more.set()
        tasks = {*self._tasks, *(served.reader for served in self.served if served.reader)}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def erase(self, subjects: Sequence[Subject]) -> Outcome:
        """Asks the destination to erase people, within its pace; the reason comes without secrets."""
        pace, clock = self.shared.pace, self._clock
        while (wait_s := pace.wait_s(clock.now_ms() / 1000)) > 0 or not pace.has_room():
            if wait_s > TURN_WAIT_MAX_S:
                return Outcome(Verdict.RETRY, "held", "the destination asked not to be sent anything yet", wait_s)
            await asyncio.sleep(max(wait_s, ROOM_WAIT_S))
        pace.began()
        began_s = clock.monotonic_s()
        error = await erase(self.compiled, self._send, subjects)
        outcome = outcome_of(error, clock.now_ms(), self._retry_after_max_s)
        took_s, good = clock.monotonic_s() - began_s, outcome.verdict is Verdict.DELIVERED
        pace.ended(clock.now_ms() / 1000, took_s, overloaded=outcome.overloaded, good=good)
        if outcome.retry_after_s is not None:
            pace.hold(clock.now_ms() / 1000 + outcome.retry_after_s)
        self.pump()
        return without_secrets([outcome], self.compiled)[0]

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read(self, served: Served) -> None:
        while not served.ended:
            served.more.clear()
            room = served.consumer.room()
            limit = min(room, CHUNK)
            items = await _insisting(partial(self._feed.take, served.seat, limit)) if room else ()
            if served.end is not None:
                end = served.end
                served.is_read = not items and all(
                    served.seat.vector.get(partition, 0) >= until for partition, until in end.items()
                )
                items = [item for item in items if item.offset < end.get(item.partition, 0)]
            if items:
                if self.shared.needless and served.end is None:
                    await self._learn(self.shared.needless, items)
                if served.selection:
                    await _insisting(partial(served.selection.learn, items))
                served.consumer.take(items, self._clock.now_ms())
                self.pump()
                if served.consumer.is_pressed():
                    self._hurry()
            else:
                await _wait(served.more, IDLE_S)

    async def _stand(self, served: Served) -> None:
        """Finds out, while it is paused, which message the cursor stands at."""
        while not (served.ended or self._stands_at):
            self._stands_at = await _insisting(partial(self._feed.received_after, served.seat.vector))
            await _wait(served.more, IDLE_S)

    async def _learn(self, needless: Needless, items: Sequence[Item]) -> None:
        unknown = needless.unknown(items)
        if unknown:
            needless.learn(unknown, await _insisting(partial(needless.look_up, unknown)))

    async def _load_wanted(self, served: Served) -> None:
        positions = served.consumer.to_load()
        while positions:
            items = await _insisting(partial(self._feed.load, positions))
            served.consumer.loaded(items, positions, self._clock.now_ms())
            positions = served.consumer.to_load()
        self.pump()

    # --- sending --------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Sends all that may go now and sets the timer for what may go later."""
        if not self.is_open:
            return
        now_ms = self._clock.now_ms()
        for served in self.served:
            while unit := self._next(served, now_ms):
                self._start_task(self._send_units(served, unit))
            if served.consumer.wants_load:
                self._start_task(self._load_wanted(served))
        self._set_timer(now_ms)

    def _next(self, served: Served, now_ms: int) -> Unit | None:
        """The consumer's next unit; a replay's only if live traffic has nothing to send and its own rate allows."""
        if not self._has_turn(served) or (served.bucket and served.bucket.wait_s(now_ms / 1000) > 0):
            return None
        unit = served.consumer.next_unit(now_ms)
        if unit and served.bucket:
            served.bucket.take()
        return unit

    def _has_turn(self, served: Served) -> bool:
        return served.end is None or self.served[0].consumer.is_idle()

    def _set_timer(self, now_ms: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        moments = [moment for each in self.served if (moment := self._wake_at(each, now_ms)) is not None]
        if moments:
            delay_s = max(0.001, (min(moments) - now_ms) / 1000)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.pump)

    def _wake_at(self, served: Served, now_ms: int) -> float | None:
        """When the consumer may have something to send; None where another event will say so."""
        if not self._has_turn(served):
            return None
        moment = served.consumer.wake_at(now_ms)
        wait_s = served.bucket.wait_s(now_ms / 1000) if served.bucket else 0.0
        if wait_s > 0 and not served.consumer.is_idle():
            return max(moment or 0.0, now_ms + wait_s * 1000)
        return moment

    def _start_task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_units(self, served: Served, first: Unit) -> None:
        unit: Unit | None = first
        while unit is not None:
            await self._send_unit(served, unit)
            if served.consumer.is_pressed():
                self._hurry()
            if served.consumer.wants_load:
                self._start_task(self._load_wanted(served))
            unit = None if self._closed else self._next(served, self._clock.now_ms())
        self.pump()

    async def _send_unit(self, served: Served, unit: Unit) -> None:
        consumer = served.consumer
        items = [entry.item for entry in unit.entries if entry.item]
        if await _insisting(partial(self._feed.recheck, items)):
            consumer.erased(unit, self._clock.now_ms())
        began_s = self._clock.monotonic_s()
        outcomes = await self._tried(served, unit) if unit.entries else []
        was_open = self.shared.breaker.is_open
        consumer.answered(unit, outcomes, self._clock.now_ms(), self._clock.monotonic_s() - began_s)
        if served.selection:
            await self._cure(served.selection, unit, consumer.id)
        self._say(was_open=was_open)
        if was_open and not self.shared.breaker.is_open:
            self._resume(consumer)
        failed = [outcome for outcome in outcomes if outcome.verdict is not Verdict.DELIVERED]
        for outcome in failed:
            count("tabard_attempts_failed", destination=self.compiled.instance.id, code=outcome.code)
        if failed:
            await self._suspect()

    async def _tried(self, served: Served, unit: Unit) -> list[Outcome]:
        """The ends of the unit's items; what did not simply succeed is recorded, with the secrets it was sent with."""
        compiled, recording = self.compiled, Recording(self._send)
        began_s = self._clock.monotonic_s()
        outcomes = await attempt(unit, compiled, recording, self._clock.now_ms(), self._retry_after_max_s)
        if any(outcome is not DELIVERED for outcome in outcomes):
            outcomes = without_secrets(await self._credentials_confirmed(outcomes), compiled)
        # Some calls take several requests; the first was counted as it went out.
        more = max(0, len(recording.exchanges) - 1)
        self.shared.pace.count(more)
        if served.bucket:
            served.bucket.take(more)
        took_s = self._clock.monotonic_s() - began_s
        served.consumer.note(attempts_of(unit, outcomes, recording.exchanges, compiled, took_s))
        return outcomes

    async def _credentials_confirmed(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Refused credentials only where the destination's test agrees; otherwise the item is at fault."""
        if not any(outcome.verdict is Verdict.CREDENTIALS for outcome in outcomes):
            return outcomes
        refused = await credentials_refused(self.compiled.destination, self.compiled.settings, self._send)
        verdict = Verdict.CREDENTIALS if refused else Verdict.DEAD
        return [
            Outcome(verdict, outcome.code, outcome.reason) if outcome.verdict is Verdict.CREDENTIALS else outcome
            for outcome in outcomes
        ]

    async def _suspect(self) -> None:
        """Asks the destination's test whether it is at fault: then it rests. If not, what it refused meanwhile dies."""
        breaker, compiled = self.shared.breaker, self.compiled
        if compiled.destination.test is None or not breaker.suspects(self._clock.now_ms()):
            return
        was_open = breaker.is_open
        reason = await test_failure(compiled.destination, compiled.settings, self._send)
        now_ms = self._clock.now_ms()
        if was_open:
            breaker.tested(now_ms, passed=not reason)
            if breaker.is_well:
                for served in self.served:
                    served.consumer.acquitted(now_ms)
        elif reason and not breaker.is_open:
            secrets = secrets_of(compiled.destination.settings, compiled.settings)
            breaker.open(Why.TEST, redacted(reason, secrets), now_ms)
            self._say(was_open=False)

    async def _cure(self, selection: Selection, unit: Unit, replay: str) -> None:
        """Closes the dead letters of live traffic that a replay has delivered."""
        for entry in unit.entries:
            if entry.phase is Phase.FINISHED and entry.term is Term.DELIVERED:
                row = await _insisting(partial(selection.dead_row, entry))
                if row is not None:
                    self.served[0].consumer.cured(row, replay, self._clock.now_ms())

    def _resume(self, first: Consumer) -> None:
        """The consumer that closed the breaker has gone on; the others of the destination do too."""
        for served in self.served:
            if served.consumer is not first:
                served.consumer.resumed(self.shared.breaker.opened_at, self._clock.now_ms())
        self.make_room()

    def _say(self, *, was_open: bool) -> None:
        breaker, instance = self.shared.breaker, self.compiled.instance
        if breaker.is_open and not was_open:
            logger().warning("delivery.destination.paused", destination=instance.name, why=breaker.why)
        elif was_open and not breaker.is_open:
            logger().info("delivery.destination.resumed", destination=instance.name)


async def _insisting(question: Callable[[], Awaitable[T]]) -> T:
    """The answer of the store, asked again each second until there is one: it may be locked or away for a while."""
    while True:
        try:
            return await question()
        except Exception as problem:  # noqa: BLE001 - whatever keeps the store from answering
            logger().error("delivery.store.unavailable", problem=f"{type(problem).__name__}: {problem}")
            await asyncio.sleep(STORE_RETRY_S)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
