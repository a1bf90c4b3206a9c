"""One consumer: takes messages in log order, says what to send next, and turns answers into commits.

A state machine without I/O, clock or randomness of its own: moments (ms) and random numbers are handed in. `outlet`
drives it. The route of a message: `take` → lanes → `next_unit` → `answered` → `commit`.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from tabard.delivery.breaker import SUBJECTS_MAX, Why
from tabard.delivery.entry import Entry, Item, Phase, Unit, entry_of_item, entry_of_row
from tabard.delivery.lanes import Lanes
from tabard.delivery.ledger import Ledger
from tabard.delivery.outcome import Outcome, Verdict
from tabard.delivery.ready import Ready
from tabard.delivery.retry import wait_s
from tabard.delivery.route import Filter, refusal
from tabard.delivery.shared import Shared
from tabard.destinations.kit.plan import Invalid, Planned
from tabard.message.types import offset_of, partition_of
from tabard.storage.deliveries import Attempt, Commit, Row, RowState, Term

STUCK_MS = 1_000
"""How long an entry may hold up the cursor while the destination takes others; then it becomes a row."""
QUIET_STUCK_MS = 60_000
"""The same where the destination has taken nothing else meanwhile."""


class Consumer:
    """The state machine of one consumer. `accepts`, of a replay only, narrows it down; a reason says why not."""

    def __init__(
        self,
        ledger: Ledger,
        shared: Shared,
        rows: Sequence[Row],
        now_ms: int,
        *,
        accepts: Callable[[Item], str] | None = None,
    ) -> None:
        self.id = ledger.consumer
        self.shared = shared
        self._accepts = accepts
        self._ledger = ledger
        self._lanes: Lanes[Entry] = Lanes()
        self._ready = Ready()
        self._window: deque[Entry] = deque()
        self._rows: dict[int, Entry] = {}
        self._timers: list[tuple[int, int, Entry, bool]] = []
        self._numbers = count()
        self._to_load: list[Entry] = []
        self._changed: dict[int, Entry] = {}
        self._spared: dict[int, Entry] = {}
        self._ended = 0
        self._committing = 0
        self._restore(rows, now_ms)

    @property
    def vector(self) -> dict[int, int]:
        """The committed (or committing) cursor."""
        return self._ledger.vector

    # --- taking ---------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many more messages it wants. While the breaker is open a few, to probe with, when none is untried."""
        if self.shared.breaker.is_open:
            left = 2 * self.shared.limits.in_flight_max - len(self._window)
            return max(0, min(SUBJECTS_MAX, left)) if self._ready.is_empty() else 0
        if len(self._rows) >= self.shared.limits.rows_max:
            return 0
        return max(0, self.shared.limits.in_flight_max - len(self._window) - self._committing)

    def take(self, items: Iterable[Item], now_ms: int) -> None:
        """Takes messages in their order: routes each, and lets those go that have nobody before them."""
        compiled = self.shared.compiled
        for item in items:
            entry = entry_of_item(item, now_ms)
            self._window.append(entry)
            if item.dead:
                self._end(entry, item.term)
                continue
            left_out = self._accepts(item) if self._accepts else ""
            reason = left_out or refusal(compiled.route, entry.source, item.body)
            if not reason:
                entry.steps = compiled.steps(item.body, item.stored.trust, item.plans)
                reason = None if entry.steps else compiled.refusal(item.body, item.stored.trust)
            if reason:
                self._end(entry, Term.FILTERED, reason)
            else:
                self._line_up(entry, now_ms)

    def _line_up(self, entry: Entry, now_ms: int) -> None:
        if self._lanes.join(entry):
            self._go_on(entry, now_ms)
            return
        for first in self._lanes.first_before(entry):
            self._relieve(first, now_ms)

    def _relieve(self, first: Entry, now_ms: int) -> None:
        """Gives up the order behind a failing message when too many wait for it; not while all may fail alike."""
        if self.shared.breaker.is_open:
            return
        if first.phase is Phase.FAILING and self._lanes.waiting_behind(first) > self.shared.limits.waiting_max:
            self._give_up_order(first, now_ms)

    def _go_on(self, entry: Entry, now_ms: int) -> None:
        """Takes an entry to its next step, past those that need no sending, or to its end."""
        if entry.item is None:
            entry.phase = Phase.LOADING
            self._to_load.append(entry)
            return
        while entry.step < len(entry.steps):
            subscription_id, planned = entry.steps[entry.step]
            if isinstance(planned, Invalid):
                self._note_dead(entry, "payload_invalid", f"{planned.subscription.name}: {planned.reason}")
            elif self._is_needless(entry, subscription_id, planned):
                entry.code = Filter.UNCHANGED
            else:
                self._ready.add(entry, self.shared.compiled, now_ms)
                return
            entry.step += 1
        self._settle(entry, now_ms)

    # --- sending --------------------------------------------------------------------------------------------------

    def next_unit(self, now_ms: int) -> Unit | None:
        """What to send now, None where nothing is due or allowed. The caller sends it and calls `answered`."""
        self._fire_timers(now_ms)
        shared = self.shared
        if not shared.breaker.may_send(now_ms) or not shared.pace.has_room() or shared.pace.wait_s(now_ms / 1000) > 0:
            return None
        probe = shared.breaker.is_open
        unit = self._ready.next(now_ms, shared.compiled.options.batch_wait_s * 1000, probe=probe)
        if unit is None and probe and self._ready.is_empty() and self._hurry_one(now_ms):
            unit = self._ready.next(now_ms, 0, probe=True)
        if unit is not None:
            unit.number = next(self._numbers)
            shared.breaker.sending()
            shared.pace.began()
        return unit

    def wake_at(self, now_ms: int) -> float | None:
        """The moment (ms) at which `next_unit` may have something without any other event, None for never."""
        shared = self.shared
        if shared.breaker.is_open:
            probe_at = max(shared.breaker.probe_at, now_ms + shared.pace.wait_s(now_ms / 1000) * 1000)
            # A probe that is due already waits for something to be sent, or for an answer: that is an event.
            return probe_at if probe_at > now_ms and not shared.breaker.probing else None
        moments = [float(self._timers[0][0])] if self._timers else []
        if shared.pace.has_room() and not self._ready.is_empty():
            held_ms = shared.pace.wait_s(now_ms / 1000) * 1000
            waits = self._ready.due_at(shared.compiled.options.batch_wait_s * 1000)
            if held_ms > 0 or waits is not None:
                moments.append(max(now_ms + held_ms, waits or 0.0))
        return min(moments, default=None)

    @property
    def wants_load(self) -> bool:
        """Whether `to_load` has something."""
        return bool(self._to_load)

    def is_idle(self) -> bool:
        """Whether nothing is queued to be sent."""
        return self._ready.is_empty()

    def is_pressed(self) -> bool:
        """Whether a commit would make much room."""
        return self._ended * 4 >= self.shared.limits.in_flight_max

    def to_load(self) -> list[int]:
        """Positions whose messages are needed now; the caller reads them and calls `loaded`."""
        positions = [entry.position for entry in self._to_load]
        self._to_load.clear()
        return positions

    def loaded(self, items: Mapping[int, Item], positions: Iterable[int], now_ms: int) -> None:
        """Messages of rows, read again; one that is not in `items` is no longer kept and expires."""
        for position in positions:
            entry, item = self._rows[position], items.get(position)
            if item is None or item.dead:
                self._end(entry, item.term if item else Term.EXPIRED)
                self._free(entry, now_ms)
                continue
            entry.item = item
            self._try_again(entry, now_ms)

    def erased(self, unit: Unit, now_ms: int) -> None:
        """Takes out of a unit what was deleted or suppressed meanwhile, or is no longer kept (`Item.dead`)."""
        kept = [index for index, entry in enumerate(unit.entries) if entry.item and not entry.item.dead]
        for index, entry in enumerate(unit.entries):
            if index not in kept:
                self._end(entry, entry.item.term if entry.item else Term.ERASED)
                self._free(entry, now_ms)
        unit.planned = [unit.planned[index] for index in kept]
        unit.entries = [unit.entries[index] for index in kept]

    def answered(self, unit: Unit, outcomes: Sequence[Outcome], now_ms: int, took_s: float) -> None:
        """The ends of a unit's items, in their order. An empty unit was erased before it was sent."""
        overloaded = any(outcome.overloaded for outcome in outcomes)
        good = any(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)
        self.shared.pace.ended(now_ms / 1000, took_s, overloaded=overloaded, good=good)
        if not unit.entries:
            self.shared.breaker.probing = False
        self._ready.came_back(unit)
        if good:
            self._recovered(now_ms)
        for entry, outcome in zip(unit.entries, outcomes, strict=True):
            entry.answered_at = now_ms
            if outcome.verdict is not Verdict.DELIVERED:
                self._blame(unit, entry, outcome, now_ms)
            self._after(entry, outcome, now_ms)

    def stood_before_start(self, numbers: Mapping[str, int]) -> None:
        """By source, what was stored before the cursor's first place: said once in a consumer's life."""
        for source, number in numbers.items():
            self._ledger.stood_before_start(source, number)

    def note(self, attempts: Iterable[Attempt]) -> None:
        """Keeps records of attempts with the next commit."""
        self._ledger.attempts.extend(attempts)

    # --- after an answer ------------------------------------------------------------------------------------------

    def _blame(self, unit: Unit, entry: Entry, outcome: Outcome, now_ms: int) -> None:
        """Tells breaker and pace what an item that was not taken says about the destination."""
        breaker = self.shared.breaker
        breaker.code = outcome.code
        if outcome.verdict is Verdict.CREDENTIALS:
            breaker.failed(entry.subject, unit.number, outcome.reason, now_ms)
            breaker.open(Why.CREDENTIALS, outcome.reason, now_ms)
        elif outcome.verdict is Verdict.RETRY and outcome.retry_after_s is not None:
            self.shared.pace.hold(now_ms / 1000 + outcome.retry_after_s)
            breaker.probing = False
        elif outcome.verdict in (Verdict.RETRY, Verdict.DEAD) and not outcome.blames_item:
            refused, is_new = outcome.verdict is Verdict.DEAD, not 0 < entry.since <= breaker.good_at
            breaker.failed(entry.subject, unit.number, outcome.reason, now_ms, refused=refused, is_new=is_new)

    def _after(self, entry: Entry, outcome: Outcome, now_ms: int) -> None:
        # While the breaker is open nobody may know whose fault a refusal is: then nothing dies of it.
        breaker = self.shared.breaker
        is_unsure = breaker.is_open and not breaker.is_well and not self._has_spared_enough(now_ms)
        spared = outcome.verdict is Verdict.DEAD and is_unsure and not outcome.blames_item
        if spared:
            self._spared[entry.position] = entry
        elif self._spared:
            self._spared.pop(entry.position, None)
        if spared or outcome.verdict in (Verdict.RETRY, Verdict.CREDENTIALS):
            self._fail(entry, outcome, now_ms)
        else:
            self._step_done(entry, outcome, now_ms)

    def _has_spared_enough(self, now_ms: int) -> bool:
        """Whether so many were refused for so long, without a test that fails, that the oldest must make way."""
        breaker, limits = self.shared.breaker, self.shared.limits
        has_waited = now_ms - breaker.opened_at >= limits.patience_ms
        return has_waited and not breaker.fails_test and len(self._window) >= 2 * limits.in_flight_max

    def _step_done(self, entry: Entry, outcome: Outcome, now_ms: int) -> None:
        subscription_id, planned = entry.steps[entry.step]
        if outcome.verdict is Verdict.DELIVERED:
            entry.done += (subscription_id,)
            self._learn(entry, subscription_id, planned)
        elif outcome.verdict is Verdict.FILTERED:
            self.shared.breaker.probing = False
            entry.code, entry.reason = outcome.code, outcome.reason
        else:
            self.shared.breaker.probing = False
            entry.attempts += 1
            entry.since = entry.since or now_ms
            self._note_dead(entry, outcome.code, outcome.reason)
        entry.step += 1
        self._go_on(entry, now_ms)

    def _is_needless(self, entry: Entry, subscription_id: str, planned: Planned) -> bool:
        needless = self.shared.needless
        return needless is not None and self._accepts is None and needless.is_unchanged(entry, subscription_id, planned)

    def _learn(self, entry: Entry, subscription_id: str, planned: Planned | Invalid) -> None:
        needless = self.shared.needless
        if needless is None or isinstance(planned, Invalid):
            return
        if self._accepts is None:
            needless.delivered(entry, subscription_id, planned)
        else:
            needless.forget(entry)

    def _recovered(self, now_ms: int) -> None:
        opened_at = self.shared.breaker.opened_at
        if self.shared.breaker.succeeded(now_ms):
            self.resumed(opened_at, now_ms)

    def reconfigured(self, now_ms: int) -> None:
        """The configuration has changed: what is queued is planned by the new one."""
        for entry in self._ready.drain():
            self._try_again(entry, now_ms)

    def resumed(self, opened_at: int, now_ms: int) -> None:
        """The breaker, open since then, has closed: that time does not count, and what failed is tried at once."""
        self._spared.clear()
        for entry in (*self._window, *self._rows.values()):
            if entry.since and entry.phase is not Phase.FINISHED:
                entry.since = min(now_ms, entry.since + now_ms - opened_at)
                if entry.has_row:
                    self._changed[entry.position] = entry
        for entry in self._window:
            if entry.phase is Phase.FAILING:
                self._try_again(entry, now_ms)

    def acquitted(self, now_ms: int) -> None:
        """The destination's test passes: what it refused while the breaker was open dies of it."""
        spared, self._spared = self._spared, {}
        for entry in spared.values():
            if entry.phase is Phase.FAILING:
                self._note_dead(entry, entry.code, entry.reason)
                entry.step += 1
                self._go_on(entry, now_ms)

    def _fail(self, entry: Entry, outcome: Outcome, now_ms: int) -> None:
        entry.attempts += 1
        first = not entry.since
        entry.since = entry.since or now_ms
        entry.code, entry.reason = outcome.code, outcome.reason
        given_up = now_ms - entry.since >= self.shared.limits.patience_ms
        if given_up and not self.shared.breaker.is_open:
            self._note_dead(entry, f"gave_up_{outcome.code}", f"gave up: {outcome.reason}")
            entry.step += 1
            self._go_on(entry, now_ms)
            return
        pause_s = wait_s(entry.attempts, self.shared.draw(), outcome.retry_after_s)
        entry.phase, entry.due = Phase.FAILING, now_ms + int(pause_s * 1000)
        if first:
            entry.stuck_at = now_ms
        self._wake(entry.due, entry)
        if first and not entry.late:
            self._wake(now_ms + self._order_patience_ms(), entry, for_order=True)
        if entry.has_row:
            self._changed[entry.position] = entry
        if not entry.late:
            self._relieve(entry, now_ms)

    def _order_patience_ms(self) -> int:
        own = self.shared.compiled.options.order_patience_s
        return self.shared.limits.order_patience_ms if own is None else int(own * 1000)

    def _note_dead(self, entry: Entry, code: str, reason: str) -> None:
        entry.is_dead = True
        entry.code, entry.reason = code, reason
        if self.shared.needless:
            self.shared.needless.forget(entry)

    def _settle(self, entry: Entry, now_ms: int) -> None:
        """Ends an entry all of whose steps are done: dead if any step is, delivered if any did, else filtered."""
        if entry.is_dead:
            self._end(entry, Term.DEAD, entry.code)
        elif entry.done:
            self._end(entry, Term.DELIVERED)
        else:
            self._end(entry, Term.FILTERED, entry.code or Filter.NO_TRIGGER)
        self._free(entry, now_ms)

    def _end(self, entry: Entry, term: Term, code: str = "") -> None:
        entry.phase, entry.term, entry.code = Phase.FINISHED, term, code
        entry.item, entry.steps = None, []
        self._ended += 1
        if term is Term.ERASED and (entry.has_row or entry.attempts):
            self._ledger.erase(entry.position)
        if entry.has_row:
            self._changed[entry.position] = entry

    def _free(self, entry: Entry, now_ms: int) -> None:
        if not entry.late:
            for follower in self._lanes.leave(entry):
                self._go_on(follower, now_ms)

    def _give_up_order(self, entry: Entry, now_ms: int) -> None:
        """The entry goes on alone, and those behind it pass."""
        self._free(entry, now_ms)
        entry.late = True
        if entry.has_row:
            self._changed[entry.position] = entry

    # --- time -----------------------------------------------------------------------------------------------------

    def _wake(self, at: int, entry: Entry, *, for_order: bool = False) -> None:
        heapq.heappush(self._timers, (at, next(self._numbers), entry, for_order))

    def _fire_timers(self, now_ms: int) -> None:
        if self.shared.breaker.is_open:
            return
        while self._timers and self._timers[0][0] <= now_ms:
            _, _, entry, for_order = heapq.heappop(self._timers)
            if for_order:
                held_until = entry.since + self._order_patience_ms()
                if held_until > now_ms:
                    self._wake(held_until, entry, for_order=True)
                elif entry.phase is not Phase.FINISHED and not entry.late and entry.ahead == 0:
                    self._give_up_order(entry, now_ms)
            elif entry.phase is Phase.FAILING and entry.due <= now_ms:
                self._try_again(entry, now_ms)

    def _try_again(self, entry: Entry, now_ms: int) -> None:
        if entry.item is not None:
            # Planned anew: the mapping may have been corrected.
            entry.step, entry.is_dead = 0, False
            item, compiled = entry.item, self.shared.compiled
            entry.steps = compiled.steps(item.body, item.stored.trust, item.plans, entry.done)
        self._go_on(entry, now_ms)

    def _hurry_one(self, now_ms: int) -> bool:
        """Readies the failing entry that is due first, as a probe; whether one could be."""
        failing = [entry for entry in (*self._window, *self._rows.values()) if entry.phase is Phase.FAILING]
        if failing:
            self._try_again(min(failing, key=lambda entry: entry.due), now_ms)
        return not self._ready.is_empty()

    # --- rows and commits -----------------------------------------------------------------------------------------

    def resend(self, row: Row, now_ms: int) -> bool:
        """Puts a dead delivery back, alone and at once; its order was given up when it died.

        Whether it did: not twice, the row may be read before it says that it is back.
        """
        if row.position in self._rows:
            return False
        entry = entry_of_row(row, now_ms)
        entry.late, entry.attempts, entry.since, entry.due = True, 0, 0, now_ms
        entry.phase = Phase.FAILING
        self._rows[row.position] = self._changed[row.position] = entry
        self._ledger.moved(entry, Term.DEAD, Term.PARKED)
        self._wake(now_ms, entry)
        return True

    def cured(self, row: Row, replay: str, now_ms: int) -> None:
        """A replay has delivered what is dead here: its dead letter is closed, unless it is being resent."""
        if row.position in self._rows or self._ledger.has_changed(row.position):
            return
        self._ledger.moved(entry_of_row(row, now_ms), Term.DEAD, Term.DELIVERED)
        self._ledger.drop(row.position)
        told = {"verdict": Verdict.DELIVERED, "reason": f"by replay {replay}"}
        self.note([Attempt(position=row.position, at=now_ms, took_ms=0, subscription="", **told)])

    def forget(self, position: int, row: Row | None, term: Term) -> None:
        """Forgets what is recorded of a message that was deleted or is no longer kept; a dead row ends as `term`."""
        self._ledger.forget(position, None if position in self._rows else row, term)

    def _restore(self, rows: Sequence[Row], now_ms: int) -> None:
        for row in rows:
            entry = entry_of_row(row, now_ms)
            self._rows[row.position] = entry
            alone = entry.late or self._lanes.join(entry)
            if row.state is RowState.PARKED:
                entry.phase = Phase.FAILING
                self._wake(entry.due, entry)
                if not entry.late and entry.since:
                    self._wake(entry.since + self._order_patience_ms(), entry, for_order=True)
            elif alone:
                self._go_on(entry, now_ms)

    def commit(self, now_ms: int) -> Commit | None:
        """What changed since the last call, None for nothing. Write it before the next, then say `committed`."""
        self._pass_entries(now_ms)
        for entry in self._changed.values():
            if entry.phase is not Phase.FINISHED:
                self._ledger.keep(entry.row(self.id))
                continue
            del self._rows[entry.position]
            self._ledger.moved(entry, Term.PARKED, entry.term)
            if entry.term is Term.DEAD:
                self._ledger.keep(entry.row(self.id))
            else:
                self._ledger.drop(entry.position)
        self._changed.clear()
        if self._accepts is None:
            self._ledger.rests(self.shared.rest())
        return self._ledger.close(self.shared.compiled.version, now_ms)

    def committed(self) -> None:
        """What `commit` gave is on disk: what it passed is not sent again after a crash, and there is room for more."""
        self._committing = 0

    def _pass_entries(self, now_ms: int) -> None:
        """Moves the cursor past what is finished, and past what holds it up, which becomes a row."""
        self._ended = 0
        window, before = self._window, len(self._window)
        while window:
            entry = window[0]
            finished = entry.phase is Phase.FINISHED
            if not finished and not self._is_stuck(entry, now_ms):
                break
            window.popleft()
            term = entry.term if finished else Term.PARKED
            self._ledger.passed(entry, partition_of(entry.position), offset_of(entry.position), term)
            if term is Term.DEAD:
                self._ledger.keep(entry.row(self.id))
            elif not finished:
                self._make_row(entry)
        self._committing += before - len(window)

    def _make_row(self, entry: Entry) -> None:
        entry.has_row = True
        self._rows[entry.position] = entry
        self._ledger.keep(entry.row(self.id))
        if entry.phase in (Phase.BLOCKED, Phase.FAILING):
            entry.item, entry.steps = None, []

    def _is_stuck(self, entry: Entry, now_ms: int) -> bool:
        """Whether an unfinished entry at the head should make way: not while the whole destination may be at fault.

        What stands behind others here stands behind rows, for everything before the head has passed.
        """
        if self.shared.breaker.is_open or self.shared.pace.held_until_s > now_ms / 1000:
            return False
        if entry.phase in (Phase.READY, Phase.BLOCKED):
            return entry.phase is Phase.BLOCKED
        others_pass = self.shared.breaker.good_at >= entry.stuck_at
        if entry.phase is Phase.FAILING and others_pass:
            return True
        return now_ms - entry.stuck_at >= (STUCK_MS if others_pass else QUIET_STUCK_MS)

    def lag_ms(self, now_ms: int) -> int:
        """The age of the message the cursor stands at, 0 where it has nothing before it."""
        unfinished = (entry for entry in self._window if entry.phase is not Phase.FINISHED)
        first = next(unfinished, None)
        return max(0, now_ms - first.received_at) if first else 0

    def holds(self) -> tuple[int, int]:
        """How many messages are between cursor and reader, and how many unfinished rows there are."""
        return len(self._window), len(self._rows)
