"""The store's one writer: a batch of messages, all their effects and the consumed positions in one transaction."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from tabard.identity.rules import Rules
from tabard.storage.interface import Committed, Consumed, Count, Fenced, Resolved, StoreUnavailable
from tabard.storage.sqlite.database import connect, empty_wal, immediate, migrate, run_all
from tabard.storage.sqlite.store_batch import Deduplicator, New
from tabard.storage.sqlite.store_books import Books
from tabard.storage.sqlite.store_controls import Controls
from tabard.storage.sqlite.store_copies import Replacer
from tabard.storage.sqlite.store_entry import (
    TRUST_SHIFT,
    TYPE_CODES,
    Entry,
    MessageFlag,
    Role,
    Row,
    entry_of,
    texts_of,
)
from tabard.storage.sqlite.store_erase import Eraser
from tabard.storage.sqlite.store_facts import Facts
from tabard.storage.sqlite.store_keys import SQL, Keys, KeyWriter
from tabard.storage.sqlite.store_messages import Archive, Sources
from tabard.storage.sqlite.store_nodes import NAMED, Nodes
from tabard.storage.sqlite.store_projector import Projector
from tabard.storage.sqlite.store_reader import READ_BY, is_outdated, read_by
from tabard.storage.sqlite.store_rebuild import Rebuilder
from tabard.storage.sqlite.store_state import State
from tabard.storage.sqlite.store_upkeep import Upkeep


class StoreLocked(Exception):
    """Another process writes this store."""


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the writer's database memory and WAL, measured by benchmarks/resolver.py.

    With an mmap, the pages read count as the process's memory, and were read no faster.
    """

    cache_kib: int = 16 * 1024
    mmap_bytes: int = 0
    checkpoint_pages: int = 16_384
    wal_bytes_kept: int = 128 * 1024 * 1024


_OPTIONS: Final = StoreOptions()


