"""Controls in the store: one row an identifier they bear on, and whom they make to be derived anew."""

from collections.abc import Iterable

import apsw

from tabard.identity.controls import EVERYTHING, Control
from tabard.identity.identifiers import Kind, kind_of
from tabard.storage.interface import Resolved
from tabard.storage.sqlite.store_batch import Stating
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

    def keep_deletes(self, stating: Stating) -> set[Node]:
        """Writes what copies of a message delete, whichever is the message: a delete is never taken back.

        Of several copies the latest time counts, so that their order plays no part. Gives whom to derive anew: nobody
        where the copies say nothing new.
        """
        found: set[Node] = set()
        for copy in stating.copies:
            t = copy.message.timestamp
            deletes = (control for control in copy.reading.controls if control.kind == "delete")
            until = {text: self._deleted_until(text, stating.m) for control in deletes for text in control.ids}
            more = Control("delete", tuple(text for text, known in until.items() if known is None or known < t))
            self.write(stating.position, t, stating.m, (more,))
            self.tell(stating.position, stating.last, (text for text, known in until.items() if known is None))
            found |= self.affected((more,))
        return found

    def tell(self, position: int, last: Resolved, ids: Iterable[str]) -> None:
        """Keeps whom the message at a position deletes though its body does not name them, for destinations to hear.

        They stand at the position of the copy that came last: that of the message may have been passed.
        """
        people = [text for text in ids if kind_of(text) != Kind.GROUP]
        self._database.executemany(
            SQL["add_deletion"], [(last.position, text, position, last.message.received_at) for text in people]
        )

    def _deleted_until(self, text: str, m: str) -> int | None:
        """The time of a message's delete as it bears on an identifier so far."""
        switches = self._facts.switches(self._nodes.get(text))
        return next((switch.t for switch in switches if switch.kind == "delete" and switch.m == m), None)

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
