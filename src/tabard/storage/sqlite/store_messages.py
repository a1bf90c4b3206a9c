"""The archive: message rows, the chains that run through them per identifier, and what makes a copy a copy (A1)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import apsw
import msgspec

from tabard.identity.rules import UNGROUP, asserted_by
from tabard.message.types import Message, Trust
from tabard.storage.interface import Behind
from tabard.storage.sqlite.store_entry import (
    NO_LINK,
    TYPES,
    UNCHAINED,
    Entry,
    MessageFlag,
    Role,
    Row,
    decode_links,
    encode_links,
)
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_nodes import ANCHOR_EVERY, LATE, Node, Nodes

_FILLED_IN: Final = frozenset({"sentAt", "receivedAt", "timestamp", "originalTimestamp", "version", "channel"})
_CONTEXT_FILLED_IN: Final = frozenset({"channel", "ip", "userAgent"})
_canonical: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder().decode


def message_name(message_id: str, source: str) -> str:
    """A message in comparisons: its id, then its source (which has no NUL)."""
    return f"{message_id}\0{source}"


def content(body: dict[str, Any], trust: int) -> bytes:
    """What two copies of a message must share to be retries of one call: the canonical JSON of what was sent, without
    the times and what the door fills in (version, channel, address, user agent); then the trust.
    """
    kept = {key: value for key, value in body.items() if key not in _FILLED_IN}
    context = kept.pop("context", None)
    if isinstance(context, dict):
        context = {key: value for key, value in context.items() if key not in _CONTEXT_FILLED_IN}
    if context:
        kept["context"] = context
    return _canonical(kept) + b"%d" % trust


class Sources:
    """Source ids as small integers."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database
        self._numbers: dict[str, int] = {}
        self.names: dict[int, str] = {}

    def reload(self) -> None:
        """Reads them again: another process may have added some."""
        self.names = {int(number): str(name) for number, name in self._database.execute(SQL["sources"])}
        self._numbers = {name: number for number, name in self.names.items()}

    def number(self, name: str) -> int:
        """The integer of a source, given at its first message."""
        known = self._numbers.get(name)
        if known is None:
            known = len(self._numbers) + 1
            self._database.execute(SQL["add_source"], (known, name))
            self._numbers[name] = known
            self.names[known] = name
        return known

    def name(self, number: int) -> str:
        """The source of an integer."""
        if number not in self.names:
            self.reload()
        return self.names[number]


_SEQ: Final = "seq"


