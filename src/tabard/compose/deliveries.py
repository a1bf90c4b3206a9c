"""The deliverer's books, dead letters, replays and traces, for web and CLI."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from tabard.compose.destinations import registry_of
from tabard.compose.running import running_role
from tabard.compose.store import message_reader
from tabard.delivery.dead_letter import LetterSearch
from tabard.delivery.trace import Tracing
from tabard.delivery.views import DeliveryViews
from tabard.storage.sqlite.database import is_current, is_made
from tabard.storage.sqlite.delivery import SqliteDeliveryReader
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader

Json = dict[str, Any]
T = TypeVar("T")


class InstallationDeliveries:
    """Questions about deliveries (`web.deps.DeliveryReader`); opens what an answer needs and closes it again."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._registry = registry_of(installation).destinations

    def books(self) -> dict[str, Json]:
        """Destination id → its state, why, lag and books (`DeliveryViews.books`); {} before the first deliverer."""
        books: dict[str, Json] = self._ask(lambda views: views.books(), {})
        if running_role(self._installation, "deliverer") is None:
            return {id_: {**book, "state": "stopped"} for id_, book in books.items()}
        # It runs and has not said anything of this destination yet.
        starting = {"state": "starting"}
        return {id_: {**book, **(starting if book["state"] == "stopped" else {})} for id_, book in books.items()}

    def dead_letters(self, search: LetterSearch, limit: int, place: str = "") -> Json:
        """Deliveries that ended without success, newest first: `deadLetters`, and `next` to go on from.

        Raises `PlaceInvalid`.
        """
        nothing: Json = {"deadLetters": [], "next": None}
        return self._ask(lambda views: views.dead_letters(search, limit, place), nothing)

    def dead_letter(self, consumer: str, position: int) -> Json | None:
        """One delivery that has a row, with its attempts, requests and answers."""
        nothing: Json | None = None
        return self._ask(lambda views: views.dead_letter(consumer, position), nothing)

    def replays(self, limit: int, before: str = "", destination_id: str | None = None) -> Json:
        """`replays` with their progress and books, newest first; `next` to go on from (`DeliveryViews.replays`)."""
        nothing: Json = {"replays": [], "next": None}
        return self._ask(lambda views: views.replays(limit, before, destination_id), nothing)

    def replay(self, id_: str) -> Json | None:
        """One replay with its progress and books; None where there is none of that id."""
        nothing: Json | None = None
        return self._ask(lambda views: views.replay(id_), nothing)

    def trace(self, message_id: str) -> list[Json]:
        """What became of the message at each destination; see `delivery.trace`."""
        return self._ask(lambda views: views.trace(message_id), [])

    def _ask(self, question: Callable[[DeliveryViews], T], nothing: T) -> T:
        installation = self._installation
        if not (is_current(installation.delivery_db, "delivery") and is_made(installation.store_db)):
            return nothing
        with (
            contextlib.closing(SqliteDeliveryReader(installation.delivery_db)) as deliveries,
            contextlib.closing(message_reader(installation)) as messages,
            contextlib.closing(SqliteWorkspaceReader(installation.workspace_db)) as workspace,
        ):
            tracing = Tracing(messages, deliveries, workspace, self._registry)
            return question(DeliveryViews(tracing, installation.run / "deliverer.json"))
