"""Controls in the store: one row an identifier they bear on, and whom they make to be derived anew."""

from collections.abc import Iterable

import apsw

from tabard.identity.controls import EVERYTHING, Control
from tabard.storage.sqlite.store_batch import Copy
from tabard.storage.sqlite.store_facts import Facts
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_nodes import CONTROLLED, CUT, Node, Nodes

_CUTS = ("cut", "uncut")


class Controls:
    """Writes and drops controls of the current commit."""

    def __init__(self, database: apsw.Connection, nodes: Nodes, facts: Facts) -> None:
        self._database = database
        self._nodes = nodes
        self._facts = facts

    def texts(self, control: Control) -> list[str]:
        """The identifiers a control names."""
        return [text for text in control.ids if text != EVERYTHING]

    def write(self, position: int, t: int, m: str, controls: Iterable[Control]) -> list[Node]:
        """Writes the rows of a message's controls; the identifiers they bear on."""
        touched = []
        for control in controls:
            named = {text: self._nodes.get(text) for text in self.texts(control)}
            for text, node in named.items():
                other = 0
                if control.kind in _CUTS:
                    far = control.ids[1] if text == control.ids[0] else control.ids[0]
                    other = 0 if far == EVERYTHING else named[far].id
                    node.flags |= CUT
                else:
                    node.flags |= CONTROLLED
                if control.kind == "delete":
                    self._database.execute(SQL["mark_erasure"], (node.id,))
                self._nodes.touch(node)
                self._database.execute(
                    SQL["add_control"], (node.id, position, control.kind, other, t, m, control.until)
                )
                self._facts.forget_controls(node)
                touched.append(node)
        return touched

    def keep_deletes(self, copy: Copy) -> set[Node]:
        """Writes what a copy of a message deletes, whichever copy is the message: a delete is never taken back.

        Of several copies the latest time counts, so that their order plays no part. Gives whom to derive anew.
        """
        message, controls = copy.resolved.message, copy.resolved.reading.controls
        deletes = [control for control in controls if control.kind == "delete"]
        self.write(copy.position, message.timestamp, copy.m, deletes)
        return self.affected(deletes)

    def drop(self, position: int, nodes: Iterable[Node]) -> set[Node]:
        """Takes the rows of a message's controls away, except deletes; the identifiers they bore on."""
        dropped = set(nodes)
        for node in dropped:
            self._database.execute(SQL["drop_control"], (node.id, position))
            self._facts.forget_controls(node)
        return dropped

    def affected(self, controls: Iterable[Control]) -> set[Node]:
        """Who must be derived anew: all listed; of a cut pair the one with fewer messages, as its links are both's."""
        found: set[Node] = set()
        for control in controls:
            nodes = [self._nodes.get(text) for text in self.texts(control)]
            if control.kind in _CUTS and nodes:
                found.add(min(nodes, key=lambda node: node.mentions))
            else:
                found.update(nodes)
        return found
