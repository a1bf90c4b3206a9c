"""The browser client's own tests (clients/browser/test), run with Node and Debian's chromium."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[3] / "clients" / "browser"
CHROMIUM = os.environ.get("E2E_CHROMIUM", "/usr/bin/chromium")
INSTALL_TIMEOUT_S = 120
TESTS_TIMEOUT_S = 400

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node 20 with npm: apt-get install nodejs npm"),
]


def npm(*arguments: str, timeout_s: int) -> None:
    environment = {**os.environ, "E2E_TABARD": str(Path(sys.executable).with_name("tabard"))}
    done = subprocess.run(
        ["npm", *arguments], cwd=CLIENT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """The packages of package-lock.json and the npm package of the client, fetched and built once."""
    if not (CLIENT / "node_modules").is_dir():
        npm("ci", timeout_s=INSTALL_TIMEOUT_S)
    built = CLIENT / "dist" / "index.js"
    changed = max(source.stat().st_mtime for source in (CLIENT / "src").iterdir())
    if not built.exists() or built.stat().st_mtime < changed:
        npm("run", "build", timeout_s=INSTALL_TIMEOUT_S)


def test_types_and_pure_parts_hold() -> None:
    npm("test", timeout_s=TESTS_TIMEOUT_S)


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs chromium: apt-get install chromium, or E2E_CHROMIUM")
def test_every_behaviour_holds_in_chromium_against_a_real_tabard() -> None:
    npm("run", "test:e2e", timeout_s=TESTS_TIMEOUT_S)
