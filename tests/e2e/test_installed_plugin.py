"""The documented destination as a package that pip installs: the program finds it and shows what it would send."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-destination.md").read_text("utf-8")
BUILD = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "plausible-crm"
version = "1.0"

[tool.hatch.build.targets.wheel]
include = ["plausible_crm.py"]
"""


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder into which pip has installed the package of the page."""
    source = tmp_path / "package"
    source.mkdir()
    (source / "pyproject.toml").write_text(BUILD + block("toml"), "utf-8")
    (source / "plausible_crm.py").write_text(block("python"), "utf-8")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--target", str(tmp_path / "site"))
    command = [sys.executable, "-m", "pip", "install", *offline, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return tmp_path / "site"


def tabard(site: Path, data: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "tabard", *arguments, "--data", str(data), "--json"]
    environ = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_a_destination_in_an_installed_package_can_be_added_and_previewed(site: Path, tmp_path: Path) -> None:
    data = open_or_make(tmp_path / "data", {}, SystemClock()).installation.data
    event = tmp_path / "event.json"
    event.write_text('{"type": "identify", "userId": "u1", "traits": {"email": "ann@example.com"}}', "utf-8")
    settings = ("--set", "url=https://crm.example", "--set", "token=secret-token")
    tabard(site, data, "destination", "add", "plausible-crm", "crm", *settings)
    [request] = tabard(site, data, "preview", "crm", "--event", str(event))
    assert request["url"].startswith("https://crm.example/")
    assert "secret-token" not in json.dumps(request)
