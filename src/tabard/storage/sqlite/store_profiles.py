"""Profiles, timelines and changes for the web and the CLI: `storage.interface.ProfileReader` on a read-only file."""

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard.identity.identifiers import Kind, parsed
from tabard.identity.rules import Rules
from tabard.message.types import StoredMessage
from tabard.profiles.profile import fold, groups_of, shown, traits_of
from tabard.profiles.registers import Registers
from tabard.storage.interface import Behind, Profile, ProfileChange
from tabard.storage.sqlite.database import connect_reader
from tabard.storage.sqlite.store_entry import NO_LINK, TYPES, MessageFlag, Role, Row, decode_links
from tabard.storage.sqlite.store_graph import Graph
from tabard.storage.sqlite.store_keys import SQL, Keys, ids
from tabard.storage.sqlite.store_messages import Sources, behind, late, one
from tabard.storage.sqlite.store_nodes import ERASED, Node, Nodes
from tabard.storage.sqlite.store_projector import NOBODY, decode_members

PREFIXES: Final = ("user", "email", "anon")


class SqliteProfileReader:
    """See `storage.interface.ProfileReader`. One thread at a time; no transaction outlives a call.

    Traits, memberships and counts are folded when asked for and always current; which identifiers make up a profile is
    what the projector last published, at most about a second ago.
    """

    def __init__(self, path: Path, secret: bytes, rules: Rules) -> None:
        """Opens an existing store with the installation's profile-id secret. Raises `DatabaseMissing`."""
        self.database = connect_reader(path, "store")
        self.rules = rules
        self.secret = secret
        self.keys = Keys(secret)
        self.sources = Sources(self.database)

    def profile(self, identifier: str) -> Profile | None:
        """The profile an identifier belongs to; None where nothing live mentions it. Raises ValueError for no
        identifier.
        """
        node = self.node(identifier)
        return None if node is None else self._of(node)

    def profile_by_id(self, profile_id: str) -> Profile | None:
        """The profile with this id (32 hex digits)."""
        try:
            key = bytes.fromhex(profile_id)
        except ValueError:
            return None
        node = self.nodes().hashed_as(key)
        return self._of(node) if node is not None and node.profile == node.id else None

    def search(self, text: str, limit: int, after: str = "") -> list[Profile]:
        """Profiles with an identifier that equals, or an e-mail that begins with, `text`; in the order of their ids.

        `after`: the profile id to go on behind. E-mails are looked at up to 300.
        """
        found: dict[str, Profile] = {}
        typed = text.strip()
        exact = [typed] if typed.partition(":")[0] in PREFIXES else [f"{prefix}:{typed}" for prefix in PREFIXES]
        candidates = [node for one in exact if (node := self.node(one)) is not None]
        candidates += self._addresses(typed.removeprefix("email:").lower())
        for node in candidates:
            profile = self._of(node)
            if profile is not None:
                found[profile.profile_id] = profile
        return [found[key] for key in sorted(found) if key > after][:limit]

    def timeline(self, identifier: str, limit: int, before: int | None = None) -> list[StoredMessage]:
        """Messages of the identifier's whole profile, the latest resolved first, below the position `before`."""
        node = self.node(identifier)
        if node is None:
            return []
        bound = None if before is None else self._seq(before)
        return [self.stored(row) for row in self.latest(self.members(node), limit, bound)]

    def positions(self, identifier: str, limit: int, after: int | None = None) -> list[int]:
        """The positions of the profile's messages, oldest first, behind the position `after`; the latest `limit`."""
        node = self.node(identifier)
        if node is None:
            return []
        floor = -1 if after is None else self._seq(after)
        rows = self.latest(self.members(node), limit, query=SQL["message_head"])
        return [row.position for row in itertools.takewhile(lambda row: row.seq > floor, rows)][::-1]

    def changes(self, after_seq: int, limit: int) -> list[ProfileChange]:
        """Moves of identifiers between profiles, in order; of each identifier the newest only."""
        return [
            ProfileChange(
                seq=seq,
                identifier=text,
                key=self.keys.kept(text, is_erased=bool(flags & ERASED)).hex(),
                old_profile_id=old and old.hex(),
                new_profile_id=new and new.hex(),
                cause=cause,
            )
            for seq, text, flags, old, new, cause in self.database.execute(SQL["changes"], (after_seq, limit))
        ]

    def close(self) -> None:
        """Closes the file."""
        self.database.close()

    # -- what the answers are made of, also for `store_explain` and `store_history`

    def nodes(self) -> Nodes:
        """Identifiers of one answer; not to be kept, since another process writes."""
        return Nodes(self.database, self.keys)

    def node(self, identifier: str) -> Node | None:
        """The row of an identifier. Raises ValueError for a text that is none."""
        return self.nodes().find(parsed(identifier))

    def members(self, node: Node) -> list[Node]:
        """The identifiers of the profile an identifier is in; itself alone before it was published."""
        if node.profile == NOBODY:
            return [node]
        row = self.database.execute(SQL["profile_row"], (node.profile,)).fetchone()
        return self._rows(decode_members(row[0])) if row is not None else [node]

    def latest(
        self, members: list[Node], limit: int, bound: int | None = None, query: str = SQL["message"]
    ) -> Iterator[Row]:
        """At most `limit` messages whose subject is one of these, the latest resolved first; only those below a seq.

        `query`: `message`, or `message_head` for rows without body.
        """
        chains = (self._own(member, bound, query) for member in members)
        merged = heapq.merge(*chains, key=lambda row: row.seq, reverse=True)
        return itertools.islice(merged, limit)

    def behind(self, row: Row) -> Behind:
        """A row as the message behind a conclusion."""
        return behind(row, self.sources)

    def stored(self, row: Row) -> StoredMessage:
        """A row as the message it holds."""
        source = self.sources.name(row.source)
        return StoredMessage(
            row.position, source, TYPES[row.type], row.message_id, row.received_at, row.timestamp, row.body, row.trust
        )

    def registers(self, members: list[Node]) -> dict[int, Registers]:
        """Member → its registers."""
        rows = self.database.execute(SQL["registers"], (ids(member.id for member in members),))
        return {number: Registers.decoded(writes) for number, writes in rows}

    def _of(self, node: Node) -> Profile | None:
        if node.kind == Kind.GROUP:
            return None
        if node.profile != NOBODY:
            row = self.database.execute(SQL["profile_row"], (node.profile,)).fetchone()
            if row is not None:
                return self._folded(node.profile, decode_members(row[0]))
        return self._unpublished(node)

    def _unpublished(self, node: Node) -> Profile | None:
        """The profile of an identifier the projector has not come to yet."""
        graph = Graph(self.database, self.rules, self.nodes().by_id)
        if not graph.is_visible(node.id):
            return None
        root = graph.canonical(graph.root_of(node.id))
        row = self.database.execute(SQL["profile_row"], (root,)).fetchone()
        published = decode_members(row[0]) if row is not None else [root]
        return self._folded(root, list({*published, node.id}))

    def _folded(self, root: int, members: list[int]) -> Profile:
        nodes = self._rows(members)
        folded = fold(self.registers(nodes).values())
        canonical = next(node for node in nodes if node.id == root)
        live = [node for node in nodes if node.events]
        return Profile(
            profile_id=canonical.hashed(self.keys).hex(),
            canonical=canonical.text,
            identifiers=tuple(sorted(node.text for node in nodes)),
            traits=shown(traits_of(folded)),
            groups=tuple(groups_of(folded)),
            events=sum(node.events for node in nodes),
            first_seen=min((node.first_at for node in live), default=0),
            last_seen=max((node.last_at for node in live), default=0),
        )

    def _rows(self, numbers: list[int]) -> list[Node]:
        return [Node(row[1:], stored=True) for row in self.database.execute(SQL["nodes_by_id"], (ids(numbers),))]

    def _addresses(self, prefix: str) -> list[Node]:
        if not prefix:
            return []
        low = f"email:{prefix}"
        rows = self.database.execute(SQL["addresses"], (low, low + "\U0010ffff"))
        return self._rows([number for (number,) in rows])

    def _seq(self, before: int) -> int:
        row = self.database.execute(SQL["message_head"], (before,)).fetchone()
        return 0 if row is None else Row(*row).seq

    def _own(self, node: Node, bound: int | None, query: str) -> Iterator[Row]:
        """The messages of one subject, the latest resolved first, those at or after the bound skipped by anchors."""
        afterwards = sorted(late(self.database, node, query), key=lambda row: row.seq, reverse=True)
        both = heapq.merge(self._chain(node, bound, query), afterwards, key=lambda row: row.seq, reverse=True)
        return (row for row in both if is_subject(row, node.id) and (bound is None or row.seq < bound))

    def _chain(self, node: Node, bound: int | None, query: str) -> Iterator[Row]:
        position = node.own_newest
        if bound is not None:
            position = self._skip(position, bound)
        while position != NO_LINK:
            row = Row(*one(self.database, query, position))
            yield row
            position = decode_links(row.links)[0]

    def _skip(self, position: int, bound: int) -> int:
        """Where to begin a walk below a bound: anchors skip 64 messages at a time."""
        while position != NO_LINK:
            row = self._head(position)
            if row.seq < bound:
                return position
            previous, anchor = decode_links(row.links)[:2]
            position = anchor if anchor != NO_LINK and self._head(anchor).seq >= bound else previous
        return position

    def _head(self, position: int) -> Row:
        return Row(*one(self.database, SQL["message_head"], position))


def is_subject(row: Row, number: int) -> bool:
    """Whether a row's fact is about an identifier."""
    if row.flags & MessageFlag.CONTROL:
        return False
    links = decode_links(row.links)
    return any(links[at + 1] == number and links[at] & Role.SUBJECT for at in range(2, len(links), 3))
