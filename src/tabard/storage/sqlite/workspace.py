"""The workspace in `workspace.db`: read by every role, written in short transactions by CLI and web."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tabard.storage.sqlite.database import connect, connect_reader, immediate, migrate, statements
from tabard.workspace.types import DestinationInstance, Source

_SQL: Final = statements("workspace")
_source = msgspec.json.Decoder(Source)
_destination = msgspec.json.Decoder(DestinationInstance)
_encoder = msgspec.json.Encoder()


class SqliteWorkspaceReader:
    """What the roles read (`workspace.types.WorkspaceReader`). One connection; calls from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises `DatabaseMissing`, also for a file of an earlier release."""
        self._db = connect_reader(path, "workspace")

    def version(self) -> int:
        """Grows whenever anything changed, in any process. One row read: some microseconds."""
        return int(self._db.execute(_SQL["version"]).get)

    def sources(self) -> list[Source]:
        """All sources, oldest first, each with all its write keys, newest key first."""
        return _with_keys(self._db.execute(_SQL["sources"]))

    def source_by_key(self, write_key: str) -> tuple[Source, str] | None:
        """The source a write key belongs to and the key's state (`active` or `rotated`)."""
        found = _with_keys(self._db.execute(_SQL["source_by_key"], (write_key,)))
        return (found[0], found[0].write_keys[write_key]) if found else None

    def destinations(self) -> list[DestinationInstance]:
        """All destination instances that were not removed, oldest first."""
        found = self._db.execute(_SQL["destinations"])
        return [msgspec.structs.replace(_destination.decode(body), paused_at=paused_at) for body, paused_at in found]

    def destination_version(self, destination_id: str, version: int) -> DestinationInstance | None:
        """A destination as it was configured at that version, also after it was removed."""
        body = self._db.execute(_SQL["destination_version"], (destination_id, version)).get
        return None if body is None else _destination.decode(body)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()


class SqliteWorkspace(SqliteWorkspaceReader):
    """The workspace with its changes. Each change is one transaction and grows `version()` by one."""

    def __init__(self, path: Path) -> None:
        """Opens the file, making and migrating it. Raises `DatabaseTooNew`."""
        self._db = connect(path)
        migrate(self._db, "workspace")

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Several changes as one transaction."""
        if self._db.in_transaction:
            yield
            return
        with immediate(self._db):
            yield
            self._db.execute(_SQL["bump"])

    def put_source(self, source: Source, now_ms: int) -> None:
        """Adds a source or replaces it by id, with its write keys; keys that are not named stay as they are.

        Raises `NameTaken` where another source has that name or one of its keys.
        """
        with self.change(), _name_taken(f"source {source.name!r}"):
            body = _encoder.encode(msgspec.structs.replace(source, write_keys={}))
            self._db.execute(_SQL["put_source"], (source.id, source.name, source.created_at, body))
            for key, state in source.write_keys.items():
                owner = self.source_by_key(key)
                if owner and owner[0].id != source.id:
                    raise NameTaken(f"the write key of source {source.name!r} belongs to source {owner[0].name!r}")
                self._db.execute(_SQL["put_key"], (key, source.id, state, now_ms))

    def remove_source(self, source_id: str) -> None:
        """Forgets a source and its keys; messages it sent keep its id."""
        with self.change():
            self._db.execute(_SQL["remove_source"], (source_id,))

    def put_destination(self, instance: DestinationInstance, now_ms: int) -> DestinationInstance:
        """Adds a destination or replaces it by id; returned with its new version. A pause stays. Raises `NameTaken`."""
        with self.change(), _name_taken(f"destination {instance.name!r}"):
            kept = next((known for known in self.destinations() if known.id == instance.id), None)
            stored = msgspec.structs.replace(instance, version=kept.version + 1 if kept else 1, paused_at=0)
            self._db.execute(_SQL["put_destination"], (stored.id, stored.name, stored.created_at, stored.version))
            self._db.execute(
                _SQL["put_destination_version"], (stored.id, stored.version, now_ms, _encoder.encode(stored))
            )
        return msgspec.structs.replace(stored, paused_at=kept.paused_at if kept else 0)

    def pause_destination(self, destination_id: str, at_ms: int) -> None:
        """Pauses a destination from that time on; one that is paused stays so since it was. 0 ends a pause."""
        with self.change():
            self._db.execute(_SQL["pause_destination"], (at_ms, destination_id))

    def remove_destination(self, destination_id: str, now_ms: int) -> None:
        """Takes a destination out of use; its versions stay for traces of the past."""
        with self.change():
            self._db.execute(_SQL["remove_destination"], (now_ms, destination_id))


class NameTaken(ValueError):
    """Another source or destination has that name or key."""


@contextlib.contextmanager
def _name_taken(what: str) -> Iterator[None]:
    try:
        yield
    except apsw.ConstraintError as problem:
        raise NameTaken(f"there is a {what} already; choose another name") from problem


def _with_keys(rows: apsw.Cursor) -> list[Source]:
    keys: dict[bytes, dict[str, str]] = {}
    for body, key, state in rows:
        owned = keys.setdefault(body, {})
        if key is not None:
            owned[key] = state
    return [msgspec.structs.replace(_source.decode(body), write_keys=owned) for body, owned in keys.items()]
