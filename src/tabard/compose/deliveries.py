"""The deliverer's books, dead letters and traces, for web and CLI."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from tabard.compose.destinations import registry_of
from tabard.compose.status import delivery_books
from tabard.compose.store import message_reader
from tabard.compose.trace import Tracer
from tabard.message.traits import iso_ms
from tabard.message.types import position_text
from tabard.storage.deliveries import ConsumerState, Row
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.delivery import SqliteDeliveryReader
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.keys import sealing_keys
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader

Json = dict[str, Any]


class DeliveryDesk:
    """Questions about deliveries (`web.deps.DeliveryReader`); opens what an answer needs and closes it again."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._registry = registry_of(installation).destinations

    def books(self) -> dict[str, Json]:
        """Consumer id → its terms and state."""
        return delivery_books(self._installation)

    def replays(self) -> list[ConsumerState]:
        """Every replay there was, oldest first."""
        with self._deliveries() as deliveries:
            return [each for each in deliveries.consumers() if each.replay is not None] if deliveries else []

    def dead_letters(self, consumer: str | None, limit: int, text: str = "") -> list[Json]:
        """Deliveries that ended without success, newest first; `text` is looked for in code, reason and message id."""
        with self._deliveries() as deliveries:
            return [_letter(row) for row in deliveries.dead_letters(consumer, limit, text=text)] if deliveries else []

    def trace(self, message_id: str) -> list[Json]:
        """What became of the message at each destination; see `Tracer.trace`."""
        keys = sealing_keys(self._installation, os.environ)
        with (
            self._deliveries() as deliveries,
            contextlib.closing(message_reader(self._installation)) as messages,
            contextlib.closing(SqliteWorkspaceReader(self._installation.workspace_db)) as workspace,
        ):
            if deliveries is None:
                return []
            tracer = Tracer(
                deliveries, workspace, self._registry, lambda instance: keys.open_settings(instance.settings)
            )
            return [entry for message in messages.find(message_id) for entry in tracer.trace(message)]

    @contextlib.contextmanager
    def _deliveries(self) -> Iterator[SqliteDeliveryReader | None]:
        try:
            reader = SqliteDeliveryReader(self._installation.delivery_db)
        except DatabaseMissing:
            yield None
            return
        with contextlib.closing(reader):
            yield reader


def _letter(row: Row) -> Json:
    return {
        "destination": row.consumer,
        "position": position_text(row.position),
        "source": row.source,
        "type": row.type,
        "messageId": row.message_id,
        "receivedAt": iso_ms(row.received_at),
        "since": iso_ms(row.since),
        "tries": row.attempts,
        "code": row.code,
        "reason": row.reason,
    }
