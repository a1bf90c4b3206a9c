"""What end-to-end tests find on the machine or fetch once: Node packages, Chromium."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parent / "sdks" / "node"


@pytest.fixture(scope="session")
def node_packages() -> str:
    """Node, with the packages of `sdks/node` installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("needs Node.js 20 and npm on PATH (Debian: apt-get install nodejs npm)")
    # Tests run in several processes: one fetches, the others wait for it.
    with (NODE / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (NODE / "node_modules" / ".package-lock.json").exists():
            subprocess.run([npm, "ci", "--silent"], cwd=NODE, check=True, timeout=180)
    return node


@pytest.fixture(scope="session")
def chromium() -> str:
    """A real Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("needs Chromium on PATH (Debian: apt-get install chromium)")
    return found
