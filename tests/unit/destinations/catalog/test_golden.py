"""The requests of each destination are those recorded in tests/golden/destinations, which name the vendor's documents.

TABARD_RECORD=1 records them anew: read the difference before you commit it.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tabard.destinations.kit.payload import check_settings
from tabard.destinations.kit.plan import preset_subscriptions
from tabard.destinations.preview import preview, requests_as_json
from tests.unit.destinations.catalog.bench import NOW, REGISTRY

GOLDEN = Path(__file__).parents[3] / "golden" / "destinations"
FILES = sorted(GOLDEN.glob("*.json"))
CASES = [(path, index) for path in FILES for index in range(len(json.loads(path.read_text("utf-8"))["cases"]))]


async def requests_of(slug: str, case: dict[str, Any]) -> list[dict[str, Any]]:
    destination = REGISTRY.destinations[slug]
    settings = check_settings(destination.settings, case["settings"])
    previews = await preview(destination, settings, preset_subscriptions(destination), case["event"], NOW)
    return [{**request, "body": json.loads(request["body"])} for request in requests_as_json(previews)]


@pytest.mark.parametrize(("path", "index"), CASES, ids=lambda value: getattr(value, "stem", str(value)))
def test_requests_are_as_recorded(path: Path, index: int) -> None:
    recorded = json.loads(path.read_text("utf-8"))
    case = recorded["cases"][index]
    requests = asyncio.run(requests_of(path.stem, case))
    if os.environ.get("TABARD_RECORD"):
        case["requests"] = requests
        path.write_text(json.dumps(recorded, indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert requests == case["requests"], case["name"]


def test_every_preset_of_every_vendor_has_a_recorded_request() -> None:
    """The webhook has no vendor; its requests are tested with delivery."""
    assert {path.stem for path in FILES} == set(REGISTRY.destinations) - {"webhook"}
    for path in FILES:
        cases = json.loads(path.read_text("utf-8"))["cases"]
        covered = {
            subscription.name
            for subscription in preset_subscriptions(REGISTRY.destinations[path.stem])
            for case in cases
            if subscription.trigger.matches(case["event"]) and case["requests"]
        }
        assert covered == {preset.name for preset in REGISTRY.destinations[path.stem].presets}
        assert all(case["follows"].startswith("https://") for case in cases)
