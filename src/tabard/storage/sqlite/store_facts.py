"""Applying facts: sightings, counters, claims, alias edges, registers (identity.md §6.2), collected for one commit."""

from collections.abc import Iterable
from typing import Any

import apsw

from tabard.identity.controls import EVERYTHING, Switch, dead, severed
from tabard.identity.rules import Rules, as_claim
from tabard.profiles.registers import Held, Registers
from tabard.storage.sqlite.store_entry import GROUP, IDENTIFY, Entry
from tabard.storage.sqlite.store_keys import SQL, ids
from tabard.storage.sqlite.store_nodes import (
    CONTROLLED,
    CUT,
    EDGE,
    HIGH,
    LOW,
    NAMED,
    SEEN,
    WRITES,
    Node,
    Nodes,
    drop_oldest,
)

CLAIMS_CACHED_MAX = 20_000
REGISTERS_CACHED_MAX = 3_000
REGISTER_BYTES_MAX = 8 * 1024 * 1024
"""So many bytes of registers are read and written before half of those in memory, some four times as large, go."""
SWITCHES_CACHED_MAX = 10_000

Pair = tuple[int, int]
Evidence = tuple[int, str, int]


def switches_of(database: apsw.Connection, number: int) -> list[Switch]:
    """The controls that bear on an identifier, oldest first, as stored."""
    return [
        Switch(t, m, kind, EVERYTHING if other == 0 else str(other), until)
        for t, m, kind, other, until in database.execute(SQL["controls_of"], (number,))
    ]


