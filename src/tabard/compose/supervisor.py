"""Runs the roles as child processes: starts them again when they die or hang, stops them in order on SIGTERM."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from tabard.compose.exclusive import is_held
from tabard.compose.role_process import SUPERVISED
from tabard.compose.role_status import BEAT_S, Supervised, SupervisedRole, beat_age_s, held_file, read_status
from tabard.compose.supervision import is_crash_loop, is_hung, recent, restart_delay_s
from tabard.settings import without_settings
from tabard.telemetry.logging import logger

READY_S: Final = 15.0
"""After so long the start counts as done, even where a role is not up: what is to be shown must be shown."""

_MALLOC: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc would keep an arena a thread, and what a large batch once took: a tenth of a role's memory, measured."""


@dataclass(frozen=True, slots=True)
class Role:
    """One child: its name (`resolver-1`) and the arguments after `tabard`."""

    name: str
    arguments: tuple[str, ...]


@dataclass(slots=True)
class _Child:
    role: Role
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    start_at_s: float = 0.0
    deaths_s: list[float] = field(default_factory=list)
    restarts: int = 0
    last_exit: str = ""
    is_asked_to_end: bool = False


class Supervisor:
    """The parent of all roles. `roles` are started in order and stopped in order: the door closes first.

    Each role holds the open file `lock` as well, which so stays locked until the last of them is gone.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        run: Path,
        *,
        lock: int,
        hung_after_s: float,
        stop_s: float,
        on_ready: Callable[[], None],
    ) -> None:
        """`stop_s`: how long a role may take to drain before it is killed."""
        self._children = [_Child(role) for role in roles]
        self._run = run
        self._lock = lock
        self._hung_after_s = hung_after_s
        self._stop_s = stop_s
        self._on_ready: Callable[[], None] | None = on_ready
        self._stopping = False
        self._began_s = time.monotonic()

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT, then stops every role and returns."""
        with self._signals() as woken:
            try:
                while not self._stopping:
                    self._turn()
                    select.select([woken], [], [], BEAT_S / 2)
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
            finally:
                self._stop()

    def _turn(self) -> None:
        now_s = time.monotonic()
        for child in self._children:
            is_wanted = not is_held(held_file(self._run, child.role.name))
            if child.process is None:
                if is_wanted and now_s >= child.start_at_s:
                    self._start(child, now_s)
            elif child.process.poll() is not None:
                self._buried(child, now_s)
            elif not is_wanted:
                child.is_asked_to_end = True
                child.process.terminate()
            elif is_hung(
                beat_age_s=beat_age_s(self._run, child.role.name),
                up_s=now_s - child.started_s,
                limit_s=self._hung_after_s,
            ):
                logger().error("supervisor.role.hung", role_name=child.role.name, pid=child.process.pid)
                child.process.kill()
        if self._on_ready is not None and (
            now_s - self._began_s > READY_S or all(self._is_up(child) for child in self._children)
        ):
            self._on_ready()
            self._on_ready = None

    def _start(self, child: _Child, now_s: float) -> None:
        (self._run / f"{child.role.name}.json").unlink(missing_ok=True)
        environment = {**_MALLOC, **without_settings(os.environ), SUPERVISED: "yes"}
        child.process = subprocess.Popen(  # noqa: S603 (our own command line)
            [sys.executable, "-m", "tabard", *child.role.arguments],
            env=environment,
            # Nothing is ever written: it ends when this process does, and with it the role.
            stdin=subprocess.PIPE,
            pass_fds=(self._lock,),
            # A Ctrl-C in the terminal is for the supervisor, which stops the roles in order.
            start_new_session=True,
        )
        child.started_s = now_s
        logger().debug("supervisor.role.started", role_name=child.role.name, pid=child.process.pid)
        self._publish()

    def _buried(self, child: _Child, now_s: float) -> None:
        # Whoever held the role may have let it go again while it ended.
        if child.is_asked_to_end and child.process:
            _close_pipe(child.process)
            child.process = None
            child.is_asked_to_end = False
            logger().info("supervisor.role.held", role_name=child.role.name)
            return
        code = child.process.returncode if child.process else 0
        child.last_exit = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        _close_pipe(child.process)
        child.process = None
        child.deaths_s = [*recent(child.deaths_s, now_s), now_s]
        child.restarts += 1
        delay_s = restart_delay_s(len(child.deaths_s))
        child.start_at_s = now_s + delay_s
        event = "supervisor.crash_loop" if is_crash_loop(len(child.deaths_s)) else "supervisor.role.died"
        logger().error(event, role_name=child.role.name, last_exit=child.last_exit, again_in_s=delay_s)
        self._publish()

    def _is_up(self, child: _Child) -> bool:
        status = read_status(self._run, child.role.name)
        if status is None or child.process is None:
            return False
        return status.is_ready and status.pid == child.process.pid

    def _stop(self) -> None:
        for child in self._children:
            process = child.process
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(self._stop_s)
            except subprocess.TimeoutExpired:
                logger().error("supervisor.role.killed", role_name=child.role.name, waited_s=self._stop_s)
                process.kill()
                process.wait()
            _close_pipe(process)
        (self._run / "supervisor.json").unlink(missing_ok=True)

    def _publish(self) -> None:
        now_s = time.monotonic()
        known = tuple(
            SupervisedRole(
                name=child.role.name,
                restarts=child.restarts,
                crash_looping=is_crash_loop(len(recent(child.deaths_s, now_s))),
                last_exit=child.last_exit,
            )
            for child in self._children
        )
        partial = self._run / ".supervisor.json"
        try:
            partial.write_bytes(msgspec.json.encode(Supervised(pid=os.getpid(), roles=known)))
            partial.replace(self._run / "supervisor.json")
        except OSError as problem:
            # On a full disk the roles have to be kept alive all the more.
            logger().warning("supervisor.status.unwritten", problem=str(problem))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Wakes `select` for a dead child, and for the wish to stop."""
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self._stopping = True

        before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(-1)
            for number, action in before.items():
                signal.signal(number, action)
            os.close(woken)
            os.close(wake)


def _close_pipe(process: subprocess.Popen[bytes] | None) -> None:
    if process and process.stdin:
        process.stdin.close()
