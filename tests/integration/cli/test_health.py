"""`tabard health`, the health check of the image: it finds the collector wherever the settings put it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tabard.testing.installation import running


def health(data: Path, *words: str) -> tuple[int, dict[str, object]]:
    """The exit code and the document; the folder comes from the environment, as in the image."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TABARD_")}
    done = subprocess.run(
        [sys.executable, "-m", "tabard", "health", "--json", *words],
        env=environ | {"TABARD_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    document: dict[str, object] = json.loads(done.stdout)
    return done.returncode, document


@pytest.mark.parametrize("is_tls", [False, True])
def test_the_collector_and_the_web_role_are_found_on_any_port_with_and_without_tls(
    tmp_path: Path, is_tls: bool
) -> None:
    options = []
    if is_tls:
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=data.example.com -keyout k.pem -out c.pem"
        subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
        options = ["--tls-cert", str(tmp_path / "c.pem"), "--tls-key", str(tmp_path / "k.pem")]
    with running(tmp_path / "data", *options) as tabard:
        assert health(tabard.data) == (0, {"role": "collector-1", "url": tabard.collector, "ok": True})
        assert health(tabard.data, "--role", "web") == (0, {"role": "web-1", "url": tabard.web, "ok": True})
    code, document = health(tmp_path / "data")
    assert code == 5
    assert "no collector runs" in str(document["error"])


def test_a_collector_that_hangs_is_not_healthy_within_the_time_of_the_check(tmp_path: Path) -> None:
    with running(tmp_path / "data") as tabard:
        pid = json.loads((tabard.data / "run" / "collector-1.json").read_text("utf-8"))["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            code, document = health(tabard.data)
            assert time.monotonic() - began_s < 8
        finally:
            os.kill(pid, signal.SIGCONT)
    assert code == 5
    assert "no answer from" in str(document["error"])


def test_a_folder_without_an_installation_is_not_healthy(tmp_path: Path) -> None:
    assert health(tmp_path)[0] == 5
