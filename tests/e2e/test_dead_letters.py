"""Dead letters of a running Tabard: the mapping is corrected, then one or all are sent again, a replay's too."""

from pathlib import Path
from typing import Any

import pytest

from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, eventually, running
from tests.e2e.receiver import receiving

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


def applied(tabard: Installation, file: Path, url: str, mapping: str) -> None:
    file.write_text(DECLARED.replace("URL", url).replace("MAPPING", mapping), "utf-8")
    tabard.tabard("apply", str(file))


def letters(tabard: Installation, *options: str) -> list[dict[str, Any]]:
    found = tabard.tabard("dead-letter", "list", *options)
    assert isinstance(found, dict)
    return list(found["deadLetters"])


def test_a_corrected_mapping_sends_one_dead_letter_then_all_of_them_and_those_of_a_replay(tmp_path: Path) -> None:
    crm, file = FaultyDestination(bad=lambda sent: "tenant" not in sent, bad_status=422), tmp_path / "tabard.yaml"
    with receiving(crm), running(tmp_path / "data", environ={"TABARD_EGRESS_PRIVATE": "true"}) as tabard:
        applied(tabard, file, crm.url, WHOLE)
        for number in range(3):
            tabard.send("/v1/track", {"userId": f"u{number}", "event": "Bought", "messageId": f"m{number}"})
        assert eventually(lambda: len(letters(tabard)) == 3, within_s=20)
        assert {(each["code"], each["replay"]) for each in letters(tabard)} == {("http_422", None)}

        applied(tabard, file, crm.url, CORRECTED)
        [first] = letters(tabard, "--text", "m1")
        shown = tabard.tabard("dead-letter", "show", "crm", first["position"])
        assert isinstance(shown, dict)
        assert '"event":"Bought"' in shown["tries"][0]["request"]
        tabard.tabard("dead-letter", "resend", "crm", "--position", first["position"])
        assert eventually(lambda: crm.message_ids == ["m1"], within_s=10)
        tabard.tabard("dead-letter", "resend", "crm", "--all")
        assert eventually(lambda: sorted(crm.message_ids) == ["m0", "m1", "m2"] and not letters(tabard), within_s=10)

        crm.bad = lambda _sent: True
        tabard.tabard("replay", "start", "crm", "--since", "2020-01-01")
        assert eventually(lambda: len(letters(tabard)) == 3, within_s=20)
        [replay] = {each["replay"] for each in letters(tabard)}
        crm.bad = lambda _sent: False
        assert len(letters(tabard, "--destination", replay)) == 3
        tabard.tabard("dead-letter", "resend", replay, "--all")
        assert eventually(lambda: len(crm.message_ids) == 6 and not letters(tabard), within_s=10)
