"""What the deliverer does beside delivering: orders, status, books, old rows."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tabard.delivery.books import Difference, before_start, check_books, check_range
from tabard.delivery.compiled import paused_text
from tabard.delivery.dead_letter import failed_erasures
from tabard.delivery.deliverer import Deliverer
from tabard.delivery.erasures import asked_again, following
from tabard.delivery.ledger import Ledger
from tabard.delivery.orders import CancelReplay, Order, Probe, Resend, StartReplay, pending
from tabard.delivery.outlet import Outlet, Served
from tabard.delivery.replay import checked, replay_state
from tabard.storage.deliveries import ConsumerKind, Row, RowState, Term
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import count, gauge

KEPT_MS: Final = 30 * 86_400_000
"""How long ranges and the attempts of finished deliveries are kept."""
_LOOK_S: Final = 600.0
"""How often it is looked for what must be forgotten, whether or not somebody was deleted."""
_REST: Final = 20
"""Looking takes a twentieth of the time at most, however many are deleted."""
_REST_MIN_S: Final = 2.0
_PAGE: Final = 1_000
_WIPES_MAX: Final = 20
_WIPE_PAUSE_S: Final = 0.5
_RANGES_AT_ONCE: Final = 500
_RECOUNTED_AT_ONCE: Final = 50_000
"""Messages of kept ranges that one self-check counts in the store, so that it stays small beside delivery."""


async def apply_orders(deliverer: Deliverer) -> None:
    """Applies what other processes ordered, oldest first; an order that cannot be applied is answered with why."""
    for path, order in pending(deliverer.deps.orders_folder):
        if order is None:
            logger().error("delivery.order.unreadable", file=path.name)
            path.rename(path.with_suffix(".unreadable"))
            continue
        try:
            answer = await _apply(deliverer, order)
        except ValueError as refusal:
            answer = {"error": str(refusal)}
        await deliverer.in_store(deliverer.deps.deliveries.order_applied, order.id, answer, deliverer.now_ms())
        path.unlink()


async def _apply(deliverer: Deliverer, order: Order) -> dict[str, Any]:
    if isinstance(order, Resend):
        return {"resent": await _resend(deliverer, order)}
    if isinstance(order, StartReplay):
        if order.destination not in deliverer.outlets:
            raise ValueError(f"there is no destination {order.destination!r} that delivers")
        now_ms = deliverer.now_ms()
        replay = checked(order.replay, now_ms)
        state = await deliverer.feed.call(
            lambda reader: replay_state(order.id, order.destination, replay, reader, now_ms)
        )
        await deliverer.start_replay(state)
        return {"replay": order.id}
    if isinstance(order, CancelReplay):
        outlet, served = _served(deliverer, order.consumer)
        if served.end is None:
            raise ValueError("that is no replay; disable the destination instead")
        await deliverer.end_replay(outlet, served, "cancelled", "by order")
        return {"cancelled": order.consumer}
    return _probe(deliverer, order)


def _probe(deliverer: Deliverer, order: Probe) -> dict[str, Any]:
    outlet = deliverer.outlets.get(order.destination)
    if outlet is None:
        raise ValueError(f"there is no destination {order.destination!r} that delivers")
    if outlet.paused_at:
        raise ValueError(f"it is {paused_text(outlet.paused_at)}; resume it first")
    outlet.try_now()
    return {"probed": order.destination}


def _served(deliverer: Deliverer, consumer: str) -> tuple[Outlet, Served]:
    for outlet in deliverer.outlets.values():
        for served in outlet.served:
            if served.consumer.id == consumer:
                return outlet, served
    raise ValueError(f"nothing is delivered for {consumer!r} now")


async def _resend(deliverer: Deliverer, order: Resend) -> int:
    state = await deliverer.in_store(deliverer.deps.deliveries.consumer, order.consumer)
    if state is not None and state.kind is ConsumerKind.REPLAY and state.state != "running":
        await deliverer.reopen_replay(state)
    outlet, served = _served(deliverer, order.consumer)
    rows = await deliverer.in_store(_dead_rows, deliverer, order)
    resent = [served.consumer.resend(row, deliverer.now_ms()) for row in rows]
    outlet.pump()
    await deliverer.commit()
    asked: int = await deliverer.in_store(_ask_again, deliverer, order)
    return sum(resent) + asked


def _ask_again(deliverer: Deliverer, order: Resend) -> int:
    """Failed erasures that the order names are asked for anew; how many."""
    failed = [
        each
        for each in failed_erasures(deliverer.deps.deliveries, order.own)
        if order.positions is None or each.position in order.positions
    ]
    deliverer.deps.deliveries.put_erasures([asked_again(each, deliverer.now_ms()) for each in failed])
    return len(failed)


def _dead_rows(deliverer: Deliverer, order: Resend) -> list[Row]:
    deliveries = deliverer.deps.deliveries
    if order.positions is not None:
        found = [deliveries.row(order.consumer, position) for position in dict.fromkeys(order.positions)]
        return [row for row in found if row is not None and row.state is RowState.DEAD]
    rows: list[Row] = []
    before = 0
    while page := deliveries.dead_letters(order.own.letters, _PAGE, before):
        rows += [row for _, row in page]
        before = page[-1][0]
    return rows[::-1]


class Bookkeeping:
    """The self-check: counters against rows and ranges each time, and ranges against the store, each range once."""

    def __init__(self, deliverer: Deliverer) -> None:
        self._deliverer = deliverer
        self._checked: dict[str, int] = {}
        self._counted: set[str] = set()
        self.differences: dict[str, str] = {}

    async def check(self) -> None:
        """Checks every consumer; a difference is logged, counted and kept in `differences` until it is gone."""
        deps = self._deliverer.deps
        for state in await self._deliverer.in_store(deps.deliveries.consumers):
            if state.state != "running":
                continue
            balance = await self._deliverer.in_store(deps.deliveries.balance, state.id)
            dead = sum(number for (_, term), number in balance.rows.items() if term == Term.DEAD)
            gauge("tabard_delivery_dead", dead, destination=state.id)
            self._tell(state.id, check_books(state.id, balance) or await self._check_ranges(state.id))

    async def count_before_start(self) -> None:
        """Counts once what was stored before a new destination began, in small reads beside delivery."""
        for outlet in list(self._deliverer.outlets.values()):
            live = outlet.served[0].consumer
            if live.id in self._counted:
                continue
            state = await self._deliverer.in_store(self._deliverer.deps.deliveries.consumer, live.id)
            books = await self._deliverer.in_store(self._deliverer.deps.deliveries.books, live.id)
            if state is not None and not any(Term.BEFORE_START in book.terms for book in books):
                pages = await self._deliverer.feed.call(lambda reader, state=state: before_start(state, reader))
                total: dict[str, int] = {}
                while page := await self._deliverer.feed.call(lambda _reader, pages=pages: next(pages, None)):
                    for source, number in page.items():
                        total[source] = total.get(source, 0) + number
                live.stood_before_start(total)
            self._counted.add(live.id)

    async def _check_ranges(self, consumer: str) -> Difference | None:
        deps = self._deliverer.deps
        page = await self._deliverer.in_store(
            deps.deliveries.ranges, consumer, _RANGES_AT_ONCE, self._checked.get(consumer, 0)
        )
        recounted = 0
        # The newest range may still grow.
        for seq, passed in page[:-1]:
            if recounted > _RECOUNTED_AT_ONCE:
                return None
            recounted += sum(terms.get(Term.TAKEN, 0) for terms in passed.counts.values())
            if passed.partition >= 0:
                difference = await self._deliverer.feed.call(
                    lambda reader, passed=passed: check_range(consumer, passed, reader)
                )
                if difference:
                    return difference  # type: ignore[no-any-return]
            self._checked[consumer] = seq
        return None

    def _tell(self, consumer: str, difference: Difference | None) -> None:
        if difference is None:
            self.differences.pop(consumer, None)
            return
        self.differences[consumer] = str(difference)
        count("tabard_books_unbalanced", destination=consumer)
        logger().error("delivery.books.unbalanced", difference=str(difference))


async def prune(deliverer: Deliverer) -> None:
    """Forgets ranges and attempts beyond their time."""
    before = deliverer.now_ms() - KEPT_MS
    while await deliverer.in_store(deliverer.deps.deliveries.prune, before):
        continue


async def erase(deliverer: Deliverer) -> None:
    """Forgets attempts and dead letters of people who were deleted, and of messages that are no longer kept.

    Also those of ended replays and removed destinations. They are gone from the bytes on disk too, unless readers stay
    in the way for seconds: then the next time.
    """
    for state in await deliverer.in_store(deliverer.deps.deliveries.consumers):
        consumer = deliverer.served(state.id)
        if consumer is not None:
            await _forget(deliverer, state.id, consumer.forget)
            continue
        ledger = Ledger(state.id, state.log_id, state.offsets)
        await _forget(deliverer, state.id, ledger.forget)
        commit = ledger.close(0, deliverer.now_ms())
        if commit is not None and deliverer.served(state.id) is None:
            await deliverer.write([commit])
    await deliverer.commit()
    for _ in range(_WIPES_MAX):
        if await deliverer.in_store(deliverer.deps.deliveries.wipe):
            return
        await asyncio.sleep(_WIPE_PAUSE_S)


class Forgetting:
    """Erases what is recorded of people soon after they were deleted; call `turn` every few seconds."""

    def __init__(self, deliverer: Deliverer) -> None:
        self._deliverer = deliverer
        self._cursor: dict[int, int] | None = None
        self._is_due = True
        self._rested_s = self._next_s = 0.0

    async def turn(self) -> None:
        """Looks for new deletions, and erases where there are any or it is time."""
        feed, clock = self._deliverer.feed, self._deliverer.deps.clock
        if self._cursor is None:
            self._cursor = await feed.call(lambda reader: reader.resolved())
        found = await feed.call(following, self._cursor)
        self._cursor, self._is_due = found.cursor, self._is_due or bool(found.deletions)
        began_s = clock.monotonic_s()
        if began_s < self._next_s and not (self._is_due and began_s >= self._rested_s):
            return
        self._is_due = False
        await erase(self._deliverer)
        ended_s = clock.monotonic_s()
        self._rested_s = ended_s + max(_REST_MIN_S, _REST * (ended_s - began_s))
        self._next_s = ended_s + _LOOK_S


async def _forget(deliverer: Deliverer, consumer: str, forget: Callable[..., None]) -> None:
    deliveries, after = deliverer.deps.deliveries, -1
    while positions := await deliverer.in_store(deliveries.recorded, consumer, _PAGE, after):
        after = positions[-1]
        items = await deliverer.feed.load(positions)
        for position in positions:
            item = items.get(position)
            if item is None or item.dead:
                row = await deliverer.in_store(deliveries.row, consumer, position)
                forget(position, row, item.term if item else Term.EXPIRED)


def status(deliverer: Deliverer, bookkeeping: Bookkeeping) -> dict[str, Any]:
    """The state of every destination as the deliverer sees it, for `run/deliverer.json`."""
    now_ms = deliverer.now_ms()
    destinations = {
        id_: {**_outlet_status(outlet, now_ms), "unbalanced": bookkeeping.differences.get(id_, "")}
        for id_, outlet in deliverer.outlets.items()
    }
    for id_, problem in deliverer.unusable.items():
        destinations[id_] = {"state": "unusable", "why": problem}
    return {
        "role": "deliverer",
        "at": now_ms,
        "committedAt": deliverer.committed_at,
        "destinations": destinations,
        "unbalanced": bookkeeping.differences,
    }


def _outlet_status(outlet: Outlet, now_ms: int) -> dict[str, Any]:
    breaker, pace = outlet.shared.breaker, outlet.shared.pace
    live = outlet.served[0].consumer
    window, rows = live.holds()
    state = "disabled" if not outlet.compiled.instance.enabled else "paused" if breaker.is_open else "running"
    why = f"{breaker.why}: {breaker.reason}" if breaker.why else ""
    return {
        "name": outlet.compiled.instance.name,
        "state": "paused" if outlet.paused_at else state,
        "why": paused_text(outlet.paused_at) if outlet.paused_at else why,
        "restsSince": breaker.opened_at if breaker.is_open else None,
        "probeAt": breaker.probe_at if breaker.is_open else None,
        "heldUntil": int(pace.held_until_s * 1000) if pace.held_until_s * 1000 > now_ms else None,
        "lagMs": outlet.lag_ms(now_ms),
        "inWindow": window,
        "unfinishedRows": rows,
        "underWay": pace.active,
        "atOnceMax": int(pace.limit),
        "replays": [served.consumer.id for served in outlet.served[1:]],
    }


def write_status(deliverer: Deliverer, bookkeeping: Bookkeeping) -> None:
    """Writes `run/deliverer.json`, whole or not at all, and sets the gauges."""
    told = status(deliverer, bookkeeping)
    for id_, each in told["destinations"].items():
        if "lagMs" in each:
            gauge("tabard_delivery_lag_seconds", each["lagMs"] / 1000, destination=id_)
            gauge("tabard_delivery_parked", each["unfinishedRows"], destination=id_)
        gauge("tabard_delivery_paused", 0 if each["state"] in ("running", "disabled") else 1, destination=id_)
    path = deliverer.deps.status_file
    partial = path.with_name(f".{path.name}")
    partial.write_bytes(msgspec.json.encode(told))
    partial.replace(path)
