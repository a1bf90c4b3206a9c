"""What a source may not do to our own profiles it may not do at a destination either; preview and trace say so."""

from typing import Any

import msgspec
import pytest

from tabard.compose.preview import Asked, preview_many, preview_one
from tabard.delivery.compiled import Compiled, compile_instance
from tabard.delivery.trace import decision
from tabard.message.types import SERVER_TRUST, Trust
from tabard.workspace.types import DestinationInstance, Subscription
from tests.integration.delivery.stored import stored
from tests.unit.destinations.catalog.bench import NOW, bench

PUBLIC = int(Trust.CLIENT)
DELETE: dict[str, Any] = {"type": "track", "event": "User Deleted", "userId": "u1"}


def journeys() -> Compiled:
    made = bench("customerio")
    subscriptions = tuple(
        Subscription(
            id=preset.action,
            action=preset.action,
            subscribe=preset.subscribe,
            mapping=made.destination.action(preset.action).default_mapping(),
        )
        for preset in made.destination.presets
    )
    instance = DestinationInstance(
        id="d1", name="journeys", slug="customerio", settings=made.settings, subscriptions=subscriptions
    )
    return compile_instance(instance, made.destination, made.settings)


@pytest.mark.parametrize("trust", [PUBLIC, int(SERVER_TRUST & ~Trust.CONTROL)])
def test_a_trace_names_the_rule_that_kept_a_deletion_away(trust: int) -> None:
    """Without control: a public key, or a server's key used from a browser (Origin) or a pixel."""
    compiled = journeys()
    decided = decision(compiled.instance, compiled.destination, stored(1, **DELETE, trust=trust))
    assert decided == {"outcome": "filtered", "code": "control_untrusted"}


def test_a_preview_of_stored_messages_counts_what_is_kept_away() -> None:
    public, trusted = Asked(DELETE, "web", PUBLIC), Asked(DELETE, "backend", int(SERVER_TRUST))
    summary = preview_many(journeys(), [public, trusted], NOW)
    assert (summary.requests, dict(summary.refusals)) == (1, {"filtered: control_untrusted": 1})


def test_a_call_given_to_preview_is_shown_as_a_server_would_send_it() -> None:
    [shown] = preview_one(journeys(), Asked(DELETE), NOW)
    assert msgspec.json.decode(shown.requests[0].body)["action"] == "delete"


def test_a_device_is_taken_off_its_person_by_an_app_that_knows_its_token() -> None:
    message: dict[str, Any] = {
        "type": "track",
        "event": "Device Deleted",
        "userId": "u1",
        "context": {"device": {"token": "T"}},
    }
    assert [id_ for id_, _ in journeys().steps(message, PUBLIC, {})] == ["deleteDevice"]
