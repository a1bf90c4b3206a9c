"""The types a user's checker sees: what is right passes, what is wrong is found, line by line."""

import re
import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).with_name("typing_sample.py.txt")
SOURCE = Path(__file__).parents[1] / "src"


def test_mypy_finds_exactly_the_marked_errors(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    text = SAMPLE.read_text()
    sample.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path), sample.name],
        cwd=tmp_path,
        env={"MYPYPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {
        (int(line), code)
        for line, code in re.findall(r"^sample\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    }
    marked = {
        (number, code)
        for number, line in enumerate(text.splitlines(), 1)
        for code in re.findall(r"# error: ([\w-]+)$", line)
    }
    assert found == marked, done.stdout
    assert len(marked) > 10


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "tabard_client" / "py.typed").is_file()
