"""`tabard serve` as an operator sees it: first start, restarts, hung and looping roles, stopping, refusals."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from tabard.testing.installation import Installation, eventually, is_alive, running

pytestmark = pytest.mark.e2e

RESIDENT_BYTES_MAX = 350 * 1024 * 1024
ROLES = ("collector-1", "deliverer-1", "resolver-1", "web-1")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Installation]:
    with running(tmp_path / "data", "--set", "egress_private=true", "--set", "role_hung_s=5") as installation:
        yield installation


def status(installation: Installation) -> dict[str, Any]:
    document = installation.tabard("status")
    assert isinstance(document, dict)
    return document


def roles(installation: Installation) -> dict[str, dict[str, Any]]:
    return {role["name"]: role for role in status(installation)["roles"]}


def pid_of(installation: Installation, name: str) -> int:
    text = (installation.data / "run" / f"{name}.json").read_text("utf-8")
    pid: int = json.loads(text)["pid"]
    return pid


def identify(user: str) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "traits": {"plan": "pro"}}


def try_to_send(installation: Installation, user: str, key: str | None = None) -> int:
    try:
        return installation.send("/v1/identify", identify(user), key=key)
    except HTTPError as refusal:
        refusal.close()
        return refusal.code
    except (URLError, OSError):
        return 0


def test_the_first_start_shows_key_and_token_once_and_the_next_ones_do_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as first:
        assert first.write_key
        assert first.admin_token
        assert first.send("/v1/identify", identify("u1")) == 200
        key = first.write_key
    with running(data) as second:
        assert second.write_key == ""
        assert second.admin_token == first.admin_token
        assert second.send("/v1/identify", identify("u2"), key=key) == 200
        assert eventually(lambda: len(second.stored()) == 2)


def test_a_call_becomes_a_profile_and_reaches_a_webhook(serving: Installation) -> None:
    arrived: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_address[1]}/in"
        serving.tabard("destination", "add", "webhook", "crm", "--set", f"url={url}")
        assert eventually(lambda: status(serving)["destinations"][0].get("state") == "running")
        sent = serving.tabard("send", "identify", "--user-id", "u1", "--traits", '{"email": "ann@example.com"}')
        assert isinstance(sent, dict)
        assert eventually(lambda: [each["messageId"] for each in arrived] == [sent["messageId"]])
        receiver.shutdown()
    assert serving.profile("user:u1")["identifiers"] == ["email:ann@example.com", "user:u1"]
    trace = eventually(lambda: serving.get(f"/api/trace/{sent['messageId']}")["deliveries"])
    assert eventually(lambda: serving.get(f"/api/trace/{sent['messageId']}")["deliveries"][0]["outcome"] == "delivered")
    assert trace[0]["name"] == "crm"


@pytest.mark.parametrize("name", ROLES)
def test_a_role_that_dies_is_started_again_and_counted(serving: Installation, name: str) -> None:
    before = pid_of(serving, name)
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: (role := roles(serving)[name])["running"] and role["pid"] != before)
    role = roles(serving)[name]
    assert (role["restarts"], role["lastExit"], role["crashLooping"]) == (1, "signal SIGKILL", False)
    assert eventually(lambda: try_to_send(serving, f"after-{name}") == 200)
    assert eventually(lambda: any(each["message"]["userId"] == f"after-{name}" for each in serving.stored()))


def test_a_role_that_hangs_is_killed_and_started_again(serving: Installation) -> None:
    before = pid_of(serving, "resolver-1")
    os.kill(before, signal.SIGSTOP)
    assert eventually(lambda: (role := roles(serving)["resolver-1"])["running"] and role["pid"] != before)
    assert "supervisor.role.hung" in installation_log(serving)
    assert serving.send("/v1/identify", identify("u1")) == 200
    assert eventually(lambda: len(serving.stored()) == 1)


def installation_log(installation: Installation) -> str:
    return (installation.data.parent / f"{installation.data.name}.log").read_text("utf-8")


def test_a_role_that_dies_again_and_again_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data):
        pass
    (data / "store.db").write_bytes(b"no database" * 1000)
    for name in ("store.db-wal", "store.db-shm"):
        (data / name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "tabard", "serve", "--data", str(data), "--json"]
    command += ["--collect", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            assert eventually(lambda: "supervisor.crash_loop" in (tmp_path / "log").read_text("utf-8"))
            assert eventually((data / "run" / "collector-1.json").exists)
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_sigterm_stops_every_role_and_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path / "data") as installation:
        pids = [pid_of(installation, name) for name in ROLES]
        installation.process.terminate()
        assert installation.process.wait(20) == 0
        assert not any(is_alive(pid) for pid in pids)
        assert not list((installation.data / "run").glob("*-1.json"))


def test_roles_end_by_themselves_when_their_supervisor_was_killed(tmp_path: Path) -> None:
    with running(tmp_path / "data") as installation:
        pids = [pid_of(installation, name) for name in ROLES]
        installation.process.kill()
        assert eventually(lambda: not any(is_alive(pid) for pid in pids))


def metric(installation: Installation, name: str) -> float:
    """The sum of a metric over its labels, as the collector shows it."""
    with urlopen(installation.collector + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_the_collector_shows_the_numbers_of_every_role_and_a_restarted_role_counts_on(serving: Installation) -> None:
    for user in ("u1", "u2"):
        assert serving.send("/v1/identify", identify(user)) == 200
    assert eventually(lambda: metric(serving, "tabard_messages_stored_total") == 2)
    assert eventually(lambda: metric(serving, "tabard_messages_accepted_total") == 2)
    before = pid_of(serving, "collector-1")
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: roles(serving)["collector-1"]["pid"] not in (None, before))
    assert eventually(lambda: try_to_send(serving, "u3") == 200)
    assert eventually(lambda: metric(serving, "tabard_messages_accepted_total") == 3)
    assert eventually(lambda: metric(serving, "tabard_messages_stored_total") == 3)


def test_a_new_a_rotated_and_a_disabled_source_count_within_a_second(serving: Installation) -> None:
    made = serving.tabard("source", "add", "shop")
    assert isinstance(made, dict)
    assert eventually(lambda: try_to_send(serving, "u1", made["writeKey"]) == 200, within_s=1)
    rotated = serving.tabard("source", "rotate", "shop")
    assert isinstance(rotated, dict)
    assert eventually(lambda: try_to_send(serving, "u1", made["writeKey"]) == 401, within_s=1)
    assert try_to_send(serving, "u1", rotated["writeKey"]) == 200
    serving.tabard("source", "disable", "shop")
    assert eventually(lambda: try_to_send(serving, "u1", rotated["writeKey"]) == 401, within_s=1)


def serve_once(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tabard", "serve", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stderr


def test_a_second_serve_on_the_same_folder_is_refused_by_name(serving: Installation) -> None:
    code, text = serve_once("--data", str(serving.data), "--collect", "127.0.0.1:0", "--web", "127.0.0.1:0")
    assert code == 4
    assert "tabard: already_running: " in text


def test_a_port_that_another_program_has_is_refused_by_name(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, text = serve_once("--data", str(tmp_path / "data"), "--collect", address, "--web", "127.0.0.1:0")
    assert code == 4
    assert f"tabard: address_in_use: {address}" in text
    assert not (tmp_path / "data").exists(), "the next start is the first, and shows key and token"


def test_all_roles_together_stay_within_350_mib_under_load(serving: Installation) -> None:
    batch = {"batch": [identify(f"u{number}") | {"messageId": f"m{number}"} for number in range(500)]}
    for turn in range(20):
        for number, item in enumerate(batch["batch"]):
            item["messageId"] = f"m{turn}-{number}"
        assert serving.send("/v1/batch", batch) == 200
    assert eventually(lambda: status(serving)["books"]["stored"] == 10_000)
    pids = [pid_of(serving, name) for name in ROLES] + [serving.process.pid]
    resident = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") for pid in pids]
    assert sum(resident) <= RESIDENT_BYTES_MAX, resident


def test_several_collectors_share_one_port_and_every_message_is_stored_once(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--collectors", "2") as installation:
        for number in range(40):
            assert installation.send("/v1/identify", identify(f"u{number}")) == 200
        assert eventually(lambda: status(installation)["books"]["stored"] == 40)
        partitions = [each["partition"] for each in status(installation)["log"]["partitions"]]
        assert partitions == [1, 2]
        assert status(installation)["books"]["difference"] == 0


def test_time_to_the_first_answer_is_short(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with running(tmp_path / "data") as installation:
        assert installation.send("/v1/identify", identify("u1")) == 200
        assert time.monotonic() - began_s < 10
