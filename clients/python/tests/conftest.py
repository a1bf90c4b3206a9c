"""A recording server, a spool folder, and clients that are shut down after the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients.python.tests.recorder import Recorder

from tabard_client import Client, DropError


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    yield server
    server.stop()


@pytest.fixture
def spool_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every client of this test spools, also one that names no folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "tabard" / "spool"


@pytest.fixture
def make_client(recorder: Recorder, spool_dir: Path) -> Iterator[Callable[..., Client]]:
    """A client of the recorder, quick to send; options as `Client`'s."""
    made: list[Client] = []

    def make(**options: Any) -> Client:
        host = options.pop("host", recorder.url)
        client = Client("key", host, **{"upload_interval": 0.02, "timeout": 5.0, **options})
        made.append(client)
        return client

    yield make
    for client in made:
        client.join(5)


class Drops:
    """An `on_error` that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[DropError, list[dict[str, object]]]] = []

    def __call__(self, error: Exception, messages: list[dict[str, object]]) -> None:
        assert isinstance(error, DropError)
        self.told.append((error, messages))


@pytest.fixture
def drops() -> Drops:
    return Drops()
