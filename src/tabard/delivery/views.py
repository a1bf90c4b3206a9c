"""What web and command line show of deliveries, as JSON data, read from delivery.db and `run/deliverer.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tabard.delivery.books import books_of, pending
from tabard.delivery.compiled import paused_text
from tabard.delivery.dead_letter import LetterSearch, dead_letter, dead_letters
from tabard.delivery.replay import progress
from tabard.delivery.route import Filter
from tabard.delivery.trace import Tracing, trace
from tabard.message.traits import iso_ms
from tabard.storage.deliveries import ConsumerKind, ConsumerState, Replay, Term

Json = dict[str, Any]

_REMOVED: Final = "(removed)"
_ENDS: Final = f"{Term.FILTERED}:"


class DeliveryViews:
    """Deliveries as they are shown."""

    def __init__(self, tracing: Tracing, status_file: Path) -> None:
        self._tracing = tracing
        self._status_file = status_file

    def books(self) -> dict[str, Json]:
        """Destination id → its books by source and in sum, reasons, state, why and lag.

        `stored = before_start + taken + pending`, and `taken` is the sum of all other terms. `reasons`: why messages
        were filtered. `setbacks`: how often since it began a delivery was parked or died, by cause; what was resent or
        delivered later counts in it. `saved`: of the filtered, those that `no_needless_calls` left out. `erasures`: see
        `storage.deliveries`. `pendingIsMin`: pending, and so stored, may be more than is shown. `pausedAt`: since when
        an operator has it paused, None where it is not.
        """
        running = self.status().get("destinations", {})
        paused = {each.id: each.paused_at for each in self._tracing.workspace.destinations() if each.paused_at}
        return {
            state.destination: {
                **self._book(state),
                **running.get(state.destination, {"state": "stopped"}),
                **_pause(paused.get(state.destination, 0)),
            }
            for state in self._tracing.deliveries.consumers()
            if state.kind is ConsumerKind.LIVE
        }

    def status(self) -> Json:
        """What the deliverer last said of itself, {} before it ever ran."""
        try:
            told: Json = msgspec.json.decode(self._status_file.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        return told

    def dead_letters(self, search: LetterSearch, limit: int, place: str = "") -> Json:
        """`deadLetters`, newest first; before them, deletions that a destination did not carry out. `next`: the place
        to go on from, None at the end. Raises `PlaceInvalid`.

        `name`: of the destination. `replay`: the id of the replay whose dead letter it is, None where it is one of live
        traffic.
        """
        consumers, names = self._consumers(), self._names()
        found = dead_letters(self._tracing.deliveries, search, limit, place)
        letters = [_of_whom(letter, consumers, names) for letter in found.letters]
        return {"deadLetters": letters, "next": found.next or None}

    def _names(self) -> dict[str, str]:
        """The names of destinations, by id."""
        return {each.id: each.name for each in self._tracing.workspace.destinations()}

    def _consumers(self) -> dict[str, ConsumerState]:
        return {state.id: state for state in self._tracing.deliveries.consumers()}

    def dead_letter(self, consumer: str, position: int) -> Json | None:
        """One dead or parked delivery with its attempts, what was sent and what came back; None without a row."""
        found = dead_letter(self._tracing.deliveries, consumer, position)
        return None if found is None else _of_whom(found, self._consumers(), self._names())

    def trace(self, message_id: str) -> list[Json]:
        """What became of a message at each destination."""
        return trace(message_id, self._tracing)

    def replays(self, limit: int, before: str = "", destination_id: str | None = None) -> Json:
        """`replays`, newest first, of one destination or all, with their progress and books; those begun before the one
        of an id. `next`: the id to go on from, None at the end.
        """
        states = [each for each in reversed(self._replays()) if destination_id in (None, each.destination)]
        passed = next((place for place, each in enumerate(states, 1) if each.id == before), 0)
        names, page = self._names(), states[passed : passed + limit]
        more = passed + limit < len(states)
        return {"replays": [self._replay(each, names) for each in page], "next": page[-1].id if more else None}

    def replay(self, id_: str) -> Json | None:
        """One replay with its progress (0 to 1) and books; None where there is none of that id."""
        found = next((each for each in self._replays() if each.id == id_), None)
        return None if found is None else self._replay(found, self._names())

    def _replay(self, state: ConsumerState, names: Mapping[str, str]) -> Json:
        return {
            "id": state.id,
            "destination": state.destination,
            "name": names.get(state.destination, _REMOVED),
            "state": state.state,
            "why": state.why,
            "progress": round(progress(state), 4),
            "begun": iso_ms(state.created_at),
            **_asked(state.replay or Replay()),
            **self._book(state),
        }

    def _replays(self) -> list[ConsumerState]:
        every = self._tracing.deliveries.consumers()
        return [state for state in every if state.kind is ConsumerKind.REPLAY and state.replay]

    def _erasures(self, state: ConsumerState) -> Json:
        """How many deletions the destination was asked to carry out, of a destination that can or once could."""
        books = self._tracing.deliveries.erasure_books(state.destination)
        return {"erasures": books} if state.kind is ConsumerKind.LIVE and books["asked"] else {}

    def _book(self, state: ConsumerState) -> Json:
        by_source = books_of(state, self._tracing.deliveries)
        reasons = self._tracing.deliveries.reasons(state.id)
        is_min = False
        if state.kind is ConsumerKind.LIVE:
            waiting, is_min = pending(state, self._tracing.messages)
            for source, number in waiting.items():
                by_source.setdefault(source, {str(term): 0 for term in Term})["pending"] = number
        for terms in by_source.values():
            terms.setdefault("pending", 0)
            terms["stored"] = terms["before_start"] + terms["taken"] + terms["pending"]
        return {
            "bySource": by_source,
            "books": {
                name: sum(terms[name] for terms in by_source.values())
                for name in (*map(str, Term), "pending", "stored")
            },
            "pendingIsMin": is_min,
            "reasons": {reason: number for reason, number in reasons.items() if reason.startswith(_ENDS)},
            "setbacks": {reason: number for reason, number in reasons.items() if not reason.startswith(_ENDS)},
            "saved": reasons.get(f"{Term.FILTERED}:{Filter.UNCHANGED}", 0),
            **self._erasures(state),
        }


def _pause(paused_at: int) -> Json:
    if not paused_at:
        return {"pausedAt": None}
    return {"pausedAt": iso_ms(paused_at), "state": "paused", "why": paused_text(paused_at)}


def _of_whom(letter: Json, consumers: Mapping[str, ConsumerState], names: Mapping[str, str]) -> Json:
    """A dead letter with the destination and, where it is a replay's, that replay in place of the consumer."""
    consumer = letter["destination"]
    state = consumers.get(consumer)
    destination = state.destination if state else consumer
    is_replay = state is not None and state.kind is ConsumerKind.REPLAY
    return {
        **letter,
        "destination": destination,
        "name": names.get(destination, _REMOVED),
        "replay": consumer if is_replay else None,
    }


def _asked(replay: Replay) -> Json:
    """What a replay was asked to send: times in ISO 8601, None for the beginning, and for up to when it began."""
    return {
        "since": iso_ms(replay.since) if replay.since else None,
        "until": iso_ms(replay.until) if replay.until else None,
        "only": replay.only,
        "trigger": replay.trigger,
        "ratePerS": replay.rate_per_s,
    }
