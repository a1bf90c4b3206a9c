"""The projection: which identifiers make up each profile, kept up from marks, and an outbox of moves (§6.4, §7)."""

from collections.abc import Iterable
from typing import Final

import apsw
import msgspec

from tabard.identity.rules import Rules
from tabard.storage.sqlite.store_graph import Graph
from tabard.storage.sqlite.store_keys import SQL, ids
from tabard.storage.sqlite.store_nodes import Node, Nodes

NOBODY: Final = 0
"""The root of an identifier that is in no profile."""

encode_members: Final = msgspec.msgpack.Encoder().encode
decode_members: Final = msgspec.msgpack.Decoder(list[int]).decode

Move = tuple[Node, int, str]


class Projector:
    """Converges: it reads committed facts, and a mark is set in the transaction of the fact that calls for it."""

    def __init__(self, database: apsw.Connection, rules: Rules, nodes: Nodes) -> None:
        self._database = database
        self._nodes = nodes
        self._graph = Graph(database, rules, nodes.by_id)
        self._members: dict[int, list[int]] = {}

    def project(self, limit: int) -> int:
        """Takes at most `limit` marks, in the writer's transaction; how many were taken."""
        marks = dict(self._database.execute(SQL["marks"], (limit,)))
        if marks:
            self._graph.reset()
            self._members = {}
            self._nodes.load_ids(marks)
            self._publish(self._affected(marks))
            self._nodes.flush()
            self._database.executemany(SQL["unmark"], [(number,) for number in marks])
        return len(marks)

    def _affected(self, marks: dict[int, str]) -> dict[int, str]:
        """The marked, their classes and all of the profiles they were published under.

        That is everybody whose root may have changed: who was joined and is no longer was published with a marked one,
        and who is joined now is in its class.
        """
        affected = dict(marks)
        olds: set[int] = set()
        for number, cause in marks.items():
            for one in self._graph.class_of(number):
                affected.setdefault(one, cause)
                if self._nodes.by_id(one).profile != NOBODY:
                    olds.add(self._nodes.by_id(one).profile)
        self._load(olds)
        for root in olds:
            for member in self._members.get(root, ()):
                affected.setdefault(member, marks.get(root, "alias"))
        return affected

    def _publish(self, affected: dict[int, str]) -> None:
        self._nodes.load_ids(affected)
        moves = []
        pending = list(affected.items())
        done = set(affected)
        while pending:
            number, cause = pending.pop()
            node = self._nodes.by_id(number)
            root = self._root(node)
            if root != node.profile:
                moves.append((node, root, cause))
            owner = self._graph.owner_of(self._graph.class_of(number))
            if owner is not None and owner not in done and self._nodes.by_id(owner).profile == NOBODY:
                done.add(owner)
                pending.append((owner, cause))
        if moves:
            self._move(moves)

    def _root(self, node: Node) -> int:
        if not self._graph.is_visible(node.id):
            return NOBODY
        return self._graph.canonical(self._graph.root_of(node.id))

    def _move(self, moves: list[Move]) -> None:
        touched = {node.profile for node, _, _ in moves} | {root for _, root, _ in moves}
        touched.discard(NOBODY)
        self._load(touched)
        self._nodes.load_ids(touched)
        changes = []
        for node, root, cause in sorted(moves, key=lambda move: move[0].id):
            old, new = self._id(node.profile), self._id(root)
            if node.profile != NOBODY:
                self._members[node.profile].remove(node.id)
            if root != NOBODY:
                self._members.setdefault(root, []).append(node.id)
            node.profile = root
            self._nodes.touch(node)
            changes.append((node.id, old, new, cause))
        self._database.executemany(SQL["add_change"], changes)
        # Only now: a number must not be given twice, and the newest row holds the largest. Who comes from no profile is
        # nearly always new: an older row is not looked for.
        self._database.executemany(SQL["drop_older_changes"], [(number,) for number, old, _, _ in changes if old])
        self._write(touched)

    def _write(self, roots: Iterable[int]) -> None:
        rows, empty = [], []
        for root in sorted(roots):
            if self._members.get(root):
                rows.append((root, encode_members(sorted(self._members[root]))))
            else:
                empty.append((root,))
        self._database.executemany(SQL["drop_profile"], empty)
        self._database.executemany(SQL["set_profile"], rows)

    def _load(self, roots: Iterable[int]) -> None:
        missing = [root for root in roots if root not in self._members]
        for root, members in self._database.execute(SQL["profile_rows"], (ids(missing),)):
            self._members[root] = decode_members(members)

    def _id(self, root: int) -> bytes | None:
        return None if root == NOBODY else self._nodes.by_id(root).hashed(self._nodes.keys)