class Archive:
    """Message rows: those of this commit in memory, the others on disk."""

    def __init__(self, database: apsw.Connection, nodes: Nodes, sources: Sources) -> None:
        self._database = database
        self._nodes = nodes
        self._sources = sources
        self._new: list[Row] = []
        self._seq = self._last_seq()

    def next_seq(self) -> int:
        """The number of the next message in the order of resolution, from 1."""
        self._seq += 1
        return self._seq

    def add(self, row: Row) -> None:
        """Appends a message with the next flush."""
        self._new.append(row)

    def chain(self, position: int, entry: Entry | None, roles: dict[Node, int]) -> bytes:
        """Links a new message into the chains of its identifiers; gives its `links`."""
        links = [NO_LINK, NO_LINK]
        subject = None if entry is None else entry.subject
        if subject is not None:
            links = [subject.own_newest, subject.own_anchor]
            subject.own_newest = position
            if subject.owned % ANCHOR_EVERY == 0:
                subject.own_anchor = position
            subject.owned += 1
        for node, role in roles.items():
            links += (role, node.id, node.newest)
            node.newest = position
            node.mentions += 1
            self._nodes.touch(node)
        return encode_links(links)

    def relink(self, row: Row, roles: dict[Node, int]) -> bytes:
        """The links of a row after a better copy took it over: chains stay, new mentions stand apart.

        So does a new subject: it is a late mention too, even of an identifier that was mentioned before.
        """
        links = decode_links(row.links)
        left = {node.id: role for node, role in roles.items()}
        for at in range(2, len(links), 3):
            role = left.pop(links[at + 1], 0)
            if role & ~links[at] & Role.SUBJECT:
                self._mention_late(links[at + 1], row.position)
            links[at] = role
        for number, role in left.items():
            self._mention_late(number, row.position)
            links += (role, number, UNCHAINED)
        return encode_links(links)

    def _mention_late(self, number: int, position: int) -> None:
        node = self._nodes.by_id(number)
        node.flags |= LATE
        self._nodes.touch(node)
        self._database.execute(SQL["add_late_mention"], (number, position))

    def people(self, row: Row) -> set[Node]:
        """Every identifier a row mentions now."""
        links = decode_links(row.links)
        return {self._nodes.by_id(links[at + 1]) for at in range(2, len(links), 3) if links[at]}

    def forget(self) -> None:
        """Drops what was not flushed."""
        self._new = []
        self._seq = self._last_seq()

    def _last_seq(self) -> int:
        return int(self._database.execute(SQL["meta"], (_SEQ,)).get or 0)

    def flush(self) -> None:
        """Writes the new rows in the order of their positions."""
        self._new.sort(key=lambda row: row.position)
        if self._new:
            self._database.executemany(SQL["add_message"], [row[:-1] for row in self._new])
            self._database.executemany(SQL["add_body"], [(row.position, row.body) for row in self._new])
            self._database.execute(SQL["set_meta"], (_SEQ, self._seq))
        self._new = []

    def row(self, position: int) -> Row | None:
        """A stored message."""
        row = self._database.execute(SQL["message"], (position,)).fetchone()
        return None if row is None else Row(*row)

    def name(self, row: Row) -> str:
        """The message of a row in comparisons."""
        return message_name(row.message_id, self._sources.name(row.source))

    def replace(self, row: Row, **columns: Any) -> None:
        """Writes type, flags, timestamp, links and body of a stored row."""
        new = row._replace(**columns)
        run = self._database.execute
        run(SQL["replace_message"], (new.position, new.type, new.flags, new.timestamp, new.links))
        if new.body:
            run(SQL["set_body"], (new.position, new.body))

    def drop_body(self, row: Row, why: MessageFlag) -> None:
        """Takes a body away and says why; the row stays, by which a late copy is recognised."""
        self._database.execute(SQL["drop_body"], (row.position,))
        self._database.execute(SQL["flag_message"], (row.position, int(why)))

    def erase(self, row: Row) -> None:
        """Takes a body away for good; of its content a keyed hash stays, by which a late copy is told from others."""
        if row.body:
            hashed = self._nodes.keys.content(content(decoded_body(row.body), row.trust))
            self._database.execute(SQL["keep_content"], (row.position, hashed))
        self.drop_body(row, MessageFlag.ERASED)

    def is_content(self, row: Row, what: bytes) -> bool:
        """Whether a message without a body had this content; said of every content where not even a hash is left."""
        kept = self._database.execute(SQL["erased_content"], (row.position,)).get
        return kept is None or kept == self._nodes.keys.content(what)

    def unerase(self, row: Row) -> None:
        """To be called when another copy took the place of a message: what an erasure kept of it goes."""
        if row.flags & MessageFlag.ERASED:
            self._database.execute(SQL["drop_content"], (row.position,))

    def mentioning(self, node: Node) -> Iterator[Row]:
        """Every stored message that mentions an identifier, the latest resolved first."""
        yield from walk(self._database, node, SQL["message"])

    def heads(self, node: Node) -> Iterator[Row]:
        """As `mentioning`, without the bodies."""
        yield from walk(self._database, node, SQL["message_head"])

    def entry(self, row: Row) -> Entry:
        """The fact of a stored row, read with its body or without. Where that is gone the traits are None."""
        entry = fact_of_row(row, self.name(row), self._nodes.by_id)
        if entry.type in ("identify", "group"):
            body = row.body or self._database.execute(SQL["body"], (row.position,)).get
            if body:
                entry.traits = asserted_by(entry.type, _decode(body), entry.subject.text if entry.subject else None)
        return entry

    def message(self, row: Row) -> Message | None:
        """The message a row was made of; None where its body is gone."""
        return message_of(row, self._sources.name(row.source))

    def preload(self, rows: Iterable[Row]) -> None:
        """Brings the identifiers of rows into memory, in one query."""
        self._nodes.load_ids(number for row in rows for number in decode_links(row.links)[3::3])


