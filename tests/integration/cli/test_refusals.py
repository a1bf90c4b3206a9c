"""What the command line refuses by name, and what `tabard status` says of what it cannot use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make

Run = Callable[..., tuple[int, Any]]
HOOK = ("destination", "add", "webhook", "crm", "--set", "url=https://crm.example/in")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return open_or_make(tmp_path / "data", {}, SystemClock()).installation.data


@pytest.fixture
def run(data: Path) -> Run:
    """Runs a command on the folder; its exit code and JSON document."""

    def run(*words: str) -> tuple[int, Any]:
        result = CliRunner().invoke(main, [*words, "--data", str(data), "--json"])
        return result.exit_code, json.loads(result.stdout)

    return run


def refusal(answer: tuple[int, Any]) -> str:
    code, document = answer
    assert code != 0
    return str(document["error"]["message"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            {"type": "cut", "a": "user:x"},
            'it names no `b`; write it as {"type": "cut", "a": "user:u1", "b": "anon:a1"}',
        ),
        ({"type": "cut", "a": 5, "b": "user:x"}, "5 cannot be its `a`; write it as"),
        ({"type": "cut", "a": "user:y", "b": "user:x", "until": "soon"}, "`until` 'soon' is no time; write ISO 8601"),
        ({"type": "delete"}, 'it names no `ids`; write it as {"type": "delete", "ids": ["user:u1"]}'),
        ({"type": "delete", "ids": "user:x"}, "'user:x' cannot be its `ids`; write it as"),
        ({"type": "suppress", "ids": ["x"]}, "'x' is no identifier; write user:ID"),
        ({"type": []}, "type [] is no call and no control; there are identify, track"),
        ([], "it is no JSON object"),
    ],
)
def test_a_line_that_cannot_be_resolved_is_named_by_its_place_in_the_file_with_the_fix(
    tmp_path: Path, line: Any, says: str
) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text(f'\n{{"type": "page", "anonymousId": "a"}}\n\n{json.dumps(line)}\n')
    result = CliRunner().invoke(main, ["resolve", str(file), "--json"])
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["code"]) == (2, "line_unreadable")
    assert error["message"].startswith("line 4: ")
    assert says in error["message"]


def test_an_identifier_is_not_cut_from_itself_in_whatever_spelling(run: Run) -> None:
    assert "no link with itself" in refusal(run("profile", "split", "user:u1", "user:u1"))
    assert "no link with itself" in refusal(run("profile", "unsplit", "email:a@x.io", "email:A@X.io"))


def test_a_start_and_an_option_that_mean_nothing_are_refused_also_in_the_file(run: Run, tmp_path: Path) -> None:
    assert "start is 'yesterday'" in refusal(run(*HOOK, "--start", "yesterday"))
    assert "there is no option 'recrod'; there are record," in refusal(run(*HOOK, "--option", "recrod=all"))
    file = tmp_path / "tabard.yaml"
    file.write_text(
        "version: 1\ndestinations:\n- {name: crm, destination: webhook, settings: {url: 'https://x.io'}, "
        "options: {batch: 3}}\n"
    )
    assert "there is no option 'batch'" in refusal(run("apply", str(file)))
    assert run("destination", "list") == (0, {"destinations": []})


@pytest.mark.parametrize("url", ["https://user:pass@crm.example/in", "https://token@crm.example"])
def test_credentials_in_a_url_that_is_shown_are_refused(run: Run, url: str) -> None:
    text = refusal(run("destination", "add", "webhook", "crm", "--set", f"url={url}"))
    assert "url: holds a user name or password, which would be shown" in text
    assert "pass@" not in text


def test_status_names_a_plugin_that_cannot_be_loaded(run: Run, data: Path) -> None:
    (data / "plugins").mkdir(exist_ok=True)
    (data / "plugins" / "mine.py").write_text("import nothing_of_that_name\n")
    _, document = run("status")
    [warning] = [each for each in document["warnings"] if each["code"] == "plugin_broken"]
    assert "mine.py" in warning["message"]
    assert "ModuleNotFoundError" in warning["message"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--since", "2999-01-01"], "begins in the future"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "is empty"),
        (["--since", "2026-01-01", "--trigger", "type ="], "expected"),
    ],
)
def test_a_replay_that_would_send_nothing_is_refused(run: Run, words: list[str], reason: str) -> None:
    run(*HOOK)
    assert reason in refusal(run("replay", "start", "crm", *words))


def test_a_replay_waits_on_disk_for_the_deliverer(run: Run, data: Path) -> None:
    run(*HOOK)
    code, _ = run("replay", "start", "crm", "--since", "2026-01-01")
    assert code == 0
    (order,) = (data / "orders").iterdir()
    assert b'"since":1767225600000' in order.read_bytes()