class Facts:
    """Derived rows that grow by min, max and insert, in memory until `flush`. One writer, one thread."""

    def __init__(self, database: apsw.Connection, nodes: Nodes, rules: Rules) -> None:
        self._database = database
        self._nodes = nodes
        self._rules = rules
        self._claims: dict[Pair, Evidence | None] = {}
        self._new_claims: dict[Pair, int] = {}
        self._edges: dict[Pair, Evidence] = {}
        self._registers: dict[int, Registers] = {}
        self._register_bytes = 0
        self._written: set[int] = set()
        self._switches: dict[int, list[Switch]] = {}
        self._marks: dict[int, str] = {}
        self._crossed: set[tuple[int, int]] = set()
        self.sighted: set[Node] = set()

    # -- life and death

    def switches(self, node: Node) -> list[Switch]:
        """The controls that bear on an identifier, oldest first."""
        if not node.flags & (CONTROLLED | CUT):
            return []
        known = self._switches.get(node.id)
        if known is None:
            known = self._switches[node.id] = switches_of(self._database, node.id)
        return known

    def dead(self, node: Node, t: int) -> bool:
        """Whether an identifier is dead at a time."""
        return bool(node.flags & CONTROLLED) and dead(self.switches(node), t)

    def deleted(self, node: Node, t: int) -> bool:
        """Whether a delete (not a suppression alone) makes it dead: then nothing of it is kept."""
        return any(switch.kind == "delete" and t <= switch.t for switch in self.switches(node))

    def severed(self, x: Node, y: Node, t: int) -> bool:
        """Whether the pair is cut for evidence of a time."""
        if not (x.flags | y.flags) & CUT:
            return False
        return severed(self.switches(x), self.switches(y), (str(x.id), str(y.id)), t)

    def forget_controls(self, node: Node) -> None:
        """To be called when a control of an identifier was written or taken away."""
        self._switches.pop(node.id, None)

    # -- facts

    def apply(self, entry: Entry) -> bool | None:
        """Applies a fact: whether a value changed. None if it is dead, or nobody's: then it contributes nothing."""
        about, subject = entry.about, entry.subject
        if about is None or self.dead(about, entry.t):
            return None
        if subject is None:
            self.write_group(about, entry)
            return False
        changed = self.count(entry, subject)
        for node in (entry.device, entry.email):
            if node is not None and not node.flags & SEEN and not self.dead(node, entry.t):
                self.see(node)
        self.link(entry)
        return changed

    def count(self, entry: Entry, subject: Node) -> bool:
        """What a live fact adds to its subject: the sighting, the count, its registers. Whether a value changed."""
        t = entry.t
        if not subject.flags & SEEN:
            self.see(subject)
        if subject.events == 0:
            subject.first_at = t
            subject.last_at = t if entry.active else 0
            self.mark(subject, "seen")
        elif t < subject.first_at:
            subject.first_at = t
        if entry.active and t > subject.last_at:
            subject.last_at = t
        subject.events += 1
        self._nodes.touch(subject)
        return self._write(entry, subject)

    def see(self, node: Node) -> None:
        """The first sighting of an identifier; aliases that named its text before link now."""
        node.flags |= SEEN
        self._nodes.touch(node)
        if node.flags & NAMED:
            self.sighted.add(node)

    def link(self, entry: Entry, only: frozenset[Node] | None = None) -> None:
        """The evidence of a live fact; `only`: the pairs that touch one of these."""
        for x, y in entry.pairs():
            if only is not None and x not in only and y not in only:
                continue
            if not x.flags & SEEN and x in entry.previous:
                continue
            t = entry.t
            if self.dead(x, t) or self.dead(y, t) or self.severed(x, y, t):
                continue
            pair = as_claim(x, y)
            if pair is None:
                self._join(x, y, entry)
            else:
                self._claim(*pair, entry)

    def _claim(self, low: Node, high: Node, entry: Entry) -> None:
        key = (low.id, high.id)
        known = self._claims.get(key)
        if known is None and low.flags & LOW and high.flags & HIGH and key not in self._claims:
            row = self._database.execute(SQL["claim"], key).fetchone()
            known = None if row is None else (row[0], row[1], -1)
            self._claims[key] = known
        if known is None:
            self._count_claim(high, low.kind, 1)
            low.flags |= LOW
            high.flags |= HIGH
            self._nodes.touch(low)
            self._nodes.touch(high)
            if high.events == 0:
                self.mark(high, "claim")
        elif known[:2] <= (entry.t, entry.m):
            return
        self._claims[key] = entry.held
        self._new_claims[key] = low.kind
        self.mark(low, "claim")

    def _count_claim(self, high: Node, kind: int, step: int) -> None:
        before = high.claims(kind) > self._rules.max_claims
        if kind == 0:
            high.devices += step
        else:
            high.emails += step
        self._nodes.touch(high)
        if before != (high.claims(kind) > self._rules.max_claims):
            self._crossed.add((high.id, kind))

    def _join(self, x: Node, y: Node, entry: Entry) -> None:
        key = (x.id, y.id)
        known = self._edges.get(key)
        if known is None and x.flags & y.flags & EDGE:
            known = self._database.execute(SQL["edge"], key).fetchone()
        if known is not None and known[:2] >= (entry.t, entry.m):
            return
        self._edges[key] = entry.held
        for node in (x, y):
            if not node.flags & EDGE:
                node.flags |= EDGE
                self._nodes.touch(node)
            self.mark(node, "alias")

    def _write(self, entry: Entry, subject: Node) -> bool:
        group = entry.group
        if group is not None and self.dead(group, entry.t):
            group = None
        changed = False
        if entry.type == IDENTIFY and entry.traits:
            changed = self._held(subject).write(entry.held, entry.traits)
            self._written.add(subject.id)
        if group is not None:
            name = group.text.removeprefix("group:")
            changed = self._held(subject).place(entry.held, name, entry.inside) or changed
            self._written.add(subject.id)
            if entry.type == GROUP and entry.traits:
                self._held(group).write(entry.held, entry.traits)
                self._written.add(group.id)
        return changed

    # -- registers

    def is_full(self, node: Node) -> bool:
        """Whether an identifier has as many traits or memberships as are kept."""
        held = self._registers.get(node.id)
        return held is not None and max(len(held.traits), len(held.groups)) >= self._rules.max_traits

    def prefetch(self, wanted: Iterable[Node]) -> None:
        """Brings the registers of identifiers into memory, in one query."""
        missing = {node.id for node in wanted if node.flags & WRITES and node.id not in self._registers}
        if missing:
            for number, writes in self._database.execute(SQL["registers"], (ids(missing),)):
                self._registers[number] = Registers.decoded(writes)
                self._register_bytes += len(writes)

    def registers(self, node: Node) -> Registers:
        """The registers of an identifier as they stand, to be read."""
        self.prefetch((node,))
        return self._registers.get(node.id) or Registers()

    def _held(self, node: Node) -> Registers:
        """The registers of an identifier, to be written."""
        known = self._registers.get(node.id)
        if known is None:
            self.prefetch((node,))
            known = self._registers.setdefault(node.id, Registers())
            if not node.flags & WRITES:
                node.flags |= WRITES
                self._nodes.touch(node)
        return known

    def rewrite(self, node: Node) -> Registers:
        """Empties an identifier's registers; gives the old ones."""
        old = self.registers(node)
        if node.flags & WRITES:
            self._registers[node.id] = Registers()
            self._written.add(node.id)
        return old

    def restore(self, node: Node, held: Held, traits: dict[str, Any]) -> None:
        """Writes registers of a message whose body is past the archive's horizon back, where they are the newest."""
        self._held(node).write(held, traits)
        self._written.add(node.id)

    def release(self, node: Node, positions: frozenset[int]) -> bool:
        """Takes away the registers that these messages hold. Whether there were any."""
        held = self.registers(node)
        lost = [key for key, (holder, _) in held.traits.items() if holder[2] in positions]
        for key in lost:
            del held.traits[key]
        if lost:
            self._written.add(node.id)
        return bool(lost)

    def write_group(self, group: Node, entry: Entry) -> None:
        """The group traits of a live group call."""
        if entry.traits and not self.dead(group, entry.t):
            self._held(group).write(entry.held, entry.traits)
            self._written.add(group.id)

    # -- taking back, for rebuilds; only after a flush

    def unlink(self, node: Node) -> None:
        """Takes away every claim and edge that touches an identifier."""
        run = self._database.execute
        highs = list(run(SQL["drop_claims_low"], (node.id,)))
        lows = list(run(SQL["drop_claims_high"], (node.id,)))
        ends = [row[0] for row in run(SQL["drop_edges_x"], (node.id,))]
        ends += [row[0] for row in run(SQL["drop_edges_y"], (node.id,))]
        self._nodes.load_ids([high for high, _ in highs] + [low for low, _ in lows] + ends)
        self._claims.clear()
        for high, kind in highs:
            self._count_claim(self._nodes.by_id(high), kind, -1)
            self.mark(self._nodes.by_id(high), "control")
        for low, kind in lows:
            self._count_claim(node, kind, -1)
            self.mark(self._nodes.by_id(low), "control")
        for end in ends:
            self.mark(self._nodes.by_id(end), "control")
        self.mark(node, "control")

    def holds_edge(self, entry: Entry) -> bool:
        """Whether this message is the newest that joins its pair."""
        for x, y in entry.pairs():
            if as_claim(x, y) is None:
                row = self._edges.get((x.id, y.id)) or self._database.execute(SQL["edge"], (x.id, y.id)).fetchone()
                if row is not None and row[2] == entry.position:
                    return True
        return False

    # -- to disk

    def mark(self, node: Node, cause: str) -> None:
        """Marks an identifier for the projector."""
        self._marks.setdefault(node.id, cause)

    def flush(self) -> None:
        """Writes claims, edges, registers and marks; the nodes must have been written before."""
        run = self._database.executemany
        new = sorted(self._new_claims.items())
        run(SQL["set_claim"], [(*pair, kind, *(self._claims[pair] or ())) for pair, kind in new])
        run(SQL["set_edge"], [(*pair, *held) for pair, held in sorted(self._edges.items())])
        held, empty = [], []
        for number in sorted(self._written):
            registers = self._registers[number]
            registers.trim(self._rules.max_traits)
            if registers:
                held.append((number, registers.encoded()))
                self._register_bytes += len(held[-1][1])
            else:
                empty.append((number,))
        run(SQL["set_register"], held)
        run(SQL["drop_register"], empty)
        for high, kind in self._crossed:
            for (low,) in self._database.execute(SQL["lows_of_kind"], (high, kind)):
                self._marks.setdefault(low, "limit")
        run(SQL["mark"], sorted(self._marks.items()))
        self._new_claims.clear()
        self._edges.clear()
        self._written.clear()
        self._marks.clear()
        self._crossed.clear()

    def forget(self, *, everything: bool = False) -> None:
        """Empties what has grown too large (or all). Only after a flush."""
        if self._register_bytes > REGISTER_BYTES_MAX:
            drop_oldest(self._registers, len(self._registers) // 2)
            self._register_bytes = 0
        for cache, most in (
            (self._claims, CLAIMS_CACHED_MAX),
            (self._registers, REGISTERS_CACHED_MAX),
            (self._switches, SWITCHES_CACHED_MAX),
        ):
            if everything or len(cache) > most:
                drop_oldest(cache, 0 if everything else most // 2)
        if everything:
            for pending in (self._new_claims, self._edges, self._marks):
                pending.clear()
            for ids_pending in (self._written, self._crossed, self.sighted):
                ids_pending.clear()
