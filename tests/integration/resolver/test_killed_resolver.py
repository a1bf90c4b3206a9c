"""A resolver killed inside a transaction, sent back, or taken over: the state is that of an undisturbed one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import apsw
import pytest

from tabard.identity.rules import Rules
from tabard.storage.sqlite.store import SqliteStore
from tests.integration.resolver import killed_resolver
from tests.integration.resolver.killed_resolver import FENCED, SECRET, resolve

ROOT = Path(__file__).parents[3]
LIVES = 4
STATEMENTS = {"apply": 4000, "project": 1500, "erase": 60}


@contextmanager
def resolver(folder: Path, phase: str, statements: int) -> Iterator[subprocess.Popen[str]]:
    """A resolver in a process of its own; killed in the end if it still runs."""
    command = [sys.executable, "-m", killed_resolver.__name__, str(folder), phase, str(statements)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(folder: Path) -> str:
    """The digest once everything is resolved, projected and erased."""
    store = SqliteStore(folder / "store.db", SECRET, Rules())
    resolve(folder, store).end()
    digest = store.digest()
    store.close()
    return digest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return finished(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("phase", STATEMENTS)
def test_a_resolver_killed_inside_a_phase_and_sent_back_ends_in_the_same_state(
    phase: str, tmp_path: Path, undisturbed: str
) -> None:
    random = Random(phase)
    killed = 0
    for _ in range(LIVES):
        with resolver(tmp_path, phase, random.randint(1, STATEMENTS[phase])) as process:
            killed += process.wait(60) == -signal.SIGKILL
        send_back(tmp_path / "store.db", random)
    assert killed > 1
    assert finished(tmp_path) == undisturbed


def send_back(path: Path, random: Random) -> None:
    """Sets the consumed positions to older ones, as after a restore of an older copy of them."""
    database = apsw.Connection(str(path))
    database.execute("UPDATE progress SET offset = offset * ? / 100", (random.randrange(50, 100),))
    database.close()


def test_of_two_resolvers_at_once_the_first_stops_and_the_state_is_the_same(tmp_path: Path, undisturbed: str) -> None:
    """The lock file is gone, as on a file system that keeps no locks."""
    with resolver(tmp_path, "wait", 0) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == "half-way\n"
        (tmp_path / "store.db.lock").unlink()
        store = SqliteStore(tmp_path / "store.db", SECRET, Rules())
        second = resolve(tmp_path, store, turns=1)
        first.stdin.write("go on\n")
        first.stdin.flush()
        while second.turn():
            pass
        assert first.wait(60) == FENCED
        second.end()
        while store.erase(100):
            pass
        assert store.digest() == undisturbed
        store.close()
