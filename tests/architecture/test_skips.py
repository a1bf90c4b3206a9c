"""A skipped test does not pass for a green one in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
CASES = """
import pytest
def test_bare(): pytest.skip("no fast disk")
@pytest.mark.skip(reason="later")
def test_marked(): pass
def test_sound(): pass
"""


def run(folder: Path, allowed: str, *, ci: bool) -> subprocess.CompletedProcess[str]:
    (folder / ".ci").mkdir()
    (folder / ".ci" / "allowed-skips").write_text(allowed)
    tests = folder / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(CONFTEST.read_text("utf-8"))
    (tests / "test_cases.py").write_text(CASES)
    environ = {**os.environ, "CI": "1" if ci else "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), "-c", os.devnull, str(tests)]
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False, cwd=folder)


@pytest.mark.parametrize(
    ("allowed", "ci", "code", "named"),
    [
        ("", False, 0, 0),
        ("", True, 1, 2),
        ("tests/test_cases.py::test_bare | no fast disk\n", True, 1, 1),
        ("tests/test_cases.py::* | another reason\n", True, 1, 2),
        ("# why\ntests/test_cases.py::test_bare | no fast\ntests/*marked | later\n", True, 0, 0),
    ],
)
def test_a_skip_fails_the_run_unless_it_is_named_with_its_reason(
    tmp_path: Path, allowed: str, ci: bool, code: int, named: int
) -> None:
    done = run(tmp_path, allowed, ci=ci)
    assert (done.returncode, done.stdout.count("SKIPPED WITHOUT LEAVE")) == (code, named), done.stdout
