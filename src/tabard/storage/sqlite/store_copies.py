"""What a copy changes that is smaller than the stored message and takes its place (identity.md §3.1, A1)."""

from tabard.identity.controls import controls_of, deleted_in
from tabard.identity.identifiers import NONE
from tabard.message.types import Message
from tabard.storage.interface import Resolved
from tabard.storage.sqlite.store_batch import Better
from tabard.storage.sqlite.store_controls import Controls
from tabard.storage.sqlite.store_entry import TRUST_SHIFT, TYPE_CODES, Entry, MessageFlag, Role, Row, entry_of, texts_of
from tabard.storage.sqlite.store_erase import Eraser
from tabard.storage.sqlite.store_facts import Facts
from tabard.storage.sqlite.store_messages import Archive
from tabard.storage.sqlite.store_nodes import CONTROLLED, CUT, NAMED, Node, Nodes
from tabard.storage.sqlite.store_rebuild import Rebuilder


class Replacer:
    """Works on the writer's rows, in the commit that brings the copies."""

    def __init__(
        self, *, nodes: Nodes, facts: Facts, archive: Archive, controls: Controls, rebuilder: Rebuilder, eraser: Eraser
    ) -> None:
        self._nodes = nodes
        self._facts = facts
        self._archive = archive
        self._controls = controls
        self._rebuilder = rebuilder
        self._eraser = eraser

    def replace(self, better: Better) -> None:
        """Puts the copy in the place of the message, at its position."""
        row, message = better.row, better.copy.message
        if not better.same:
            self._change(row, better)
            return
        entry = self._archive.entry(row)
        self._archive.replace(row, timestamp=message.timestamp, body=message.body if row.body else b"")
        if row.flags & MessageFlag.CONTROL:
            self._restate(row, better.copy)
            return
        if entry.subject is not None:
            self._retime(entry, entry.subject, message.timestamp)
        elif entry.about is not None and self._may_change(entry.about, row):
            self._rebuilder.want((entry.about,))
        entry.t = message.timestamp
        self._eraser.bury(entry)

    def _may_change(self, group: Node, row: Row) -> bool:
        """Whether a smaller time of a group call that names no person can change the group's traits."""
        return bool(group.flags & CONTROLLED) or self._facts.registers(group).holds(row.position)

    def _retime(self, entry: Entry, subject: Node, t: int) -> None:
        """The same call with a smaller time: min for seen, claims and edges; anew only what this message held."""
        people = [node for node in (subject, entry.device, entry.email, *entry.previous) if node is not None]
        if any(node.flags & (CONTROLLED | CUT) for node in people) or self._facts.holds_edge(entry):
            self._rebuilder.want((subject,))
            return
        held = subject.last_at == entry.t or self._facts.registers(subject).holds(entry.position)
        if held or (entry.group is not None and self._facts.registers(entry.group).holds(entry.position)):
            self._rebuilder.want_registers(subject)
        entry.t = t
        if t < subject.first_at:
            subject.first_at = t
            self._nodes.touch(subject)
        self._facts.link(entry)

    def _restate(self, row: Row, copy: Resolved) -> None:
        """The same controls with a smaller time. Deletes keep theirs (`Controls.keep_deletes`)."""
        others = [control for control in copy.reading.controls if control.kind != "delete"]
        if others:
            self._rebuilder.want(self._controls.drop(row.position, self._archive.people(row)))
            self._controls.write(row.position, copy.message.timestamp, self._archive.name(row), others)
            self._rebuilder.want(self._controls.affected(others))

    def _change(self, row: Row, better: Better) -> None:
        """A copy with other content: the identifiers of both copies are derived anew."""
        message, reading, m = better.copy.message, better.copy.reading, self._archive.name(row)
        flags = message.trust << TRUST_SHIFT
        self._rebuilder.want(self._archive.people(row))
        if row.flags & MessageFlag.CONTROL:
            self._rebuilder.want(self._controls.drop(row.position, self._archive.people(row)))
            before = _deleted_by(self._archive.message(row))
            self._controls.tell(row.position, better.last, before - {*deleted_in(reading.controls)})
        if reading.fact is None:
            nodes = self._controls.write(row.position, message.timestamp, m, reading.controls)
            self._rebuilder.want(self._controls.affected(reading.controls))
            roles = dict.fromkeys(nodes, int(Role.CONTROL))
            flags |= MessageFlag.CONTROL
        else:
            entry = entry_of(row.position, message.timestamp, m, reading.fact, self._nodes.named)
            for named in entry.previous:
                named.flags |= NAMED
            roles = entry.roles()
            flags |= entry.flags()
            self._rebuilder.want(self._nodes.get(text) for text in texts_of(reading.fact))
            self._eraser.bury(entry)
        links = self._archive.relink(row, roles)
        self._archive.unerase(row)
        kind = TYPE_CODES[message.type]
        self._archive.replace(row, type=kind, flags=flags, timestamp=message.timestamp, links=links, body=message.body)


def _deleted_by(message: Message | None) -> set[str]:
    return set() if message is None else {*deleted_in(controls_of(message, NONE))}
