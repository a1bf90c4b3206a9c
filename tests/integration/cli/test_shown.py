"""What `destination add` and `apply` show to people: the words of the command line and of files, not of Python."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make

FILE = """
sources:
  - name: shop
    origins: [https://shop.example]
destinations:
  - name: crm
    destination: webhook
    settings: {url: https://crm.example/in}
    sources: [shop]
    options: {record: all, batch_size: 5}
"""
OF_PYTHON = ("True", "False", "None", "{'", "['", "[]", "{}", "('")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return open_or_make(tmp_path / "data", {}, SystemClock()).installation.data


def shown(data: Path, *words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_added_destination_is_shown_in_words_that_the_command_line_takes(data: Path) -> None:
    words = [
        "destination",
        "add",
        "webhook",
        "crm",
        "--set",
        "url=https://crm.example/in",
        "--set",
        'headers={"a":"b"}',
    ]
    text = shown(data, *words, "--source", "default", "--option", "record=all", "--option", "batch_size=5")
    lines = dict(line.split(None, 1) for line in text.splitlines())
    assert lines["enabled"] == "yes"
    assert lines["sources"] == "default"
    assert lines["options"] == "record=all batch_size=5"
    assert "url=https://crm.example/in" in lines["settings"]
    assert [each for each in OF_PYTHON if each in text] == []


def test_a_dry_run_says_the_same_each_time_and_what_it_says_comes_true(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "tabard.yaml"
    file.write_text(FILE)
    first = shown(data, "apply", str(file), "--dry-run")
    assert shown(data, "apply", str(file), "--dry-run") == first
    assert shown(data, "apply", str(file)) == first.replace("would change", "changed")
    assert "sources[0]: (none) → shop" in first
    assert [each for each in (*OF_PYTHON, "src_", "dst_", "sub_") if each in first] == []


def test_the_list_of_sources_shows_each_browser_sources_snippet_on_a_line_of_its_own(data: Path) -> None:
    shown(data, "source", "add", "shop", "--kind", "browser")
    lines = shown(data, "source", "list").splitlines()
    at = lines.index("In the <head> of the pages of shop:")
    assert lines[at - 1] == ""
    assert lines[at + 1].startswith("<script")
