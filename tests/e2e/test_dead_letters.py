"""Dead letters of a running Tabard: the mapping is corrected, then one or all are sent again, a replay's too."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tabard.testing.installation import Installation, eventually, running

pytestmark = pytest.mark.e2e

DECLARED = """
destinations:
  - name: crm
    destination: webhook
    start: beginning
    settings: {url: URL}
    subscriptions:
      - name: All
        action: send
        subscribe: type = "track"
        mapping: {data: MAPPING}
"""
WHOLE = '{"@path": "$."}'
CORRECTED = '{"messageId": {"@path": "$.messageId"}, "tenant": "acme"}'


class Crm:
    """A receiver that refuses what names no tenant, or everything."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refuses_all = False

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        crm = self

        class Receiver(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                good = "tenant" in body and not crm.refuses_all
                if good:
                    crm.taken.append(body["messageId"])
                self.send_response(200 if good else 422)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}/in"
            server.shutdown()


def applied(tabard: Installation, file: Path, url: str, mapping: str) -> None:
    file.write_text(DECLARED.replace("URL", url).replace("MAPPING", mapping), "utf-8")
    tabard.tabard("apply", str(file))


def letters(tabard: Installation, *options: str) -> list[dict[str, Any]]:
    found = tabard.tabard("dead-letter", "list", *options)
    assert isinstance(found, list)
    return found


def test_a_corrected_mapping_sends_one_dead_letter_then_all_of_them_and_those_of_a_replay(tmp_path: Path) -> None:
    crm, file = Crm(), tmp_path / "tabard.yaml"
    environ = {"TABARD_EGRESS_PRIVATE": "true"}
    with crm.running() as url, running(tmp_path / "data", environ=environ) as tabard:
        applied(tabard, file, url, WHOLE)
        for number in range(3):
            tabard.send("/v1/track", {"userId": f"u{number}", "event": "Bought", "messageId": f"m{number}"})
        assert eventually(lambda: len(letters(tabard)) == 3, within_s=20)
        assert {(each["code"], each["replay"]) for each in letters(tabard)} == {("http_422", None)}

        applied(tabard, file, url, CORRECTED)
        [first] = letters(tabard, "--text", "m1")
        shown = tabard.tabard("dead-letter", "show", "crm", first["position"])
        assert isinstance(shown, dict)
        assert '"event":"Bought"' in shown["tries"][0]["request"]
        tabard.tabard("dead-letter", "resend", "crm", "--position", first["position"])
        assert eventually(lambda: crm.taken == ["m1"], within_s=10)
        tabard.tabard("dead-letter", "resend", "crm", "--all")
        assert eventually(lambda: sorted(crm.taken) == ["m0", "m1", "m2"] and not letters(tabard), within_s=10)

        crm.refuses_all = True
        tabard.tabard("replay", "start", "crm", "--since", "2020-01-01")
        assert eventually(lambda: len(letters(tabard)) == 3, within_s=20)
        [replay] = {each["replay"] for each in letters(tabard)}
        crm.refuses_all = False
        assert len(letters(tabard, "--destination", replay)) == 3
        tabard.tabard("dead-letter", "resend", replay, "--all")
        assert eventually(lambda: len(crm.taken) == 6 and not letters(tabard), within_s=10)
