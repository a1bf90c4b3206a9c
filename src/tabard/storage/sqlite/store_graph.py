"""Who is whom, asked of the stored claims and edges (identity.md §3.3, §6.4): at most three hops, every query bounded.

Used by the projector on the writer's connection and by readers on their own.
"""

from collections.abc import Callable

import apsw

from tabard.identity.identifiers import Kind
from tabard.identity.rules import Rules, Stamp, owner, survivor
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_nodes import EDGE, HIGH, LOW, Node

Class = tuple[int, ...]
"""The identifiers of one alias class, sorted."""


class Graph:
    """Classes, owners, roots and members. `node` gives an identifier by its integer. Keeps answers until `reset`."""

    def __init__(self, database: apsw.Connection, rules: Rules, node: Callable[[int], Node]) -> None:
        self._database = database
        self._rules = rules
        self._node = node
        self._classes: dict[int, Class] = {}
        self._owners: dict[Class, int | None] = {}

    def reset(self) -> None:
        """Forgets the answers: the facts may have changed."""
        self._classes.clear()
        self._owners.clear()

    def component(self, start: int) -> set[int]:
        """The identifiers joined by alias edges, at most L + 1 of them: more are a void class anyway."""
        found = {start}
        if not self._node(start).flags & EDGE:
            return found
        limit = self._rules.max_alias + 1
        queue = [start]
        while queue and len(found) < limit:
            for (other,) in self._database.execute(SQL["neighbours"], (queue.pop(), 2 * limit)):
                if other not in found:
                    found.add(other)
                    queue.append(other)
                    if len(found) >= limit:
                        break
        return found

    def class_of(self, start: int) -> Class:
        """The class of an identifier: itself alone where the component is larger than L."""
        known = self._classes.get(start)
        if known is not None:
            return known
        component = self.component(start)
        whole: Class = tuple(sorted(component))
        for one in whole:
            # All that were found of a void class stand alone, so a long chain is not walked from each of its ends anew.
            self._classes[one] = whole if len(component) <= self._rules.max_alias else (one,)
        return self._classes[start]

    def claimants(self, members: Class) -> dict[int, tuple[int, Stamp]]:
        """Who claims a class without being heavy: claimant → (kind, earliest stamp); at most K + 1 a member."""
        pooled: dict[int, tuple[int, Stamp]] = {}
        rules = self._rules
        for member in members:
            if not self._node(member).flags & LOW:
                continue
            arguments = (member, rules.max_claims, rules.max_owners + 1)
            for high, t, m, kind in self._database.execute(SQL["claimants"], arguments):
                if high not in pooled or pooled[high][1] > (t, m):
                    pooled[high] = (kind, (t, m))
        return pooled

    def owner_of(self, members: Class) -> int | None:
        """The identifier that owns a class; None where nobody or too many claim it."""
        if members not in self._owners:
            pooled = self.claimants(members)
            stamps = {high: stamp for high, (_, stamp) in pooled.items()}
            self._owners[members] = owner(stamps, lambda high: pooled[high][0], self._rules.max_owners)
        return self._owners[members]

    def root_of(self, start: int) -> Class:
        """The class an identifier belongs to in the end. Ranks rise strictly, so this ends after two steps."""
        here = self.class_of(start)
        while (above := self.owner_of(here)) is not None:
            here = self.class_of(above)
        return here

    def canonical(self, root: Class) -> int:
        """The surviving identifier of a root class."""
        if len(root) == 1:
            return root[0]
        edges: list[tuple[int, int, Stamp]] = []
        for member in root:
            for x, y, t, m, _ in self._database.execute(SQL["edges_from"], (member,)):
                if y in root:
                    edges.append((x, y, (t, m)))
        return survivor(root, edges)

    def is_visible(self, start: int) -> bool:
        """Whether an identifier belongs to a profile that is shown (§3.3, 7)."""
        node = self._node(start)
        if node.events > 0:
            return True
        members = self.class_of(start)
        if len(members) > 1 or self.owner_of(members) is not None:
            return True
        return bool(node.flags & HIGH) and self._owns(node)

    def _owns(self, node: Node) -> bool:
        for kind in (Kind.ANON, Kind.EMAIL):
            if 0 < node.claims(kind) <= self._rules.max_claims:
                for (low,) in self._database.execute(SQL["lows_of_kind"], (node.id, int(kind))):
                    if self.owner_of(self.class_of(low)) == node.id:
                        return True
        return False
