"""What a role says of itself, and when it counts as running."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tabard.compose.role_status import GONE_S, Heartbeat, beat_age_s, read_status, running_roles


def test_a_role_is_running_from_its_announcement_to_its_end(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, "resolver-1", "127.0.0.1:1")
    heartbeat.beat()
    ((role, age_s),) = running_roles(tmp_path)
    assert (role.name, role.pid, role.address) == ("resolver-1", os.getpid(), "127.0.0.1:1")
    assert age_s < 5
    heartbeat.end()
    assert running_roles(tmp_path) == []
    assert read_status(tmp_path, "resolver-1") is None
    assert beat_age_s(tmp_path, "resolver-1") is None


def test_a_beat_is_cheap_until_half_a_second_is_over(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, "web-1")
    heartbeat.beat()
    os.utime(tmp_path / "web-1.json", (0, 0))
    heartbeat.beat()
    age_s = beat_age_s(tmp_path, "web-1")
    assert age_s is not None
    assert age_s > 1_000


def test_a_role_whose_process_is_gone_does_not_count(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tabard.compose.role_status import Heartbeat; "
        "Heartbeat(Path(sys.argv[1]), 'web-1')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert read_status(tmp_path, "web-1") is not None
    assert running_roles(tmp_path) == []


def test_a_process_number_that_another_program_has_by_now_is_not_taken_for_the_role(tmp_path: Path) -> None:
    Heartbeat(tmp_path, "web-1")
    long_ago_s = time.time() - GONE_S - 1
    os.utime(tmp_path / "web-1.json", (long_ago_s, long_ago_s))
    assert running_roles(tmp_path) == []
