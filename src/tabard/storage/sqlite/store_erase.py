"""Physical erasure of what a delete made dead (identity.md §6.6): bodies and texts go, keyed hashes stay.

It runs after the commit that made it due, in a transaction of its own. Dead facts contribute nothing, so it changes no
profile and no digest.
"""

import apsw

from tabard.identity.identifiers import Kind
from tabard.storage.sqlite.store_entry import Entry, MessageFlag
from tabard.storage.sqlite.store_facts import Facts
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_messages import Archive, numbers
from tabard.storage.sqlite.store_nodes import CONTROLLED, SEEN, Node, Nodes


class Eraser:
    """Sweeps the identifiers marked in `erasure`."""

    def __init__(self, database: apsw.Connection, nodes: Nodes, facts: Facts, archive: Archive) -> None:
        self._database = database
        self._nodes = nodes
        self._facts = facts
        self._archive = archive

    def bury(self, entry: Entry) -> None:
        """Lets the body of a message go that a delete made dead before it came."""
        about = entry.about
        if about is not None and self._facts.deleted(about, entry.t):
            self._database.execute(SQL["mark_erasure"], (about.id,))

    def erase(self, limit: int) -> int:
        """Erases the messages of at most `limit` marked identifiers, in the writer's transaction; how many."""
        marked = numbers(self._database, SQL["erasures"], (limit,))
        for number in marked:
            self._erase(self._nodes.by_id(number))
        self._nodes.flush()
        self._database.executemany(SQL["erased"], [(number,) for number in marked])
        return len(marked)

    def _erase(self, node: Node) -> None:
        fading = {node}
        for row in list(self._archive.mentioning(node)):
            entry = self._archive.entry(row)
            if entry.about is node and self._facts.deleted(node, entry.t):
                self._archive.erase(row)
                fading.update(entry.roles())
        for one in fading:
            if one.kind != Kind.GROUP and not one.flags & SEEN and not self._is_needed(one):
                self._nodes.erase(one)

    def _is_needed(self, node: Node) -> bool:
        """Whether the text must stay: a suppression or a cut names it, or a message does that may yet count again."""
        if node.flags & CONTROLLED and not any(switch.kind == "delete" for switch in self._facts.switches(node)):
            return True
        return any(
            row.body and not row.flags & MessageFlag.CONTROL and node in self._archive.people(row)
            for row in self._archive.mentioning(node)
        )
