"""Sources, destinations, apply and export through the command line, on a real data folder."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tabard.cli import main
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make

Run = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return open_or_make(tmp_path / "data", {}, SystemClock()).installation.data


@pytest.fixture
def run(data: Path) -> Run:
    """Runs a command on the folder; its JSON document."""

    def run(*words: str, code: int = 0, environ: dict[str, str] | None = None) -> Any:
        result = CliRunner(env=environ).invoke(main, [*words, "--data", str(data), "--json"])
        assert result.exit_code == code, result.output
        assert result.stderr == ""
        return json.loads(result.stdout)

    return run


def test_a_source_is_added_with_a_key_and_listed_rotated_disabled(run: Run) -> None:
    made = run("source", "add", "shop", "--kind", "browser", "--permissive", "--origin", "https://shop.example")
    assert (made["kind"], made["permissive"], made["origins"]) == ("browser", True, ["https://shop.example"])
    assert len(made["writeKey"]) == 20
    assert [each["name"] for each in run("source", "list")["sources"]] == ["default", "shop"]
    rotated = run("source", "rotate", "shop")
    assert rotated["writeKey"] != made["writeKey"]
    assert run("source", "disable", "shop")["enabled"] is False
    assert run("source", "enable", "shop")["enabled"] is True


def test_a_source_may_take_over_a_key_that_clients_have(run: Run) -> None:
    assert run("source", "add", "old", "--write-key", "abc123")["writeKey"] == "abc123"
    assert run("source", "add", "other", "--write-key", "abc123", code=2)["error"]["code"] == "name_taken"


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["source", "disable", "none"], 3, "source_unknown"),
        (["source", "add", "default"], 2, "name_taken"),
        (["source", "add", "a/b"], 2, "name_invalid"),
        (["destination", "add", "nothing", "a"], 2, "declaration_invalid"),
        (["destination", "add", "webhook", "a"], 2, "declaration_invalid"),
        (["destination", "add", "webhook", "a", "--set", "urll=x"], 2, "declaration_invalid"),
        (["destination", "add", "webhook", "a", "--set", "url=https://x", "--source", "no"], 2, "declaration_invalid"),
        (["destination", "test", "none"], 3, "destination_unknown"),
        (["apply", "none.yaml"], 3, "file_missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_named_and_changes_nothing(run: Run, words: list[str], code: int, name: str) -> None:
    before = run("export")
    assert run(*words, code=code)["error"]["code"] == name
    assert run("export") == before


def add_hook(run: Run) -> Any:
    return run(
        "destination", "add", "webhook", "crm", "--set", "url=https://crm.example/in", "--set", "secret=hush",
        "--set", 'headers={"x-api-key": "k"}', "--source", "default", "--start", "beginning", "--option", "record=all",
    )  # fmt: skip


def test_a_destination_starts_with_its_presets_and_never_shows_its_secrets(run: Run, data: Path) -> None:
    made = add_hook(run)
    assert made["settings"]["url"] == "https://crm.example/in"
    assert "hush" not in json.dumps([made, run("destination", "list"), run("export")])
    assert [each["action"] for each in made["subscriptions"]] == ["send"]
    assert made["options"] == {"record": "all"}
    for path in (data / "workspace.db", data / "workspace.db-wal"):
        assert not path.exists() or b"hush" not in path.read_bytes()


def test_changing_one_setting_keeps_the_others_and_makes_a_new_version(run: Run) -> None:
    add_hook(run)
    changed = run("destination", "set", "crm", "--set", "url=https://crm.example/v2")
    assert (changed["settings"]["url"], changed["version"]) == ("https://crm.example/v2", 2)
    assert set(changed["settings"]) == {"url", "secret", "headers"}
    assert run("destination", "disable", "crm")["version"] == 3
    options = ("--option", "record=all", "--option", "rate_per_s=5")
    changed = run("destination", "set", "crm", "--set", "headers=", *options)
    assert set(changed["settings"]) == {"url", "secret"}
    assert changed["options"] == {"record": "all", "rate_per_s": 5}
    assert run("destination", "set", "crm", "--option", "record=")["options"] == {"rate_per_s": 5}
    assert run("destination", "remove", "crm")["removed"] == "crm"
    assert run("destination", "list") == {"destinations": []}


def test_an_export_can_be_applied_here_without_a_change_and_elsewhere_with_the_secrets(
    run: Run, data: Path, tmp_path: Path
) -> None:
    add_hook(run)
    file = tmp_path / "tabard.yaml"
    file.write_text(yaml.safe_dump(run("export", "--write-keys")))
    assert run("apply", str(file))["changes"] == []

    other = open_or_make(tmp_path / "other", {}, SystemClock()).installation.data
    words = ["apply", str(file), "--prune", "--data", str(other), "--json"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    message = json.loads(refused.stdout)["error"]["message"]
    assert "CRM_SECRET" in message
    assert "CRM_HEADERS" in message
    secrets = {"CRM_SECRET": "hush", "CRM_HEADERS": '{"x-api-key": "k"}'}
    applied = CliRunner(env=secrets).invoke(main, words)
    assert applied.exit_code == 0, applied.output
    changes = json.loads(applied.stdout)["changes"]
    assert [(each["change"], each["name"]) for each in changes] == [("change", "default"), ("add", "crm")]


def test_a_dry_run_shows_the_difference_and_changes_nothing(run: Run, tmp_path: Path) -> None:
    add_hook(run)
    document = run("export")
    document["destinations"][0]["enabled"] = False
    document["sources"].append({"name": "app"})
    file = tmp_path / "tabard.yaml"
    file.write_text(yaml.safe_dump(document))
    shown = run("apply", str(file), "--dry-run")
    assert shown["applied"] is False
    assert [(each["change"], each["name"]) for each in shown["changes"]] == [("add", "app"), ("change", "crm")]
    assert shown["changes"][1]["differences"] == ["enabled: true → false"]
    assert [each["name"] for each in run("source", "list")["sources"]] == ["default"]


def test_one_wrong_destination_keeps_the_whole_file_from_being_applied(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tabard.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "sources": [{"name": "app"}],
                "destinations": [
                    {
                        "name": "crm",
                        "destination": "webhook",
                        "settings": {"url": "https://crm.example"},
                        "subscriptions": [{"action": "send", "subscribe": 'type = "track" and'}],
                    }
                ],
            }
        )
    )
    assert run("apply", str(file), code=2)["error"]["code"] == "declaration_invalid"
    assert [each["name"] for each in run("source", "list")["sources"]] == ["default"]


def test_every_setting_is_listed_with_its_value_and_origin() -> None:
    result = CliRunner(env={"TABARD_COLLECTORS": "3"}).invoke(main, ["settings", "--json", "--log-level", "ERROR"])
    document = json.loads(result.stdout)
    assert (document["collectors"]["value"], document["collectors"]["origin"]) == (3, "environment")
    assert (document["log_level"]["value"], document["log_level"]["origin"]) == ("ERROR", "flag")
    assert document["web"]["origin"] == "default"


def test_lines_are_imported_into_the_log_while_no_collector_runs_and_only_once(
    run: Run, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "calls.jsonl"
    lines = [json.dumps({"type": "identify", "userId": f"u{number}"}) for number in range(2500)]
    file.write_text("\n".join([*lines, "no json", '{"type": "track", "userId": "u1"}', ""]) + "\n")
    result = run("import", str(file), code=1)
    assert (result["accepted"], result["rejected"]) == (2500, 2)
    assert [(each["line"], each["code"]) for each in result["refused"]] == [
        (2501, "invalid_json"),
        (2502, "event_not_defined"),
    ]
    status = run("status", code=5)
    assert status["log"]["partitions"] == [{"partition": 0, "start": 0, "end": 2500, "resolved": 0}]


def test_a_control_is_kept_in_the_log_and_a_wrong_one_is_refused_by_name(run: Run) -> None:
    suppressed = run("profile", "suppress", "user:u1", "email:a@b.c")
    assert (suppressed["position"], suppressed["unknown"]) == ("0:0", ["user:u1", "email:a@b.c"])
    assert run("profile", "split", "user:u1", "anon:a1")["position"] == "0:1"
    assert run("profile", "suppress", "u1", code=2)["error"]["code"] == "usage"
    assert run("profile", "split", "user:", "anon:a1", code=2)["error"]["code"] == "control_invalid"
    assert run("profile", "suppress", "user: ", code=2)["error"]["code"] == "control_invalid"
    deleted = run("profile", "delete", "user:u1", "--yes")
    assert deleted["position"] == "0:2"
    still = {each["place"]: each["until"] for each in deleted["stillHeld"]}
    assert {"store", "delivery", "deletion", "other identifiers", "rejections", "quarantine", "backups"} <= set(still)
    named = datetime.fromisoformat(still["log"].removeprefix("not before ").partition(": ")[0])
    assert timedelta(days=6.9) < named - datetime.now(UTC) <= timedelta(days=7)
    assert run("profile", "split", "anon:kiosk", "*", "--until", "2026-11-01")["position"] == "0:3"
    assert run("profile", "unsplit", "anon:kiosk", "*")["position"] == "0:4"
    assert run("profile", "split", "*", "anon:kiosk", code=2)["error"]["code"] == "usage"


def test_a_delete_says_which_destinations_are_asked_and_which_are_not(run: Run) -> None:
    add_hook(run)
    still = {each["place"]: each["until"] for each in run("profile", "delete", "user:u1", "--yes")["stillHeld"]}
    assert [until for place, until in still.items() if place.startswith("destination ")] == [
        "it has no way to be asked: erase them there by hand"
    ]


def test_a_preview_prints_the_requests_or_why_there_are_none(tmp_path: Path) -> None:
    call = tmp_path / "call.json"
    call.write_text(json.dumps({"type": "identify", "userId": "u1", "integrations": {"All": False}}))
    words = ["preview", "webhook", "--settings", "url=https://x.example/in", "--event", str(call), "--json"]
    words += ["--data", str(tmp_path / "none")]
    refused = CliRunner().invoke(main, words)
    assert json.loads(refused.stdout)["refusals"][0]["reason"] == "filtered_by_integrations"
    call.write_text(json.dumps({"type": "identify", "userId": "u1"}))
    (request,) = json.loads(CliRunner().invoke(main, words).stdout)
    assert (request["method"], request["url"]) == ("POST", "https://x.example/in")
    assert json.loads(request["body"]) == {"type": "identify", "userId": "u1"}
    words[3] = '{"url": "https://x.example/json"}'
    assert json.loads(CliRunner().invoke(main, words).stdout)[0]["url"] == "https://x.example/json"


@pytest.mark.parametrize(
    ("refused", "code"), [({"type": "trak", "userId": "u1"}, "type_unknown"), ({"type": "track", "event": "E"}, "user")]
)
def test_a_preview_refuses_a_call_as_the_collector_would(tmp_path: Path, refused: dict[str, Any], code: str) -> None:
    call = tmp_path / "call.json"
    call.write_text(json.dumps(refused))
    words = ["preview", "webhook", "--settings", "url=https://x.example/in", "--event", str(call), "--json"]
    answer = CliRunner().invoke(main, [*words, "--data", str(tmp_path / "none")])
    assert answer.exit_code == 2
    error = json.loads(answer.stdout)["error"]
    assert code in error["code"]
    assert "the collector would refuse this call" in error["message"]


def test_a_preview_of_a_disabled_destination_says_that_it_is(data: Path, run: Run, tmp_path: Path) -> None:
    run("destination", "add", "webhook", "crm", "--set", "url=https://crm.example/in", "--disabled")
    call = tmp_path / "call.json"
    call.write_text(json.dumps({"type": "identify", "userId": "u1"}))
    shown = CliRunner().invoke(main, ["preview", "crm", "--event", str(call), "--json", "--data", str(data)])
    assert len(json.loads(shown.stdout)) == 1
    assert "crm is disabled" in shown.stderr


def test_a_mistyped_field_of_a_mapping_is_pointed_out_and_one_of_the_family_for_batches_is_not(
    data: Path, tmp_path: Path
) -> None:
    mapping = {"dat": {"@path": "$."}, "data": {"@path": "$."}, "enable_batching": True}
    subscription = {"action": "send", "subscribe": 'type = "track"', "name": "All", "mapping": mapping}
    hook = {"destination": "webhook", "settings": {"url": "https://x.example"}, "subscriptions": [subscription]}
    file = tmp_path / "tabard.yaml"
    file.write_text(json.dumps({"destinations": [{"name": "crm", **hook}]}))
    applied = CliRunner().invoke(main, ["apply", str(file), "--data", str(data)])
    assert applied.exit_code == 0
    assert (
        "crm, All: send has no field 'dat', so what is mapped to it is left out; did you mean data?" in applied.stderr
    )
    assert "enable_batching" not in applied.stderr


def test_the_examples_of_identity_resolve_from_the_command_line_as_written() -> None:
    examples = json.loads((Path(__file__).parents[3] / "spec" / "identity" / "examples.json").read_text("utf-8"))
    for example in examples[::5]:
        lines = "\n".join(json.dumps(event) for event in example["events"])
        limits = ",".join(f"{name}={value}" for name, value in example.get("config", {}).items())
        words = ["resolve", "-", "--json", *(["--config", limits] if limits else [])]
        result = CliRunner().invoke(main, words, input=lines)
        assert json.loads(result.stdout) == example["expect"], example["name"]


def test_lines_without_a_time_are_noted_beside_the_answer() -> None:
    calls = [{"type": "identify", "userId": "u", "traits": {"n": n}} for n in range(3)]
    timed = {"type": "identify", "userId": "u", "traits": {"n": "timed"}, "timestamp": "2024-05-01T12:00:00Z"}
    lines = "\n".join(json.dumps(call) for call in [timed, *calls])
    result = CliRunner().invoke(main, ["resolve", "-", "--json"], input=lines)
    assert json.loads(result.stdout)["profiles"][0]["traits"] == {"n": "timed"}
    assert result.stderr == "tabard: 3 lines have no time and count as of time 0; see `tabard resolve --help`\n"
    result = CliRunner().invoke(main, ["resolve", "-", "--json"], input=json.dumps(timed))
    assert result.stderr == ""


def test_rotating_the_sealing_key_seals_every_secret_anew(run: Run, data: Path) -> None:
    add_hook(run)
    assert run("keys", "rotate") == {"version": 2, "destinations": 1}
    assert run("destination", "list")["destinations"][0]["version"] == 2
    (data / "keys" / "seal-1").unlink()
    assert run("destination", "set", "crm", "--set", "url=https://crm.example/v3")["version"] == 3


def test_a_new_admin_token_takes_the_place_of_the_old(run: Run, data: Path) -> None:
    old = (data / "keys" / "admin-token").read_text().strip()
    assert run("keys", "new-admin-token", code=1)["error"]["code"] == "not_confirmed"
    new = run("keys", "new-admin-token", "--yes")["adminToken"]
    assert new != old
    assert (data / "keys" / "admin-token").read_text().strip() == new
