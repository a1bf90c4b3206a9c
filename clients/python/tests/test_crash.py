"""Processes that are killed, forked, frozen or simply end: what they accepted arrives, whoever sends it."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from clients.python.tests.recorder import Recorder, Reply

from tabard_client import Client

PREAMBLE = """
import os, signal, sys, time
import tabard_client.sender
from tabard_client import Client
tabard_client.sender.ADOPT_INTERVAL_S = float(os.environ.get("TEST_ADOPT_INTERVAL_S", "30"))
client = Client("key", sys.argv[1], upload_interval=0.01, exit_timeout_s=30)
def call(n):
    # Printed once the call has returned: from here on the message may not be lost.
    os.write(1, (client.track("u", "e", {"n": n}).message["messageId"] + "\\n").encode())
"""


class Program:
    """A Python process with a client; what it prints goes to a file, so that a kill loses no line."""

    def __init__(self, recorder: Recorder, code: str, **environment: str) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `accepted`
        self.process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), recorder.url],
            stdout=self._out,
            env={**os.environ, **environment},
        )

    def kill_after(self, seconds: float) -> None:
        """SIGKILL, so long after its first call."""
        deadline = time.monotonic() + 10
        while not os.fstat(self._out.fileno()).st_size:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(seconds)
        self.process.kill()

    def accepted(self) -> list[str]:
        """Waits for the end; the lines printed: ids of the calls that returned."""
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
        with self._out as out:
            out.seek(0)
            # The kernel may cut the last line where a page ends, when the kill comes in the midst of the write.
            return [line[:-1] for line in out.read().decode().splitlines(keepends=True) if line.endswith("\n")]


def run(recorder: Recorder, code: str, **environment: str) -> list[str]:
    program = Program(recorder, code, **environment)
    accepted = program.accepted()
    assert program.process.returncode == 0
    return accepted


BURST = """
for n in range(10**9):
    call(n)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("alive_s", [0.15, 0.35, 0.6])
def test_kill_9_in_mid_burst_and_a_restart_deliver_exactly_the_calls_made(
    alive_s: float, recorder: Recorder, spool_dir: Path
) -> None:
    program = Program(recorder, BURST)
    program.kill_after(alive_s)
    accepted = program.accepted()
    sent_before = len(recorder.messages)
    assert len(accepted) > 500
    run(recorder, "client.flush(15)")
    arrived = set(recorder.ids)
    assert set(accepted) <= arrived
    # The kill may fall between the write and the return of one call: made, kept, but not yet told.
    assert len(arrived - set(accepted)) <= 1
    assert sent_before <= len(accepted) + 1
    assert not list(spool_dir.rglob("*.spool"))


@pytest.mark.e2e
def test_many_kills_while_the_server_fails_at_random_lose_nothing(recorder: Recorder, spool_dir: Path) -> None:
    recorder.reply = lambda number: Reply(503 if number % 3 == 0 else 200, hangs_up=number % 5 == 0)
    accepted: list[str] = []
    for _ in range(4):
        program = Program(recorder, BURST)
        program.kill_after(0.2)
        accepted += program.accepted()
    recorder.reply = lambda _: Reply()
    run(recorder, "client.flush(15)")
    assert set(accepted) <= set(recorder.ids)
    assert len(set(recorder.ids) - set(accepted)) <= 4


@pytest.mark.e2e
def test_two_processes_starting_after_a_crash_never_send_the_same_spool(recorder: Recorder, spool_dir: Path) -> None:
    recorder.reply = lambda _: Reply(503, {"Retry-After": "60"})
    crashed = run(recorder, "[call(n) for n in range(3000)]; time.sleep(0.1); os._exit(0)")
    recorder.reply = lambda _: Reply()
    heirs = [Program(recorder, "client.flush(15)") for _ in range(4)]
    for heir in heirs:
        heir.accepted()
    recorder.wait_for(lambda: len(recorder.messages) >= len(crashed))
    assert sorted(recorder.ids) == sorted(crashed)


