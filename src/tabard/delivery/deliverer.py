"""The deliverer: one feed, an outlet a destination instance, one commit for all of them at a time."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from tabard.clock import Clock
from tabard.delivery.compiled import Compiled, InstanceUnusable, compile_instance
from tabard.delivery.consumer import Consumer
from tabard.delivery.cursor import Vector, vector_at
from tabard.delivery.egress import Egress, EgressRules
from tabard.delivery.entry import Item
from tabard.delivery.feed import Feed, Seat
from tabard.delivery.ledger import Ledger
from tabard.delivery.names import Names
from tabard.delivery.needless import Needless
from tabard.delivery.outlet import Outlet, Served
from tabard.delivery.pace import Bucket
from tabard.delivery.replay import Past, Selection
from tabard.delivery.shared import Limits, Shared, shared_as_kept
from tabard.delivery.trace import Tracing
from tabard.destinations.kit.action import Rate
from tabard.destinations.kit.destination import Destination
from tabard.message.traits import parse_instant
from tabard.settings import Settings
from tabard.storage.deliveries import Commit, ConsumerKind, ConsumerState, DeliveryStore, Replay, Row, RowState, Term
from tabard.storage.interface import MessageReader
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import count
from tabard.workspace.types import DestinationInstance, WorkspaceReader

COMMIT_S: Final = 0.05
POLL_FIRST_S: Final = 0.02
POLL_MAX_S: Final = 0.1
CLOSE_GRACE_S: Final = 1.0
"""How much longer than a request may take what is under way has to finish when it is to stop."""
_ENDED: Final = frozenset({Term.DELIVERED, Term.FILTERED, Term.DEAD, Term.ERASED, Term.EXPIRED})
_ROWS_PAGE: Final = 10_000
_COMMIT_RETRY_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What the deliverer works with; compose hands it in.

    registry: destinations by slug. reveal: an instance's settings with the secrets in plain.
    draw: random numbers in [0, 1). reader_executor and store_executor: one thread each, for the message reader, and
    for delivery store and workspace. status_file and orders_folder: see `status` and `orders`.
    """

    settings: Settings
    clock: Clock
    messages: MessageReader
    workspace: WorkspaceReader
    registry: Mapping[str, Destination]
    deliveries: DeliveryStore
    reveal: Callable[[DestinationInstance], Mapping[str, Any]]
    draw: Callable[[], float]
    reader_executor: Executor
    store_executor: Executor
    status_file: Path
    orders_folder: Path


class CommitGivenUp(Exception):
    """The delivery store refused a commit after the wish to stop; what it held is delivered again."""


