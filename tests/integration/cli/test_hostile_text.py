"""What strangers send, as operators read it in a shell: one line stays one line, and nothing steers the terminal."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tabard.cli import main
from tabard.commands import frame
from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, eventually, running
from tests.e2e.receiver import receiving

HOSTILE = "\x1b]0;pwned\x07E\nFAKE LINE\x9b2J\r\u202egnp\u2028FAKE LINE"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]")
ENVIRON = {"TABARD_EGRESS_PRIVATE": "true", "TABARD_DISK_FLOOR_BYTES": "1"}
TRACK = {"type": "track", "userId": HOSTILE, "messageId": "m1", "event": HOSTILE, "properties": {"p": HOSTILE}}
IDENTIFY = {"userId": HOSTILE, "anonymousId": "a1", "messageId": "m2", "traits": {HOSTILE: HOSTILE, "plan": HOSTILE}}


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose one person, calls, refusals and dead letters are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    with receiving(FaultyDestination(status=400)) as hook, running(folder / "data", environ=ENVIRON) as installation:
        installation.tabard("destination", "add", "webhook", "crm", "--set", f"url={hook.url}", "--start", "beginning")
        installation.send("/v1/track", TRACK)
        installation.send("/v1/identify", IDENTIFY)
        installation.send("/v1/batch", {"batch": [{"type": HOSTILE, "userId": "u"}, {**TRACK, "messageId": HOSTILE}]})
        assert eventually(lambda: len(dict(installation.tabard("dead-letter", "list"))["deadLetters"]) == 3)
        yield installation


COMMANDS = (
    ["tail", "--no-follow"],
    ["trace", "m1"],
    ["trace", "m1", "--verbose"],
    ["trace", HOSTILE],
    ["profile", "show", "anon:a1"],
    ["profile", "explain", "anon:a1"],
    ["profile", "history", "anon:a1", "plan"],
    ["profile", "history", "anon:a1", HOSTILE],
    ["profile", "timeline", "anon:a1"],
    ["profile", "show", HOSTILE + "x"],
    ["profile", "suppress", "user:" + HOSTILE],
    ["rejected"],
    ["usage"],
    ["status"],
    ["doctor"],
    ["dead-letter", "list"],
    ["dead-letter", "show", "crm", "1:0"],
    ["destination", "show", "crm"],
    ["source", "show", HOSTILE],
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_no_command_lets_what_was_sent_steer_the_terminal_or_begin_a_line(
    tabard: Installation, words: list[str]
) -> None:
    harmless(CliRunner().invoke(main, [*words, "--data", str(tabard.data)]).output)


def test_a_preview_and_a_trial_of_the_rules_are_as_harmless(tmp_path: Path) -> None:
    call = tmp_path / "call.jsonl"
    call.write_text(json.dumps(TRACK) + "\n")
    words = ["preview", "webhook", "--settings", "url=https://x.example/in", "--event", str(call)]
    harmless(CliRunner().invoke(main, [*words, "--data", str(tmp_path / "none")]).output)
    harmless(CliRunner().invoke(main, ["resolve", str(call)]).output)


def test_only_what_is_ours_or_a_format_s_is_printed_past_the_frame() -> None:
    folder = Path(frame.__file__).parent
    past = {file.name for file in folder.glob("*.py") if "click.echo(" in file.read_text("utf-8")}
    assert past == {"frame.py", "serve.py", "configuration.py"}, (
        "print with `print_line`, `print_table` or `print_json`"
    )


def test_the_sender_s_text_is_still_there_to_be_read(tabard: Installation) -> None:
    shown = CliRunner().invoke(main, ["tail", "--no-follow", "--data", str(tabard.data)]).output
    assert r"\x1b]0;pwned\x07E\nFAKE LINE\x9b2J\r\u202egnp\u2028FAKE LINE" in shown


def test_an_explanation_names_the_message_that_linked(tabard: Installation) -> None:
    shown = CliRunner().invoke(main, ["profile", "explain", "anon:a1", "--data", str(tabard.data)]).output
    assert "    message m2, source default, 20" in shown


def test_a_trace_has_a_short_line_an_attempt_and_bodies_only_when_asked(tabard: Installation) -> None:
    short = CliRunner().invoke(main, ["trace", "m2", "--data", str(tabard.data)]).output
    assert re.search(r"^  attempt   20\S+ dead http_400 .* after \d+ ms$", short, re.MULTILINE), short
    assert "POST http" not in short
    whole = CliRunner().invoke(main, ["trace", "m2", "--verbose", "--data", str(tabard.data)]).output
    assert "    POST http" in whole


def test_refused_calls_are_shown_with_the_name_of_their_source(tabard: Installation) -> None:
    shown = CliRunner().invoke(main, ["rejected", "--data", str(tabard.data)]).output
    assert re.search(r"^20\S+  default  ", shown, re.MULTILINE), shown


def harmless(output: str) -> None:
    assert output
    assert not STEERING.search(output), ascii(output)
    assert not [line for line in output.split("\n") if line.startswith("FAKE")]
