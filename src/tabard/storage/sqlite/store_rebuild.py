"""Re-deriving identifiers from the archive, where an event can remove a conclusion (identity.md §6.3)."""

from collections.abc import Callable, Iterable

from tabard.identity.identifiers import Kind
from tabard.profiles.registers import Registers
from tabard.storage.sqlite.store_entry import GROUP, Entry, MessageFlag, Row
from tabard.storage.sqlite.store_facts import Facts
from tabard.storage.sqlite.store_messages import Archive
from tabard.storage.sqlite.store_nodes import CONTROLLED, SEEN, Node, Nodes


class Rebuilder:
    """Rebuilds identifiers on the rows of the writer. Everything must have been flushed before each call."""

    def __init__(self, nodes: Nodes, facts: Facts, archive: Archive) -> None:
        self._nodes = nodes
        self._facts = facts
        self._archive = archive
        self._wanted: set[Node] = set()
        self._registers_wanted: set[Node] = set()

    def want(self, nodes: Iterable[Node]) -> None:
        """Has identifiers derived anew by the next `settle`."""
        self._wanted.update(nodes)

    def want_registers(self, subject: Node) -> None:
        """Has a subject's counts and registers derived anew by the next `settle`."""
        self._registers_wanted.add(subject)

    def settle(self, flush: Callable[[], None]) -> None:
        """What can remove a conclusion, once all facts are written; until nothing is left to do."""
        while self._wanted or self._registers_wanted or self._facts.sighted:
            if self._wanted:
                nodes, self._wanted = self._wanted, set()
                self._registers_wanted -= nodes
                self.rebuild(nodes)
            elif self._registers_wanted:
                self.rederive(self._registers_wanted.pop())
            else:
                self.name(self._facts.sighted.pop())
            flush()

    def forget(self) -> None:
        """Drops what was wanted: the commit is undone."""
        self._wanted.clear()
        self._registers_wanted.clear()

    def rebuild(self, listed: Iterable[Node]) -> None:
        """Derives these identifiers anew, and the sightings of all that share an event with them as subject.

        Cost: the messages that mention them.
        """
        nodes = frozenset(listed) | self._members_of_groups(listed)
        rows = self._rows(nodes)
        entries = {position: self._archive.entry(row) for position, row in rows.items()}
        own = [entry for entry in entries.values() if entry.subject in nodes]
        partners = {node for entry in own for node in people(entry)} - nodes
        kept = {node: self._clear(node) for node in nodes}
        live = [entry for entry in entries.values() if self._lives(entry)]
        for entry in live:
            self._sight(entry, nodes)
        for partner in partners:
            self._sight_again(partner)
        for entry in live:
            if entry.subject in nodes and entry.subject is not None:
                self._facts.count(entry, entry.subject)
            self._facts.link(entry, only=nodes)
            if entry.type == GROUP and entry.group in nodes and entry.group is not None:
                self._facts.write_group(entry.group, entry)
        for node, old in kept.items():
            self._keep_purged(node, old, rows)
        self._regroup(own)

    def rederive(self, subject: Node) -> None:
        """Counts and registers of one subject anew, where a message that held some of them got a smaller time."""
        rows = self._rows((subject,))
        old = self._reset(subject)
        own = []
        for row in rows.values():
            entry = self._archive.entry(row)
            if entry.subject is subject:
                own.append(entry)
                if self._lives(entry):
                    self._facts.count(entry, subject)
        self._keep_purged(subject, old, rows)
        self._regroup(own)

    def name(self, node: Node) -> None:
        """Links what aliases said of an identifier before it was first seen."""
        for entry in map(self._archive.entry, self._rows((node,)).values()):
            if node in entry.previous and self._lives(entry):
                self._facts.link(entry, only=frozenset((node,)))

    def _members_of_groups(self, listed: Iterable[Node]) -> frozenset[Node]:
        """Who ever joined a group that a control bears on: their memberships come and go with it."""
        groups = [node for node in listed if node.kind == Kind.GROUP and node.flags & CONTROLLED]
        found: set[Node] = set()
        for row in self._rows(groups).values():
            entry = self._archive.entry(row)
            if entry.subject is not None:
                found.add(entry.subject)
        return frozenset(found)

    def _rows(self, nodes: Iterable[Node]) -> dict[int, Row]:
        rows = {}
        for node in nodes:
            for row in self._archive.heads(node):
                if not row.flags & MessageFlag.CONTROL:
                    rows[row.position] = row
        self._archive.preload(rows.values())
        return rows

    def _lives(self, entry: Entry) -> bool:
        return entry.about is not None and not self._facts.dead(entry.about, entry.t)

    def _clear(self, node: Node) -> Registers:
        self._facts.unlink(node)
        node.flags &= ~SEEN
        return self._reset(node)

    def _reset(self, node: Node) -> Registers:
        node.events = node.first_at = node.last_at = 0
        self._nodes.touch(node)
        return self._facts.rewrite(node)

    def _sight(self, entry: Entry, nodes: frozenset[Node]) -> None:
        for node in (entry.subject, entry.device, entry.email):
            if node is not None and node in nodes and not node.flags & SEEN and not self._facts.dead(node, entry.t):
                node.flags |= SEEN
                self._nodes.touch(node)

    def _sight_again(self, partner: Node) -> None:
        """Whether a partner is still seen by anything live; if not, what aliases said of it falls."""
        seen = partner.events > 0 or any(
            partner in people(entry) and self._lives(entry) and not self._facts.dead(partner, entry.t)
            for entry in map(self._archive.entry, self._archive.heads(partner))
        )
        if seen and not partner.flags & SEEN:
            self._facts.see(partner)
        elif not seen and partner.flags & SEEN:
            partner.flags &= ~SEEN
            self._nodes.touch(partner)
            self._facts.unlink(partner)

    def _keep_purged(self, node: Node, old: Registers, rows: dict[int, Row]) -> None:
        """Registers whose message lost its body to retention are kept while that message lives."""
        for key, (held, value) in old.traits.items():
            row = rows.get(held[2])
            if row is not None and row.flags & MessageFlag.PURGED and not self._facts.dead(node, row.timestamp):
                self._facts.restore(node, held, {key: value})

    def _regroup(self, own: list[Entry]) -> None:
        """Group traits: what these messages hold goes, and where anything went the group is read anew."""
        gone = [entry for entry in own if entry.traits is not None or not self._lives(entry)]
        positions = frozenset(entry.position for entry in gone)
        for group in {entry.group for entry in own if entry.group is not None}:
            if self._facts.release(group, positions):
                for entry in map(self._archive.entry, self._rows((group,)).values()):
                    # A message keeps its place in the chain of a group that a better copy of it no longer names.
                    if entry.group is group and entry.type == GROUP and self._lives(entry):
                        self._facts.write_group(group, entry)
        for entry in own:
            if entry.type == GROUP and entry.group is not None and self._lives(entry):
                self._facts.write_group(entry.group, entry)


def people(entry: Entry) -> tuple[Node, ...]:
    """The identifiers a fact sights."""
    return tuple(node for node in (entry.subject, entry.device, entry.email) if node is not None)