class Deliverer:
    """All outlets of one process. Not before `start` and not after `close` does anything move."""

    def __init__(self, deps: Deps, stop: asyncio.Event | None = None) -> None:
        """`stop`: the wish to stop, set before `close` is called; from then on no failing store is waited for."""
        self.deps = deps
        self._stop = stop or asyncio.Event()
        self._given_up = False
        self._grace_s = deps.settings.delivery_timeout_s + CLOSE_GRACE_S
        self.outlets: dict[str, Outlet] = {}
        self.unusable: dict[str, str] = {}
        self.committed_at = 0
        self.feed = Feed(deps.messages, deps.reader_executor, deps.clock)
        self._names = Names()
        self._egress: dict[str, Egress] = {}
        self._workspace_version: int | None = None
        self._hurried = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._committing = asyncio.Lock()

    async def start(self) -> None:
        """Takes the configuration up and begins to deliver."""
        # Thousands of messages are under way at a time: a collection for every 700 new objects walks them all.
        gc.set_threshold(50_000, 20, 100)
        await self.reconfigure()
        await self.feed.begin(outlet.served[0].seat for outlet in self.outlets.values() if outlet.is_open)
        self._tasks = [asyncio.create_task(self._fill()), asyncio.create_task(self._commit_on())]

    async def close(self) -> None:
        """Stops taking, lets what is under way finish, commits."""
        self._closing = True
        self._stop.set()
        self._hurried.set()
        # Not cancelled: a commit that is under way in its thread must be heard of.
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(outlet.close(self._grace_s) for outlet in self.outlets.values()))
        await self.commit()
        for egress in self._egress.values():
            await egress.close()
        # Reads that were given up may still run in their thread.
        await self.feed.call(id)

    # --- configuration --------------------------------------------------------------------------------------------

    async def reconfigure(self) -> None:
        """Takes up what changed in the workspace: new, changed and removed instances."""
        version = await self.in_store(self.deps.workspace.version)
        if version == self._workspace_version:
            return
        instances: list[DestinationInstance] = await self.in_store(self.deps.workspace.destinations)
        known = {instance.id for instance in instances}
        for gone in self.outlets.keys() - known:
            await self._remove(gone)
        self.unusable = {id_: problem for id_, problem in self.unusable.items() if id_ in known}
        for instance in instances:
            await self._take_up(instance)
        self._workspace_version = version

    async def _take_up(self, instance: DestinationInstance) -> None:
        outlet = self.outlets.get(instance.id)
        if outlet and (outlet.compiled.version, outlet.paused_at) == (instance.version, instance.paused_at):
            return
        try:
            compiled = self._compile(instance)
            if outlet and _begins_anew(outlet.compiled, compiled):
                await self._remove(instance.id)
                outlet = None
            if outlet:
                outlet.reconfigure(compiled)
            else:
                self.outlets[instance.id] = await self._open(compiled)
            self.unusable.pop(instance.id, None)
        except InstanceUnusable as problem:
            # The old configuration, if any, is not what the operator wants any more: the cursor waits.
            self.unusable[instance.id] = str(problem)
            logger().error("delivery.destination.unusable", destination=instance.name, problem=str(problem))
            if outlet:
                await self._remove(instance.id)

    def _compile(self, instance: DestinationInstance) -> Compiled:
        destination = self.deps.registry.get(instance.slug)
        if destination is None:
            raise InstanceUnusable(f"destination {instance.name!r}: there is no destination {instance.slug!r}")
        try:
            plain = self.deps.reveal(instance)
        except Exception as error:  # whatever keeps the secrets shut
            raise InstanceUnusable(f"destination {instance.name!r}: its secrets do not open: {error}") from error
        return compile_instance(instance, destination, plain)

    async def _open(self, compiled: Compiled) -> Outlet:
        settings, instance = self.deps.settings, compiled.instance
        state = await self._live_state(instance)
        limits = Limits(
            in_flight_max=settings.in_flight_max,
            order_patience_ms=settings.order_patience_s * 1000,
            patience_ms=settings.delivery_patience_s * 1000,
            held_max_ms=settings.retry_after_max_s * 1000,
        )
        shared = shared_as_kept(compiled, limits, self.deps.draw, state.rest, self.now_ms())
        served = [Served(await self._consumer(shared, state), Seat(state.offsets))]
        others: list[ConsumerState] = await self.in_store(self.deps.deliveries.consumers)
        served += [
            await self._replay(shared, other)
            for other in others
            if other.destination == instance.id and other.kind is ConsumerKind.REPLAY and other.state == "running"
        ]
        egress = self._egress[instance.id] = Egress(
            EgressRules(timeout_s=settings.delivery_timeout_s, allows_private=settings.egress_private), self._names
        )
        outlet = Outlet(
            shared, egress, self.feed, self.deps.clock, float(settings.retry_after_max_s), self._hurried.set
        )
        if state.rest.paused_at and outlet.is_open and not shared.breaker.is_open:
            for each in served:
                each.consumer.resumed(state.rest.paused_at, self.now_ms())
        for each in served:
            outlet.add(each)
        return outlet

    async def _remove(self, instance_id: str) -> None:
        outlet = self.outlets[instance_id]
        await outlet.close(self._grace_s)
        await self.commit()
        del self.outlets[instance_id]
        await self._egress.pop(instance_id).close()

    # --- consumers ------------------------------------------------------------------------------------------------

    async def _live_state(self, instance: DestinationInstance) -> ConsumerState:
        state: ConsumerState | None = await self.in_store(self.deps.deliveries.consumer, instance.id)
        if state is None:
            return await self._new_live(instance)
        log_id = await self.feed.call(lambda reader: reader.log_id()) or ""
        if state.log_id and log_id and state.log_id != log_id:
            raise InstanceUnusable(
                f"destination {instance.name!r}: its cursor belongs to log {state.log_id}, the store to {log_id}; "
                "restore the backup that fits, or remove the destination and add it again"
            )
        return msgspec.structs.replace(state, log_id=log_id)

    async def _new_live(self, instance: DestinationInstance) -> ConsumerState:
        start: Vector
        if instance.start == "beginning":
            start = {}
        else:
            # "now" is when the instance was made, not when we first noticed it: what came between is its as well.
            moment = instance.created_at if instance.start == "now" else parse_instant(instance.start)
            start = await self.feed.call(vector_at, moment or self.now_ms())
        now_ms = self.now_ms()
        state = ConsumerState(
            id=instance.id,
            destination=instance.id,
            kind=ConsumerKind.LIVE,
            log_id=await self.feed.call(lambda reader: reader.log_id()) or "",
            offsets=start,
            start=start,
            created_at=now_ms,
            updated_at=now_ms,
        )
        await self.in_store(self.deps.deliveries.add_consumer, state)
        return state

    async def _replay(self, shared: Shared, state: ConsumerState) -> Served:
        deps, replay = self.deps, state.replay or Replay()
        tracing = Tracing(deps.messages, deps.deliveries, deps.workspace, deps.registry)
        selection = Selection(replay, Past(state, tracing), self.in_store)
        consumer = await self._consumer(shared, state, accepts=selection.refusal)
        rate = replay.rate_per_s
        bucket = Bucket(Rate(1, 1 / rate)) if rate > 0 else None
        return Served(consumer, Seat(state.offsets), dict(state.end), bucket, selection)

    async def _consumer(
        self, shared: Shared, state: ConsumerState, accepts: Callable[[Item], str] | None = None
    ) -> Consumer:
        rows: list[Row] = []
        after = 0
        while page := await self.in_store(
            self.deps.deliveries.rows, state.id, (RowState.PARKED, RowState.WAITING), _ROWS_PAGE, after
        ):
            rows += [row for _, row in page]
            after = page[-1][0]
        ledger = Ledger(state.id, state.log_id, state.offsets, state.rest)
        if accepts is not None:
            return Consumer(ledger, shared, rows, self.now_ms(), accepts=accepts)
        if shared.compiled.options.no_needless_calls:
            hashes = partial(self.in_store, self.deps.deliveries.hashes, state.id)
            shared.needless = Needless(shared.compiled, hashes, ledger)
        return Consumer(ledger, shared, rows, self.now_ms())

    async def start_replay(self, state: ConsumerState) -> None:
        """Begins a replay, kept in the store first."""
        if await self.in_store(self.deps.deliveries.consumer, state.id) is None:
            await self.in_store(self.deps.deliveries.add_consumer, state)
        outlet = self.outlets.get(state.destination)
        if outlet and all(served.consumer.id != state.id for served in outlet.served):
            outlet.add(await self._replay(outlet.shared, state))

    async def reopen_replay(self, state: ConsumerState) -> None:
        """Serves an ended replay again, for dead letters of it that are to be sent once more."""
        await self.in_store(self.deps.deliveries.set_state, state.id, "running", "resending", self.now_ms())
        await self.start_replay(state)

    async def end_replays(self) -> None:
        """Closes the replays that have read and sent everything."""
        for outlet in list(self.outlets.values()):
            for served in [each for each in outlet.served if each.end is not None and each.is_done()]:
                await self.end_replay(outlet, served, "done", "")

    async def end_replay(self, outlet: Outlet, served: Served, state: str, why: str) -> None:
        """Ends a replay: done, or cancelled."""
        await self.commit()
        await outlet.remove(served)
        await self.in_store(self.deps.deliveries.set_state, served.consumer.id, state, why, self.now_ms())

    # --- moving ---------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        wait_s = POLL_FIRST_S
        while not self._closing:
            try:
                found = await self.feed.fill() if any(outlet.is_open for outlet in self.outlets.values()) else 0
            except Exception as problem:  # noqa: BLE001 - the store may be away for a while; say so and go on
                logger().error("delivery.feed.failed", problem=str(problem))
                found, wait_s = 0, 1.0
            if found:
                wait_s = POLL_FIRST_S
                for outlet in self.outlets.values():
                    outlet.wake()
            await asyncio.sleep(0 if found else wait_s)
            wait_s = min(POLL_MAX_S, wait_s * 1.5) if wait_s < 1 else POLL_MAX_S

    async def _commit_on(self) -> None:
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), COMMIT_S)
            self._hurried.clear()
            await self.commit()

    async def commit(self) -> None:
        """Writes what every consumer did since the last time, as one transaction; tries until it succeeds.

        After the wish to stop it tries once, and what was not written is delivered again by the next process.
        """
        async with self._committing:
            if self._given_up:
                return
            now_ms = self.now_ms()
            consumers = [served.consumer for outlet in self.outlets.values() for served in outlet.served]
            commits = [commit for consumer in consumers if (commit := consumer.commit(now_ms))]
            if not commits:
                return
            try:
                await self.write(commits)
            except CommitGivenUp:
                return
            for consumer in consumers:
                consumer.committed()
        for outlet in self.outlets.values():
            outlet.make_room()

    async def write(self, commits: list[Commit]) -> None:
        """Writes these commits as one transaction; tries until it succeeds. Raises `CommitGivenUp`."""
        has_failed = False
        while not self._given_up:
            try:
                await self.in_store(self.deps.deliveries.commit, commits, self.now_ms())
                break
            except Exception as problem:  # noqa: BLE001 - a full or failing disk: nothing moves until it is over
                logger().error("delivery.commit.failed", problem=str(problem))
                has_failed = True
                # What these commits held has left its consumers: no later one may pass over it.
                self._given_up = self._stop.is_set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _COMMIT_RETRY_S)
        if self._given_up:
            raise CommitGivenUp
        if has_failed:
            logger().info("delivery.commit.succeeded")
        self.committed_at = self.now_ms()
        _count(commits)

    def served(self, consumer: str) -> Consumer | None:
        """The consumer of that id, if it is served now."""
        every = (served.consumer for outlet in self.outlets.values() for served in outlet.served)
        return next((each for each in every if each.id == consumer), None)

    def now_ms(self) -> int:
        """Now, by the clock handed in."""
        return self.deps.clock.now_ms()

    async def in_store(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """An answer of delivery store or workspace, asked in their thread."""
        return await asyncio.get_running_loop().run_in_executor(self.deps.store_executor, question, *arguments)


def _begins_anew(old: Compiled, new: Compiled) -> bool:
    """Whether what an outlet holds is of no use under another configuration. A pause holds nothing but the cursor."""
    is_paused_else = old.instance.paused_at != new.instance.paused_at
    return is_paused_else or old.options.no_needless_calls != new.options.no_needless_calls


def _count(commits: Iterable[Commit]) -> None:
    for commit in commits:
        for each in commit.ranges:
            for terms in each.counts.values():
                for term, number in terms.items():
                    if number > 0 and term in _ENDED:
                        count("tabard_deliveries", number, destination=commit.consumer, outcome=term)