@pytest.mark.e2e
def test_a_living_process_takes_over_what_its_killed_neighbour_left(recorder: Recorder, spool_dir: Path) -> None:
    """As gunicorn's workers and celery's children, which come and go without a restart of the whole."""
    recorder.stop()
    left = run(recorder, "[call(n) for n in range(50)]; os._exit(0)")
    recorder.start()
    neighbour = Program(recorder, "time.sleep(60)", TEST_ADOPT_INTERVAL_S="0.1")
    recorder.wait_for(lambda: len(recorder.messages) == 50)
    left += run(recorder, "[call(n) for n in range(50)]; os._exit(0)")
    recorder.wait_for(lambda: len(set(recorder.ids)) == 100)
    neighbour.process.kill()
    neighbour.accepted()
    assert set(recorder.ids) == set(left)


@pytest.mark.e2e
def test_forked_children_send_their_own_calls_and_none_of_their_parents(recorder: Recorder, spool_dir: Path) -> None:
    code = """
    for n in range(200):
        call(n)                      # some sent, some waiting, a thread and a connection in use
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            for n in range(100):
                call(n)
            assert client.counts().accepted == 100
            assert client.flush(10) == 0
            os._exit(0)
        children.append(pid)
    for n in range(100):
        call(n)
    codes = [os.waitpid(pid, 0)[1] for pid in children]
    assert codes == [0] * 4, codes
    assert client.flush(10) == 0
    """
    accepted = run(recorder, code)
    assert len(accepted) == 700
    assert sorted(recorder.ids) == sorted(accepted)


@pytest.mark.e2e
def test_sending_imports_nothing_so_that_a_fork_meets_no_import_lock(recorder: Recorder, spool_dir: Path) -> None:
    code = """
    client = Client("key", sys.argv[1], gzip=True)
    before = set(sys.modules)
    client.track("u", "e")
    client.flush(10)
    print(sorted(set(sys.modules) - before))
    """
    assert run(recorder, code) == ["[]"]


@pytest.mark.e2e
def test_a_fork_while_an_answer_is_being_read_does_not_hang_the_child(recorder: Recorder, spool_dir: Path) -> None:
    recorder.reply = lambda _: Reply(pause_s=0.2)
    code = """
    call("parent")
    time.sleep(0.1)                  # the sender's thread now reads the body and holds the reader's lock
    if os.fork() == 0:
        call("child")
        sys.exit(client.flush(10))   # a regular exit: finalisers run
    assert os.wait()[1] == 0
    """
    accepted = run(recorder, code)
    assert sorted(recorder.ids) == sorted(accepted)
    assert len(accepted) == 2


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_child_that_gives_up_its_rights_keeps_its_calls(recorder: Recorder, spool_dir: Path) -> None:
    code = """
call("parent")
if os.fork() == 0:
    os.setgid(65534)
    os.setuid(65534)
    assert client.track("u", "child").success
    left = client.flush(10)
    os._exit(left)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
client.shutdown(10)
"""
    with tempfile.TemporaryDirectory() as temporary:  # pytest's own is closed to others
        Path(temporary).chmod(0o777)
        run(recorder, code, TMPDIR=temporary)
    assert sorted(str(message["event"]) for message in recorder.messages) == ["child", "e"]


def test_a_fork_of_the_memory_only_mode_does_not_send_twice(recorder: Recorder, spool_dir: Path) -> None:
    code = """
    client = Client("key", sys.argv[1], upload_interval=0.2, memory_only_can_lose=True)
    call("parent")
    if os.fork() == 0:
        call("child")
        assert client.flush(10) == 0
        os._exit(0)
    os.wait()
    assert client.flush(10) == 0
    """
    accepted = run(recorder, code)
    assert sorted(recorder.ids) == sorted(accepted)
    assert len(accepted) == 2


@pytest.mark.e2e
def test_a_child_killed_after_fork_leaves_its_spool_to_the_parent(recorder: Recorder, spool_dir: Path) -> None:
    code = """
    call("parent")
    client.flush(10)
    if os.fork() == 0:
        [call(n) for n in range(100)]
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    deadline = time.monotonic() + 10
    while client.counts().delivered < 101 and time.monotonic() < deadline:
        call("parent")
        time.sleep(0.05)
    assert client.flush(10) == 0
    """
    accepted = run(recorder, code, TEST_ADOPT_INTERVAL_S="0.05")
    assert set(accepted) == set(recorder.ids)


@pytest.mark.e2e
def test_a_script_that_just_ends_has_delivered(recorder: Recorder, spool_dir: Path) -> None:
    accepted = run(recorder, "[call(n) for n in range(250)]")
    assert recorder.ids == accepted


