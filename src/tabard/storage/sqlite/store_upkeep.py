"""Upkeep of a whole store: the full rebuild from the archive, and the archive's horizon."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final

import apsw

from tabard.identity.controls import ControlUnreadable
from tabard.identity.rules import Fact, Rules, read
from tabard.message.types import CONTROL, Message
from tabard.message.types import position as packed
from tabard.profiles.registers import Registers
from tabard.storage.sqlite.database import immediate
from tabard.storage.sqlite.store_entry import TYPE_CODES, Entry, MessageFlag, Row, entry_of, texts_of
from tabard.storage.sqlite.store_facts import Facts
from tabard.storage.sqlite.store_keys import SQL, ids
from tabard.storage.sqlite.store_messages import Archive, Sources
from tabard.storage.sqlite.store_nodes import NAMED, Nodes

CHUNK: Final = 2000
PURGED_ONCE: Final = 20_000
REBUILD_AT: Final = "rebuild_at"
PURGED_AT: Final = "purged_at"

Settle = Callable[[], None]


class Upkeep:
    """Works on the writer's rows, in short transactions; what it did not finish it goes on with after a restart."""

    def __init__(
        self, database: apsw.Connection, nodes: Nodes, facts: Facts, archive: Archive, sources: Sources, rules: Rules
    ) -> None:
        self._database = database
        self._nodes = nodes
        self._facts = facts
        self._archive = archive
        self._sources = sources
        self._rules = rules

    def begin_rebuild(self) -> None:
        """Empties everything derived. Registers of messages past the archive's horizon stay: nothing else has them."""
        run = self._database.execute
        with immediate(self._database):
            run(SQL["set_meta"], (REBUILD_AT, -1))
            if run(SQL["any_purged"]).get is None:
                run(SQL["clear_registers"])
            registers: list[Any] = run(SQL["all_registers"]).fetchall()
            for node, writes in registers:
                kept = self._purged_only(Registers.decoded(writes))
                run(SQL["set_register"] if kept else SQL["drop_register"], (node, kept.encoded()) if kept else (node,))
            run(SQL["clear_derived"])

    def rebuilding(self) -> bool:
        """Whether a rebuild has begun and not ended."""
        return self._database.execute(SQL["meta"], (REBUILD_AT,)).get is not None

    def rebuild_some(self, settle: Settle) -> bool:
        """Applies the next messages of the archive; False when it was the last."""
        with immediate(self._database):
            at = int(self._database.execute(SQL["meta"], (REBUILD_AT,)).get)
            rows = [Row(*row) for row in self._database.execute(SQL["rows_after"], (at, CHUNK))]
            self._archive.preload(rows)
            for row in rows:
                if not row.flags & MessageFlag.CONTROL:
                    self._facts.apply(self._reread(row))
            settle()
            if rows:
                self._database.execute(SQL["set_meta"], (REBUILD_AT, rows[-1].position))
            else:
                self._database.execute(SQL["mark_all"], ("rebuild",))
                self._database.execute(SQL["drop_meta"], (REBUILD_AT,))
        return bool(rows)

    def purge(self, partition: int, before_ms: int) -> int:
        """Drops bodies of calls received before a time from a partition, at most so many at once; how many."""
        key = f"{PURGED_AT}/{partition}"
        run = self._database.execute
        with immediate(self._database):
            at = int(run(SQL["meta"], (key,)).get or packed(partition, 0))
            arguments = (at, packed(partition + 1, 0), TYPE_CODES[CONTROL], PURGED_ONCE)
            rows: Iterable[Any] = run(SQL["purge_range"], arguments)
            # What arrived is in order of arrival: behind the first that is not due nothing is.
            due = [position for position, _ in itertools.takewhile(lambda row: row[1] < before_ms, rows)]
            if due:
                gone = int(MessageFlag.PURGED)
                self._database.executemany(SQL["flag_message"], [(position, gone) for position in due])
                self._database.executemany(SQL["drop_body"], [(position,) for position in due])
                run(SQL["purge_deletions"], (ids(due),))
                run(SQL["set_meta"], (key, due[-1] + 1))
        return len(due)

    def _reread(self, row: Row) -> Entry:
        """The entry of a row as today's rules read its message; chains stay as they are."""
        message = self._archive.message(row)
        fact = None if message is None else self._fact(message)
        if fact is None:
            return self._archive.entry(row)
        self._nodes.load(texts_of(fact))
        entry = entry_of(row.position, row.timestamp, self._archive.name(row), fact, self._nodes.named)
        for node in entry.previous:
            node.flags |= NAMED
            self._nodes.touch(node)
        if entry.roles() != self._archive.entry(row).roles():
            flags = (row.flags & ~MessageFlag.FACT) | entry.flags()
            self._archive.replace(row, flags=flags, links=self._archive.relink(row, entry.roles()))
        return entry

    def _fact(self, message: Message) -> Fact | None:
        try:
            return read(message, self._rules).fact
        except ControlUnreadable:
            return None

    def _purged_only(self, registers: Registers) -> Registers:
        kept = Registers()
        positions = {held[2] for held, _ in registers.traits.values()}
        purged = {at for at in positions if self._is_purged(at)}
        for key, (held, value) in registers.traits.items():
            if held[2] in purged:
                kept.write(held, {key: value})
        kept.trim(self._rules.max_traits)
        return kept

    def _is_purged(self, position: int) -> bool:
        row = self._database.execute(SQL["message_head"], (position,)).fetchone()
        return row is not None and bool(Row(*row).flags & MessageFlag.PURGED)
