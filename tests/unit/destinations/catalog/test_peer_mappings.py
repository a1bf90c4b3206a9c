"""A team can bring its mappings along: those of the field's library run on our actions of the same name.

All default triggers and mappings recorded from it (action_payloads.json) compile, and every event they take we take.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tabard.destinations.kit.payload import check_settings
from tabard.destinations.kit.plan import compile_subscription
from tabard.destinations.preview import preview
from tests.unit.destinations.catalog.bench import NOW, REGISTRY, SETTINGS

LEFT_OUT: set[str] = {
    # The library's own presets leave these fields to the user; nothing can be sent without them.
    "slack/postToChannel",
    "intercom/identifyContact",
}


@pytest.mark.parametrize("slug", sorted(SETTINGS))
async def test_the_librarys_default_mappings_run_unchanged(peer: Callable[[str], Any], slug: str) -> None:
    recorded = peer("action_payloads.json")
    destination = REGISTRY.destinations[slug]
    settings = check_settings(destination.settings, SETTINGS[slug])
    tried = 0
    for action in recorded["actions"]:
        if not action["id"].startswith(f"{slug}/") or action["id"] in LEFT_OUT:
            continue
        brought = compile_subscription(
            destination,
            action=action["id"].split("/")[1],
            subscribe=action.get("subscribe") or "type != null",
            mapping=action["mapping"],
        )
        for case in action["cases"]:
            if "invalid" in case:
                continue
            event = recorded["events"][case["event"]]
            [previewed] = await preview(destination, settings, [brought], event, NOW)
            assert not any(refusal.kind in ("invalid", "defect") for refusal in previewed.refusals), (action, case)
            tried += 1
    assert tried or slug == "slack"


async def test_what_the_library_leaves_to_the_user_works_here_without_them() -> None:
    for name in LEFT_OUT:
        slug, action = name.split("/")
        defaults = REGISTRY.destinations[slug].action(action).default_mapping()
        assert {"slack": "text", "intercom": "role"}[slug] in defaults