@pytest.mark.e2e
def test_a_script_that_ends_during_an_outage_is_not_held_up_and_leaves_all_to_the_next(
    recorder: Recorder, spool_dir: Path
) -> None:
    recorder.stop()
    began = time.monotonic()
    accepted = run(recorder, "[call(n) for n in range(250)]")
    assert time.monotonic() - began < 20.0
    recorder.start()
    run(recorder, "client.flush(10)")
    assert sorted(recorder.ids) == sorted(accepted)


@pytest.mark.e2e
def test_a_frozen_process_keeps_its_spool_and_goes_on_when_it_thaws(recorder: Recorder, spool_dir: Path) -> None:
    program = Program(recorder, "[call(n) for n in range(20_000)]; client.flush(10)")
    time.sleep(0.3)
    program.process.send_signal(signal.SIGSTOP)
    run(recorder, "client.flush(2)")  # must not take over a spool whose owner only sleeps
    program.process.send_signal(signal.SIGCONT)
    accepted = program.accepted()
    assert program.process.returncode == 0
    assert sorted(recorder.ids) == sorted(accepted)


@pytest.mark.e2e
def test_a_signal_handler_may_call_at_any_moment(recorder: Recorder, spool_dir: Path) -> None:
    code = """
    told = []
    calling = True
    def alarm(*_):
        told.append(client.track("u", "signal").message["messageId"])
        # Set anew each time: on a busy machine an interval would be shorter than the handler, which then never ends.
        if calling:
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    for n in range(5000):
        call(n)
    calling = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    [os.write(1, (one + "\\n").encode()) for one in told]
    assert len(told) > 20, len(told)
    assert client.flush(10) == 0
    """
    accepted = run(recorder, code)
    assert sorted(recorder.ids) == sorted(accepted)


def test_a_call_may_be_made_wherever_python_handles_a_signal(recorder: Recorder, spool_dir: Path) -> None:
    """CPython handles signals where a function begins and where a call returns: what they do there by chance, a
    profiler does each time, also within the standard library's locks."""
    client = Client("key", recorder.url, upload_interval=0.01)
    made: list[object] = []
    inside = False

    def signal_here(_: object, event: str, __: object) -> None:
        nonlocal inside
        if event in ("call", "c_return") and not inside:
            inside = True
            made.append(client.track("u", "within").message["messageId"])
            inside = False

    def calls() -> None:
        for _ in range(20):
            sys.setprofile(signal_here)
            made.append(client.track("u", "e").message["messageId"])
            sys.setprofile(None)
            # The sender has nothing to do, and sleeps until the next call wakes it.
            recorder.wait_for(lambda: len(recorder.messages) >= len(made))

    thread = threading.Thread(target=calls, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "a call waits for itself"
    assert client.shutdown(10) == 0
    assert sorted(recorder.ids) == sorted(map(str, made))
    assert len(made) > 500


@pytest.mark.e2e
def test_corrupt_records_left_by_a_crash_are_counted_and_the_rest_is_sent(recorder: Recorder, spool_dir: Path) -> None:
    recorder.stop()
    accepted = run(recorder, "[call(n) for n in range(100)]; os._exit(0)")
    recorder.start()
    (path,) = spool_dir.rglob("*.spool")
    lines = path.read_bytes().split(b"\n")
    lines[50] = lines[50].replace(b"track", b"tracK")
    path.write_bytes(b"\n".join(lines) + b"1234abcd {torn")
    out = run(recorder, "client.flush(10); print(dict(client.counts().dropped))")
    assert out == ["{<DropReason.CORRUPT: 'corrupt'>: 2}"]
    assert sorted(recorder.ids) == sorted(accepted[:49] + accepted[50:])
    (kept,) = spool_dir.rglob("set-aside.txt")
    assert b"tracK" in kept.read_bytes()


@pytest.mark.e2e
def test_durable_calls_are_synced_before_they_return(recorder: Recorder, spool_dir: Path) -> None:
    code = """
    synced = []
    real = os.fdatasync
    os.fdatasync = lambda fd: (synced.append(fd), real(fd))
    client = Client("key", sys.argv[1], durable=True)
    for n in range(20):
        call(n)
        assert len(synced) == n + 1
    """
    assert len(run(recorder, code)) == 20
