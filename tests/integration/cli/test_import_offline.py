"""An import while nothing runs: what it reports, and what else wants the admin partition meanwhile."""

import json
import subprocess
import sys
import time
from pathlib import Path

from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.controls import Controls
from tabard.compose.first_start import open_or_make
from tabard.testing.installation import eventually, running


def test_a_control_and_a_started_serve_find_the_partition_free_while_an_import_waits_for_its_next_line(
    tmp_path: Path,
) -> None:
    made = open_or_make(tmp_path / "data", {}, SystemClock()).installation
    command = [sys.executable, "-m", "tabard", "import", "-", "--data", str(made.data)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin
        lines = b'{"type": "identify", "userId": "first"}\n' + b'{"type": "identify", "userId": "next"}\n' * 999
        process.stdin.write(lines + b'{"type": "identify", "userId": "last"}\n')
        process.stdin.flush()
        assert eventually(lambda: list(made.log.glob("0/*.segment")))
        began_s = time.monotonic()
        Controls(made, SystemClock()).append({"type": "suppress", "ids": ["user:gone"]})
        assert time.monotonic() - began_s < 5
        with running(made.data) as tabard:
            printed, _ = process.communicate(timeout=30)
            assert printed == b"1001 accepted, 0 rejected\n"
            assert eventually(lambda: tabard.get("/api/status")["books"]["stored"] == 1002)
    finally:
        process.kill()
        process.communicate()


def test_refused_lines_are_reported_in_their_order_whatever_is_wrong_with_each(tmp_path: Path) -> None:
    made = open_or_make(tmp_path / "data", {}, SystemClock()).installation
    nameless, sound = '{"type": "track", "userId": "u1"}', '{"type": "identify", "userId": "u1"}'
    lines = [sound, nameless, "no json", sound, *[nameless, "[]"] * 12]
    file = tmp_path / "calls.jsonl"
    file.write_text("\n".join(lines))
    result = CliRunner().invoke(main, ["import", str(file), "--data", str(made.data), "--json"])
    report = json.loads(result.stdout)
    assert (report["accepted"], report["rejected"]) == (2, 26)
    assert [each["line"] for each in report["refused"]] == [2, 3, *range(5, 23)]
    assert [each["code"] for each in report["refused"]][:3] == [
        "event_not_defined",
        "invalid_json",
        "event_not_defined",
    ]