class SqliteStore:
    """See `storage.interface.StoreWriter`."""

    def __init__(self, path: Path, secret: bytes, rules: Rules, options: StoreOptions = _OPTIONS) -> None:
        """Opens or makes the file. Raises `StoreLocked` while another process writes it, `DatabaseTooNew`."""
        self._lock = _lock(path)
        self.rules = rules
        self.database = connect(path)
        _tune(self.database, options)
        migrate(self.database, "store")
        self.keys = Keys(secret)
        self.nodes = Nodes(self.database, self.keys, KeyWriter(self.database, "node"))
        self.sources = Sources(self.database)
        self.sources.reload()
        self.archive = Archive(self.database, self.nodes, self.sources)
        self.facts = Facts(self.database, self.nodes, rules)
        self._rebuilder = Rebuilder(self.nodes, self.facts, self.archive)
        self._eraser = Eraser(self.database, self.nodes, self.facts, self.archive)
        self._controls = Controls(self.database, self.nodes, self.facts)
        self._replacer = Replacer(
            nodes=self.nodes,
            facts=self.facts,
            archive=self.archive,
            controls=self._controls,
            rebuilder=self._rebuilder,
            eraser=self._eraser,
        )
        self._deduplicator = Deduplicator(self.database, self.archive)
        self._projector = Projector(self.database, rules, self.nodes)
        self._upkeep = Upkeep(self.database, self.nodes, self.facts, self.archive, self.sources, rules)
        self._books = Books(self.database)
        self._epoch = 0

    def begin(self, log_id: str, beat: Callable[[], None] = lambda: None) -> None:
        """Takes the store for a log, fencing whoever had it. Raises `Fenced` for a store of another log.

        Finishes a rebuild that was cut off, which may take long; `beat` is called meanwhile.
        """
        with immediate(self.database):
            held = self.database.execute(SQL["meta"], ("log_id",)).get
            if held is not None and held != log_id:
                raise Fenced(f"the store belongs to log {held}, not to {log_id}; give the data folder of this store")
            self.database.execute(SQL["set_meta"], ("log_id", log_id))
            self._epoch = int(self.database.execute(SQL["claim_epoch"]).get)
            self._obey_limits()
            if self.database.execute(SQL["meta"], (READ_BY,)).get is None:
                self.database.execute(SQL["set_meta"], (READ_BY, read_by(self.rules)))
        # What was read before is of before.
        self._forget(everything=True)
        self._finish_rebuild(beat)

    def is_outdated(self) -> bool:
        """Whether messages were read by other blocked values, or another limit of traits, than now: then what is stored
        follows these only after a `rebuild`.
        """
        return is_outdated(self.database, self.rules)

    def positions(self) -> dict[int, int]:
        """Partition → the offset to go on from."""
        return dict(self.database.execute(SQL["progress"]))

    def apply(self, batch: Sequence[Resolved], consumed: Sequence[Consumed], counts: Sequence[Count] = ()) -> Committed:
        """Commits messages, all their effects and the positions in one transaction. Raises `Fenced`.

        After any failure the memory is emptied, so that it is never ahead of the file.
        """
        with self._as_holder():
            self._advance(consumed)
            committed = self._store(batch)
            self._books.add(counts)
            self._books.flush()
        self._forget()
        return committed

    def project(self, limit: int) -> int:
        """Brings marked identifiers to their profiles, in one transaction; how many were done. Raises `Fenced`."""
        with self._as_holder():
            return self._projector.project(limit)

    def erase(self, limit: int) -> int:
        """Erases what deletes made dead, of at most `limit` identifiers, in one transaction. Raises `Fenced`."""
        with self._as_holder():
            return self._eraser.erase(limit)

    def wipe(self) -> bool:
        """Takes what was erased so far out of the files' bytes as well; False where a reader is in the way just now."""
        return empty_wal(self.database)

    def rebuild(self) -> None:
        """Derives everything anew from the archive, under the rules of now; the same profile ids, the same digest.

        A rebuild that is cut off goes on at the next `begin`. Every mark must be projected afterwards.
        """
        self._upkeep.begin_rebuild()
        self._forget(everything=True)
        self._finish_rebuild()
        self.database.execute(SQL["set_meta"], (READ_BY, read_by(self.rules)))

    def purge(self, before_ms: int) -> int:
        """Drops the bodies of messages received before a time, some of each partition; how many. 0 = all are gone."""
        return sum(self._upkeep.purge(partition, before_ms) for partition in self.positions())

    def marks(self) -> int:
        """How many identifiers wait for the projector (at most 100,000 are counted)."""
        return int(self.database.execute(SQL["marks_left"]).get)

    def sync(self) -> None:
        """Makes everything committed so far durable. What was moved out of the WAL was synced when it was."""
        wal = os.open(f"{self.database.filename}-wal", os.O_RDWR)
        try:
            os.fdatasync(wal)
        finally:
            os.close(wal)

    def dump(self) -> dict[str, Any]:
        """The whole state in the shape of spec/identity/examples.json; every mark must be done."""
        return State(self.database, self.keys).dump()

    def digest(self) -> str:
        """A digest of the whole derived state; every mark must be done."""
        return State(self.database, self.keys).digest()

    def close(self) -> None:
        """Closes the file and lets the next writer in."""
        self.database.close()
        os.close(self._lock)

    # -- the route of a batch

    def _store(self, batch: Sequence[Resolved]) -> Committed:
        known = self._deduplicator.sort(batch)
        self._load(known.new)
        for new in known.new:
            self._take(new)
        self._deduplicator.add(known)
        for stating in known.stating:
            self._rebuilder.want(self._controls.keep_deletes(stating))
        for better in known.better:
            self._replacer.replace(better)
        self._flush_and_settle()
        return self._books.batch(known)

    def _load(self, new: Iterable[New]) -> None:
        """Brings every identifier and register the batch touches into memory, in two queries."""
        texts: set[str] = set()
        for one in new:
            fact = one.resolved.reading.fact
            if fact is not None:
                texts.update(texts_of(fact))
            for control in one.resolved.reading.controls:
                texts.update(self._controls.texts(control))
        self.nodes.load(texts)
        writers = (one.resolved.reading.fact for one in new)
        self.facts.prefetch(
            self.nodes.get(text)
            for fact in writers
            if fact is not None and (fact.traits or fact.group)
            for text in (fact.subject, fact.group)
            if text is not None
        )

    def _take(self, new: New) -> None:
        """A message nobody had: archived, chained to its identifiers, its fact or controls applied."""
        message, reading = new.resolved.message, new.resolved.reading
        t = message.timestamp
        flags = message.trust << TRUST_SHIFT
        if reading.fact is None:
            nodes = self._controls.write(new.position, t, new.m, reading.controls)
            self._rebuilder.want(self._controls.affected(reading.controls))
            roles = dict.fromkeys(nodes, int(Role.CONTROL))
            flags |= MessageFlag.CONTROL
            entry = None
        else:
            entry = entry_of(new.position, t, new.m, reading.fact, self.nodes.named)
            roles = entry.roles()
            flags |= entry.flags()
            self._apply(entry, new)
        links = self.archive.chain(new.position, entry, roles)
        source, kind = self.sources.number(message.source), TYPE_CODES[message.type]
        seq = self.archive.next_seq()
        name = message.message_id
        self.archive.add(Row(new.position, source, kind, flags, seq, new.received_at, t, name, links, message.body))

    def _apply(self, entry: Entry, new: New) -> None:
        for named in entry.previous:
            if not named.flags & NAMED:
                named.flags |= NAMED
                self.nodes.touch(named)
        changed = self.facts.apply(entry)
        if changed is None:
            self._eraser.bury(entry)
            return
        self._books.use(entry, new, changed)
        if entry.about is not None and self.facts.is_full(entry.about):
            self._books.count("warning", new.resolved.message.source, "traits_or_groups_at_limit", sample=new.position)

    def _obey_limits(self) -> None:
        """Limits are applied when read; where they changed, every identifier is published anew."""
        limits = f"{self.rules.max_alias},{self.rules.max_owners},{self.rules.max_claims}"
        held = self.database.execute(SQL["meta"], ("limits",)).get
        if held is not None and held != limits:
            self.database.execute(SQL["mark_all"], ("limit",))
        self.database.execute(SQL["set_meta"], ("limits", limits))

    def _finish_rebuild(self, beat: Callable[[], None] = lambda: None) -> None:
        with self._all_or_nothing():
            while self._upkeep.rebuilding() and self._upkeep.rebuild_some(self._flush_and_settle):
                self._forget()
                beat()

    def _flush_and_settle(self) -> None:
        self._flush()
        self._rebuilder.settle(self._flush)

    def _flush(self) -> None:
        self.nodes.flush()
        self.archive.flush()
        self.facts.flush()

    def _advance(self, consumed: Iterable[Consumed]) -> None:
        run = self.database.execute
        for one in consumed:
            run(SQL["begin_partition"], (one.partition,))
            run(
                SQL["advance"],
                (one.partition, one.next_offset, one.offset, self._epoch, one.received_at, one.polled_at),
            )
            if self.database.changes() != 1:
                raise Fenced(f"partition {one.partition} is not at offset {one.offset}; another resolver moved it")

    @contextlib.contextmanager
    def _as_holder(self) -> Iterator[None]:
        """A transaction of the resolver that has the store. Raises `Fenced` where another took it over."""
        with self._all_or_nothing(), immediate(self.database):
            if self.database.execute(SQL["epoch"]).get != self._epoch:
                raise Fenced("another resolver took this store over; this one stops")
            yield

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """After any failure the memory is emptied, so that it is never ahead of the file."""
        try:
            yield
        except apsw.FullError as problem:
            self._forget(everything=True)
            raise StoreUnavailable("disk_full", f"{self.database.filename}: the disk is full; free some") from problem
        except apsw.BusyError as problem:
            self._forget(everything=True)
            raise StoreUnavailable("store_busy", f"{self.database.filename} is locked by another program") from problem
        except BaseException:
            self._forget(everything=True)
            raise

    def _forget(self, *, everything: bool = False) -> None:
        self.nodes.forget(everything=everything)
        self.facts.forget(everything=everything)
        if everything:
            self._rebuilder.forget()
            self.archive.forget()
            self._deduplicator.forget()
            self.sources.reload()
            self._books.forget()


def _lock(path: Path) -> int:
    handle = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(handle, 32, 0).decode() or "unknown"
        os.close(handle)
        raise StoreLocked(f"{path} is written by process {owner}; stop that `tabard serve` first") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _tune(database: apsw.Connection, options: StoreOptions) -> None:
    """The log is durable and the positions are in the same transaction, so a commit need not be synced by itself."""
    run_all(
        database,
        f"PRAGMA synchronous = NORMAL; PRAGMA cache_size = -{options.cache_kib};"
        f"PRAGMA mmap_size = {options.mmap_bytes}; PRAGMA wal_autocheckpoint = {options.checkpoint_pages};"
        f"PRAGMA journal_size_limit = {options.wal_bytes_kept}",
    )
