"""The command line as a whole: every command has help with an example, `--json`, and one shape of failure."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tabard.cli import COMMANDS, main


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))
    else:
        yield path, command


LEAVES = [pytest.param(path, command, id=" ".join(path)) for path, command in walk(main, ())]


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_every_command_says_what_it_does_shows_an_example_and_prints_json(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert command.help, path
    assert command.epilog is not None
    assert "Example:" in command.epilog
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_every_example_is_a_call_that_the_command_understands(path: tuple[str, ...], command: click.Command) -> None:
    assert command.epilog is not None
    lines = [line.strip() for line in command.epilog.splitlines() if " tabard " in f" {line}"]
    assert lines
    for line in lines:
        call = shlex.split(line.split("|")[-1].split(">")[0])
        words = call[call.index("tabard") + 1 :]
        assert tuple(words[: len(path)]) == path
        command.make_context(path[-1], words[len(path) :], parent=click.Context(main, **main.context_settings))


def test_the_list_of_commands_is_the_one_shown_and_each_loads() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.about in shown


def test_help_loads_no_command_and_no_library_that_is_slow() -> None:
    code = (
        "import sys; from tabard.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'apsw', 'aiohttp', 'uvicorn', 'starlette', 'yaml', 'cryptography', 'structlog', 'rich', 'liquid'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_failure_is_one_line_with_a_name_and_a_fix_on_standard_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["source", "list", "--data", str(tmp_path)])
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr.startswith("tabard: no_installation: ")
    assert "tabard serve" in result.stderr


def test_with_json_a_failure_is_one_document_on_standard_output(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["source", "list", "--json", "--data", str(tmp_path)])
    assert result.exit_code == 4
    assert json.loads(result.stdout)["error"]["code"] == "no_installation"
    assert result.stderr == ""


@pytest.mark.parametrize(
    "words", [["nonsense"], ["source", "add"], ["source", "add", "a", "--kind", "app"], ["serve", "--set", "x"]]
)
def test_a_call_that_is_not_understood_is_a_usage_failure(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert result.stderr.startswith("tabard: usage: ")


def test_settings_that_do_not_hold_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = tmp_path / "data"
    result = CliRunner().invoke(main, ["serve", "--data", str(data), "--collect", "0.0.0.0:7070"])
    assert result.exit_code == 2
    assert "settings_invalid" in result.stderr
    assert "public_url" in result.stderr
    assert not data.exists()