def decoded_body(body: bytes) -> dict[str, Any]:
    """The body of a message from its bytes in the archive."""
    decoded: dict[str, Any] = _decode(body)
    return decoded


def message_of(row: Row, source: str) -> Message | None:
    """The message a row was made of; None where its body is gone."""
    if not row.body:
        return None
    body = decoded_body(row.body)
    return Message(
        source=source,
        type=TYPES[row.type],
        message_id=row.message_id,
        trust=Trust(row.trust),
        received_at=row.received_at,
        timestamp=row.timestamp,
        body=body,
        user_id=body.get("userId") or None,
        anonymous_id=body.get("anonymousId") or None,
        previous_id=body.get("previousId") or None,
        group_id=body.get("groupId") or None,
    )


def behind(row: Row, sources: Sources) -> Behind:
    """A row as the message behind a conclusion."""
    return Behind(row.position, sources.name(row.source), TYPES[row.type], row.message_id, row.timestamp)


def fact_of_row(row: Row, m: str, node: Callable[[int], Node]) -> Entry:
    """The fact of a stored row without its traits. `m` is its name in comparisons, `node` gives an identifier."""
    kind = UNGROUP if row.flags & MessageFlag.UNGROUP else TYPES[row.type]
    entry = Entry(row.position, row.timestamp, m, kind)
    links = decode_links(row.links)
    for at in range(2, len(links), 3):
        if links[at]:
            _place(entry, links[at], node(links[at + 1]))
    entry.active = not row.flags & MessageFlag.INACTIVE
    entry.claims_email = bool(row.flags & MessageFlag.CLAIMS_EMAIL)
    entry.inside = kind != UNGROUP
    return entry


def walk(database: apsw.Connection, node: Node, statement: str) -> Iterator[Row]:
    """The rows that mention an identifier, the latest resolved first, then its late mentions; a row may come twice.

    `statement`: `message`, or `message_head` where bodies are not wanted.
    """
    position = node.newest
    while position != NO_LINK:
        row = Row(*one(database, statement, position))
        yield row
        links = decode_links(row.links)
        position = next(links[at + 2] for at in range(2, len(links), 3) if links[at + 1] == node.id)
    yield from late(database, node, statement)


def late(database: apsw.Connection, node: Node, statement: str) -> Iterator[Row]:
    """The rows that came to mention an identifier by a better copy."""
    if node.flags & LATE:
        for position in numbers(database, SQL["late_mentions"], (node.id,)):
            yield Row(*one(database, statement, position))


def numbers(database: apsw.Connection, statement: str, arguments: tuple[Any, ...]) -> list[int]:
    """The first column of all rows of a statement, read at once."""
    rows: list[Any] = database.execute(statement, arguments).fetchall()
    return [row[0] for row in rows]


def one(database: apsw.Connection, statement: str, key: int) -> tuple[Any, ...]:
    """The one row of a key that must exist. Raises LookupError for a store that is damaged."""
    row: tuple[Any, ...] | None = database.execute(statement, (key,)).fetchone()
    if row is None:
        raise LookupError(f"row {key} is missing from {database.filename}; run `tabard doctor`")
    return row


def _place(entry: Entry, role: int, node: Node) -> None:
    if role & Role.SUBJECT:
        entry.subject = node
    if role & Role.DEVICE:
        entry.device = node
    if role & Role.EMAIL:
        entry.email = node
    if role & Role.GROUP:
        entry.group = node
    if role & Role.PREVIOUS:
        entry.previous = [*entry.previous, node]
