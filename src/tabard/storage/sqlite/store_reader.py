"""Stored messages for deliverers, exports and the live view: `storage.interface.MessageReader` on a read-only file."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from tabard.identity.controls import Switch, controls_of, deleted_in, silencing
from tabard.identity.identifiers import NONE
from tabard.identity.rules import Rules
from tabard.identity.words import say
from tabard.message.types import CONTROL, Message, StoredMessage, Trust
from tabard.message.types import position as packed
from tabard.storage.interface import Deletion, Reason
from tabard.storage.sqlite.database import connect_reader
from tabard.storage.sqlite.store_entry import GROUP, TYPE_CODES, TYPES, MessageFlag, Role, Row, decode_links
from tabard.storage.sqlite.store_facts import switches_of
from tabard.storage.sqlite.store_keys import SQL, KeyTable, message_key
from tabard.storage.sqlite.store_messages import Sources, behind, message_name, one
from tabard.storage.sqlite.store_nodes import CONTROLLED

IN_FLIGHT_MS: Final = 100
"""A collector may still be writing what it received so long ago: an idle partition is resolved up to then."""

READ_BY: Final = "read_by"
"""The rules by which the stored messages were read, all of which a change must read anew."""

_SCAN_ROWS: Final = 20_000


class SqliteMessageReader:
    """See `storage.interface.MessageReader`. One thread at a time; no transaction outlives a call."""

    def __init__(self, path: Path) -> None:
        """Opens an existing store. Raises `DatabaseMissing`."""
        self._database = connect_reader(path, "store")
        self._sources = Sources(self._database)

    def is_made(self) -> bool:
        """Whether the resolver has laid out the file yet: until then nothing else may be asked."""
        return self._database.execute(SQL["is_made"]).get is not None

    def log_id(self) -> str | None:
        """The log the positions belong to; None before the first message."""
        held = self._database.execute(SQL["meta"], ("log_id",)).get
        return None if held is None else str(held)

    def resolved(self) -> dict[int, int]:
        """Partition → offset below which everything is resolved and committed."""
        return dict(self._database.execute(SQL["progress"]))

    def is_outdated(self, rules: Rules) -> bool:
        """Whether messages were read by other rules than these, so that a `rebuild` is due."""
        return is_outdated(self._database, rules)

    def watermark(self) -> int:
        """Every message received before this time (ms) is resolved in every partition; 0 before the first."""
        rows: list[Any] = self._database.execute(SQL["watermarks"]).fetchall()
        return min((watermark(*row) for row in rows), default=0)

    def read(self, partition: int, offset: int, limit: int) -> list[StoredMessage]:
        """At most `limit` messages of a partition at offsets ≥ `offset`, ascending, without duplicates and controls."""
        arguments = (packed(partition, offset), packed(partition + 1, 0), TYPE_CODES[CONTROL], limit)
        return self._messages(self._database.execute(SQL["read"], arguments))

    def newest(self, limit: int, *, source: str | None = None, call_type: str | None = None) -> list[StoredMessage]:
        """The newest messages, newest first. With a filter only so many of the newest are looked at."""
        found: list[StoredMessage] = []
        for partition in self.resolved():
            bounds = (packed(partition, 0), packed(partition + 1, 0), TYPE_CODES[CONTROL])
            if source is None and call_type is None:
                found += self._messages(self._database.execute(SQL["newest"], (*bounds, limit)))
            else:
                rows = self._database.execute(SQL["newest"], (*bounds, _SCAN_ROWS))
                found += self._matching(rows, limit, source, call_type)
        found.sort(key=lambda message: (message.received_at, message.position), reverse=True)
        return found[:limit]

    def find(self, message_id: str) -> list[StoredMessage]:
        """The messages with this messageId, one a source at most."""
        self._sources.reload()
        found = []
        for name in self._sources.names.values():
            row = row_named(self._database, self._sources, message_name(message_id, name))
            if row is not None and TYPES[row.type] != CONTROL:
                found.append(self.stored(row))
        return found

    def holds(self, source: str, message_id: str) -> bool:
        """Whether a message or a control of this name is stored, erased or not."""
        return row_named(self._database, self._sources, message_name(message_id, source)) is not None

    def is_dead(self, message: StoredMessage) -> bool:
        """Whether a delete or suppression covers the message's subject at its time: then it is never delivered.

        A call that is itself a control (User Deleted) is not: destinations must hear of it.
        """
        if self._database.execute(SQL["any_control"]).get is None:
            return False
        row = self._database.execute(SQL["message_head"], (message.position,)).fetchone()
        if row is None:
            return False
        return row_is_dead(self._database, Row(*row))

    def why_dead(self, message: StoredMessage) -> Reason | None:
        """Why the message is dead (`deleted` or `suppressed`), with the control behind it; None where it is not."""
        row = self._database.execute(SQL["message_head"], (message.position,)).fetchone()
        if row is None or (silenced := silenced_by(self._database, Row(*row))) is None:
            return None
        about, switch = silenced
        identifier = str(one(self._database, SQL["node_text"], about)[0])
        name = "deleted" if switch.kind == "delete" else "suppressed"
        control = row_named(self._database, self._sources, switch.m)
        sentence = say(f"message_{name}", identifier=identifier, at=switch.t)
        return Reason(identifier, "", name, sentence, control and behind(control, self._sources))

    def deletions(self, partition: int, offset: int, limit: int) -> list[Deletion]:
        """At most `limit` deletions of a partition at offsets ≥ `offset`, ascending; those of groups name nobody."""
        bounds = (packed(partition, offset), packed(partition + 1, 0), limit)
        found = []
        for position, received_at, identifiers, *row in self._database.execute(SQL["deletions"], bounds):
            message = self.stored(Row(*row))
            named = deleted_by(message) if identifiers is None else tuple(msgspec.json.decode(identifiers))
            found.append(Deletion(message, named, position, received_at))
        return found

    def stored(self, row: Row) -> StoredMessage:
        """A row as the message it holds."""
        return StoredMessage(
            row.position,
            self._sources.name(row.source),
            TYPES[row.type],
            row.message_id,
            row.received_at,
            row.timestamp,
            row.body,
            row.trust,
        )

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _messages(self, rows: Iterable[Any]) -> list[StoredMessage]:
        return [self.stored(Row(*row)) for row in rows]

    def _matching(
        self, rows: Iterable[Any], limit: int, source: str | None, call_type: str | None
    ) -> list[StoredMessage]:
        found = []
        for values in rows:
            row = Row(*values)
            fits = call_type is None or TYPES[row.type] == call_type
            if fits and (source is None or self._sources.name(row.source) == source):
                found.append(self.stored(row))
                if len(found) == limit:
                    break
        return found


def message_in(stored: StoredMessage) -> Message | None:
    """The message that is stored, decoded; None where its body is no longer kept."""
    if not stored.body:
        return None
    body = msgspec.json.decode(stored.body)
    return Message(
        stored.source,
        stored.type,
        stored.message_id,
        Trust(stored.trust),
        stored.received_at,
        stored.timestamp,
        body,
        user_id=body.get("userId"),
        anonymous_id=body.get("anonymousId"),
        previous_id=body.get("previousId"),
        group_id=body.get("groupId"),
    )


def deleted_by(stored: StoredMessage) -> tuple[str, ...]:
    """The people a stored control deletes, as text; () where its body is no longer kept."""
    message = message_in(stored)
    if message is None:
        return ()
    return deleted_in(controls_of(message, NONE))


def watermark(received_at: int, polled_at: int) -> int:
    """Up to when a partition is resolved: its last message, or, found empty, shortly before it was looked at."""
    return max(received_at, polled_at - IN_FLIGHT_MS) if polled_at else received_at


def read_by(rules: Rules) -> str:
    """What of the rules a message is read by, as kept in the store."""
    blocked = blake2b("\n".join(sorted(rules.blocked)).encode(), digest_size=16).hexdigest()
    return f"{rules.max_traits},{blocked}"


def is_outdated(database: apsw.Connection, rules: Rules) -> bool:
    """Whether messages were read by other blocked values, or another limit of traits, than these: then what is stored
    follows these only after a `rebuild`. Not so before the first resolver.
    """
    held = database.execute(SQL["meta"], (READ_BY,)).get
    return held is not None and held != read_by(rules)


def row_named(database: apsw.Connection, sources: Sources, m: str) -> Row | None:
    """The stored row of a message, by `message_name`."""
    for position in KeyTable(database, "message").probe(message_key(m)):
        row = Row(*one(database, SQL["message"], position))
        if message_name(row.message_id, sources.name(row.source)) == m:
            return row
    return None


def row_is_dead(database: apsw.Connection, row: Row) -> bool:
    """Whether a row's fact is dead; a row that is itself a control is not."""
    return silenced_by(database, row) is not None


def silenced_by(database: apsw.Connection, row: Row) -> tuple[int, Switch] | None:
    """Whom a dead row is about, and the control by which it is dead; None where it is not."""
    if row.flags & MessageFlag.CONTROL:
        return None
    links = decode_links(row.links)
    mentioned = [(links[at], links[at + 1]) for at in range(2, len(links), 3)]
    about = next((node for role, node in mentioned if role & Role.SUBJECT), None)
    if about is None and TYPES[row.type] == GROUP:
        about = next((node for role, node in mentioned if role & Role.GROUP), None)
    if about is None or not one(database, SQL["node_flags"], about)[0] & CONTROLLED:
        return None
    switch = silencing(switches_of(database, about), row.timestamp)
    return None if switch is None else (about, switch)
