"""The deliverer's books, dead letters, replays and traces, for web and CLI."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from tabard.compose.destinations import registry_of
from tabard.compose.store import message_reader
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
        """Destination id → its terms over all sources, its state, why, and its lag; {} before the first deliverer."""
        books: dict[str, Json] = self._ask(lambda views: views.books(), {})
        return {id_: _flat(book) for id_, book in books.items()}

    def dead_letters(self, destination_id: str | None, limit: int, text: str = "") -> list[Json]:
        """Deliveries that ended without success, newest first; `text` is looked for in code, reason and message id."""
        return self._ask(lambda views: views.dead_letters(destination_id, limit, text), [])

    def dead_letter(self, consumer: str, position: int) -> Json | None:
        """One delivery that has a row, with its attempts, requests and answers."""
        nothing: Json | None = None
        return self._ask(lambda views: views.dead_letter(consumer, position), nothing)

    def replays(self) -> list[Json]:
        """Every replay with its progress and books, newest first."""
        return self._ask(lambda views: views.replays(), [])

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


def _flat(book: Json) -> Json:
    shown = {name: value for name, value in book.items() if name not in ("sources", "total", "name")}
    return {**book["total"], **shown}
