"""What an operator does to a running Tabard: back up and restore under load, import, examine, configure by file."""

import contextlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tabard.testing.installation import Installation, eventually, running

pytestmark = pytest.mark.e2e

BATCH = 50


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, dict[str, int]]]:
    """A webhook on loopback: its URL, and how often each messageId arrived."""
    arrived: dict[str, int] = {}

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for each in body if isinstance(body, list) else [body]:
                arrived[each["messageId"]] = arrived.get(each["messageId"], 0) + 1
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/in", arrived
        server.shutdown()


class Load:
    """Sends batches until it is stopped; `acknowledged` are the ids that were answered with 200."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[str] = []

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            ids = [f"m{number + at}" for at in range(BATCH)]
            batch = [{"type": "track", "userId": f"u{id_[-2:]}", "event": "Seen", "messageId": id_} for id_ in ids]
            assert self._installation.send("/v1/batch", {"batch": batch}) == 200
            self.acknowledged += ids
            number += BATCH
            self._stop.wait(0.02)


def document(installation: Installation, *words: str) -> dict[str, Any]:
    found = installation.tabard(*words)
    assert isinstance(found, dict)
    return found


def test_a_backup_under_load_restores_to_a_whole_that_repeats_and_never_skips(tmp_path: Path) -> None:
    data, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "restored"
    with receiver() as (url, arrived):
        with running(data, "--set", "egress_private=true") as first:
            document(first, "destination", "add", "webhook", "crm", "--set", f"url={url}")
            assert eventually(lambda: document(first, "status")["destinations"][0].get("state") == "running")
            with Load(first) as load:
                assert eventually(lambda: len(arrived) > 500)
                before = list(load.acknowledged)
                document(first, "backup", str(copy))
                during = list(load.acknowledged)
            key = first.write_key
        assert len(during) > len(before), "the backup was not taken under load"
        delivered_before = set(arrived)
        arrived.clear()
        assert document_of(["restore", str(copy), "--data", str(restored)])["files"] > 5
        with running(restored, "--set", "egress_private=true") as second:
            assert eventually(lambda: document(second, "status")["log"]["unresolved"] == 0)
            delivered = eventually(lambda: document(second, "status")["destinations"][0]["books"]["pending"] == 0)
            status = document(second, "status")
            assert delivered, json.dumps(status["destinations"])
            books, crm = status["books"], status["destinations"][0]["books"]
            newest: list[Any] = document(second, "tail", "--no-follow", "--last", "10000")["messages"]
            stored = [message["messageId"] for message in newest]
            # Everything acknowledged before the backup began is in it, once.
            assert set(before) <= set(stored)
            assert len(stored) == len(set(stored)) == books["stored"] < 10_000
            assert (books["difference"], books["duplicates"]) == (0, 0)
            # What the copy has not delivered is delivered now, and nothing is skipped.
            assert crm["delivered"] == crm["taken"] == books["stored"]
            assert set(stored) <= delivered_before | set(arrived)
            assert second.send("/v1/track", {"userId": "u1", "event": "After", "messageId": "after"}, key=key) == 200
            assert eventually(lambda: arrived.get("after") == 1)
            assert document_of(["doctor", "--deep", "--data", str(restored)])["ok"]


def document_of(words: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tabard", *words, "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_damaged_backup_is_refused_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    with running(tmp_path / "data") as installation:
        document(installation, "send", "identify", "--user-id", "u1")
        document(installation, "backup", str(tmp_path / "copy"))
    segment = next((tmp_path / "copy" / "log" / "1").glob("*.segment"))
    text = bytearray(segment.read_bytes())
    text[len(text) // 2] ^= 1
    segment.write_bytes(text)
    failure = document_of(["restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new")])
    assert failure["error"]["code"] == "backup_damaged"
    assert not (tmp_path / "new").exists()


def test_a_file_is_imported_through_the_running_collector_once_however_often(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    lines = [
        {"type": "identify", "userId": f"u{number}", "timestamp": "2024-02-03T04:05:06Z", "traits": {"n": number}}
        for number in range(3000)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    with running(tmp_path / "data") as installation:
        for _ in range(2):
            assert document(installation, "import", str(file))["accepted"] == 3000
        assert eventually(lambda: document(installation, "status")["log"]["unresolved"] == 0)
        books = document(installation, "status")["books"]
        assert (books["stored"], books["duplicates"]) == (3000, 3000)
        assert document(installation, "profile", "show", "u7")["firstSeen"] == "2024-02-03T04:05:06.000Z"
        usage = document(installation, "usage")
        assert (usage["calls"], usage["people"]) == (3000, 3000)


def test_the_doctor_finds_a_running_installation_well_and_names_what_is_not(tmp_path: Path) -> None:
    with running(tmp_path / "data") as installation:
        well = document(installation, "doctor")
        assert well["ok"], well
        assert {"settings document", "browser client", "ready"} <= {each["check"] for each in well["findings"]}
        (tmp_path / "data" / "keys" / "admin-token").chmod(0o644)
        ill = document_of(["doctor", "--data", str(tmp_path / "data")])
        assert [each["check"] for each in ill["findings"] if not each["ok"]] == ["keys"]
    stopped = document_of(["doctor", "--data", str(tmp_path / "data")])
    assert "collector" in [each["check"] for each in stopped["findings"] if not each["ok"]]


def test_the_file_of_serve_sets_settings_and_makes_sources_and_destinations(tmp_path: Path) -> None:
    file = tmp_path / "tabard.yaml"
    file.write_text(
        "settings: {batch_items_max: 7}\n"
        "sources: [{name: shop, kind: browser, write_key: shop-key}]\n"
        "destinations: [{name: crm, destination: webhook, settings: {url: 'https://crm.invalid', secret: '${HOOK}'}}]\n"
    )
    with running(tmp_path / "data", "--config", str(file), environ={"HOOK": "hush"}) as installation:
        assert installation.send("/v1/identify", {"userId": "u1"}, key="shop-key") == 200
        assert [each["name"] for each in document(installation, "status")["destinations"]] == ["crm"]
        too_many = {"batch": [{"type": "identify", "userId": "u1"}] * 8}
        with pytest.raises(urllib.request.HTTPError) as refused:
            installation.send("/v1/batch", too_many)
        assert refused.value.code == 400
        refused.value.close()


def test_a_person_is_shown_explained_split_and_deleted_from_the_shell(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as installation:
        document(installation, "send", "page", "--anonymous-id", "a1", "--name", "Home")
        traits = '{"email": "ann@example.com", "plan": "free"}'
        document(installation, "send", "identify", "--user-id", "u1", "--anonymous-id", "a1", "--traits", traits)
        document(installation, "send", "identify", "--user-id", "u1", "--traits", '{"plan": "pro"}')
        assert eventually(lambda: document(installation, "status")["books"]["stored"] == 3)
        together = ["anon:a1", "email:ann@example.com", "user:u1"]
        assert eventually(lambda: shown(installation, "a1").get("identifiers") == together)
        person = shown(installation, "ann@example.com")
        assert person["traits"]["plan"] == "pro"
        assert person["provenance"]["plan"]["replaced"]["value"] == "free"
        assert len(document(installation, "profile", "explain", "u1")["together"]) == 2
        writes: list[Any] = dict(installation.tabard("profile", "history", "u1", "plan"))["history"]
        assert [write["value"] for write in writes] == ["pro", "free"]
        assert len(installation.tabard("profile", "timeline", "u1")) == 3

        command = ["tabard", "profile", "split", "anon:a1", "email:ann@example.com", "--data", str(data)]
        note = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
        assert "nothing links anon:a1 and email:ann@example.com directly" in note.stderr
        document(installation, "profile", "split", "user:u1", "anon:a1")
        assert eventually(lambda: shown(installation, "u1").get("identifiers") == together[1:])
        document(installation, "profile", "unsplit", "user:u1", "anon:a1")
        assert eventually(lambda: shown(installation, "u1").get("identifiers") == together)
        deleted = document(installation, "profile", "delete", "user:u1", "--person", "--yes")
        assert sorted(deleted["ids"]) == together
        assert eventually(lambda: "error" in shown(installation, "email:ann@example.com"))
        assert eventually(lambda: "error" in shown(installation, "user:u1"))
        explained = document(installation, "profile", "explain", "user:u1")
        assert (explained["profileId"], [one["name"] for one in explained["apart"]]) == (None, ["deleted"])


def shown(installation: Installation, identifier: str) -> dict[str, Any]:
    return document_of(["profile", "show", identifier, "--data", str(installation.data)])
