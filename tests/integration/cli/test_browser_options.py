"""A browser source's load options and snippet, through the command line and a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.collector.browser_assets import MANIFEST
from tabard.compose.first_start import open_or_make

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command on a new folder; its JSON document."""
    data = open_or_make(tmp_path / "data", {}, SystemClock()).installation.data

    def run(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, [*words, "--data", str(data), "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


def test_a_browser_source_is_given_load_options_and_shows_its_snippet_and_integrity(run: Run, tmp_path: Path) -> None:
    made = run("source", "add", "shop", "--kind", "browser", "--browser-options", '{"spa": true, "global": "cio"}')
    assert made["browserOptions"] == {"spa": True, "global": "cio"}
    assert made["snippet"].startswith("<script>")
    assert made["writeKey"] in made["snippet"]
    assert '"cio"' in made["snippet"]
    assert made["integrity"] == MANIFEST.integrity
    assert made["immutableScript"].endswith(f"/v1/js/{MANIFEST.version}/{MANIFEST.hash}.js")
    (tmp_path / "options.json").write_text('{"idCookie": true}')
    changed = run("source", "set", "shop", "--browser-options", str(tmp_path / "options.json"))
    assert changed["browserOptions"] == {"idCookie": True}
    assert [each.get("browserOptions") for each in run("source", "list")["sources"]] == [None, {"idCookie": True}]


@pytest.mark.parametrize(
    ("kind", "options"), [("browser", '{"spaa": 1}'), ("browser", "{broken"), ("server", '{"spa": true}')]
)
def test_options_that_cannot_be_are_named_and_add_nothing(run: Run, kind: str, options: str) -> None:
    answer = run("source", "add", "shop", "--kind", kind, "--browser-options", options, code=2)
    assert answer["error"]["code"] == "browser_options_invalid"
    assert [each["name"] for each in run("source", "list")["sources"]] == ["default"]


def test_a_file_declares_them_and_an_export_has_them(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tabard.yaml"
    file.write_text("sources: [{name: shop, kind: browser, browser_options: {spa: true}}]")
    run("apply", str(file))
    exported = {each["name"]: each for each in run("export")["sources"]}
    assert exported["shop"]["browser_options"] == {"spa": True}
    file.write_text("sources: [{name: shop, kind: browser, browser_options: {spaa: true}}]")
    assert run("apply", str(file), code=2)["error"]["code"] == "declaration_invalid"
