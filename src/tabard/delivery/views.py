"""What web and command line show of deliveries, as JSON data, read from delivery.db and `run/deliverer.json`."""

from pathlib import Path
from typing import Any, Final

import msgspec

from tabard.delivery.books import books_of, pending
from tabard.delivery.compiled import paused_text
from tabard.delivery.dead_letter import dead_letter, dead_letters
from tabard.delivery.replay import progress
from tabard.delivery.route import Filter
from tabard.delivery.trace import Tracing, trace
from tabard.message.traits import iso_ms
from tabard.storage.deliveries import ConsumerKind, ConsumerState, Term

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

    def dead_letters(self, destination_id: str | None, limit: int, text: str = "") -> list[Json]:
        """Dead letters, newest first; before them, deletions that a destination did not carry out.

        `replay`: the id of the replay whose dead letter it is, None where it is one of live traffic.
        """
        names, replays = self._names(), {each.id for each in self._replays()}
        found = dead_letters(self._tracing.deliveries, destination_id, limit, text)
        return [
            {
                **letter,
                "name": names.get(letter["destination"], _REMOVED),
                "replay": letter["destination"] if letter["destination"] in replays else None,
            }
            for letter in found
        ]

    def _names(self) -> dict[str, str]:
        """Consumer → the name of its destination."""
        names = {each.id: each.name for each in self._tracing.workspace.destinations()}
        return {state.id: names.get(state.destination, _REMOVED) for state in self._tracing.deliveries.consumers()}

    def dead_letter(self, consumer: str, position: int) -> Json | None:
        """One dead or parked delivery with its attempts, what was sent and what came back; None without a row."""
        return dead_letter(self._tracing.deliveries, consumer, position)

    def trace(self, message_id: str) -> list[Json]:
        """What became of a message at each destination."""
        return trace(message_id, self._tracing)

    def replays(self) -> list[Json]:
        """Every replay, newest first, with its books and progress (0 to 1)."""
        names = self._names()
        return [
            {
                "id": state.id,
                "destination": state.destination,
                "name": names[state.id],
                "state": state.state,
                "why": state.why,
                "progress": round(progress(state), 4),
                "begun": iso_ms(state.created_at),
                "replay": msgspec.to_builtins(state.replay),
                "note": "a replay sends behind live traffic and may overtake it",
                **self._book(state),
            }
            for state in reversed(self._replays())
        ]

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
            "sources": by_source,
            "total": {
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
