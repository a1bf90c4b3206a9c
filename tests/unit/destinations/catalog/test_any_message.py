"""Whatever a message holds, a built-in destination sends something sound or says why not; it never breaks."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.destinations.kit.plan import preset_subscriptions
from tabard.destinations.preview import preview
from tabard.message.traits import RESERVED
from tests.unit.destinations.catalog.bench import NOW, SETTINGS, bench

BENCHES = {slug: bench(slug) for slug in SETTINGS}
PRESETS = {slug: preset_subscriptions(made.destination) for slug, made in BENCHES.items()}

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*RESERVED, *RESERVED.values(), "objectId", "objectTypeId", "relationshipAttributes", "plan"])
traits = st.dictionaries(names | st.text(max_size=6), json_values, max_size=5)
properties = st.dictionaries(
    st.sampled_from(["revenue", "currency", "email", "products", "objectId", "url", "deliveryId", "metric", "device"])
    | st.text(max_size=6),
    json_values,
    max_size=5,
)
events = st.sampled_from(
    ["Order Completed", "Device Created or Updated", "Device Deleted", "User Deleted", "Object Deleted", "Anything",
     "Relationship Deleted", "Report Delivery Event", "Report Content Event", "Application Opened"]
)  # fmt: skip
ids = st.none() | st.sampled_from(["u1", "a@b.co", "cio_7", ""]) | st.text(max_size=5)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "ip": scalars,
        "userAgent": scalars,
        "device": json_values,
        "app": json_values,
        "traits": traits,
        "campaign": json_values,
        "page": json_values,
    },
)
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(["identify", "track", "page", "screen", "group", "alias"])},
    optional={
        "userId": ids,
        "anonymousId": ids,
        "previousId": ids,
        "groupId": ids,
        "messageId": st.text(min_size=1, max_size=60),
        "event": events,
        "name": st.text(max_size=5),
        "timestamp": st.just("2024-03-05T10:20:30Z"),
        "traits": traits,
        "properties": properties,
        "context": contexts,
    },
)


@pytest.mark.parametrize("slug", SETTINGS)
@given(message=messages)
@settings(deadline=None, max_examples=150)
def test_no_message_breaks_a_destination(slug: str, message: dict[str, Any]) -> None:
    before = json.dumps(message, sort_keys=True)
    made = BENCHES[slug]
    previews = asyncio.run(preview(made.destination, made.settings, PRESETS[slug], message, NOW))
    refusals = [refusal for each in previews for refusal in each.refusals]
    assert not [refusal for refusal in refusals if refusal.kind == "defect"]
    assert all(refusal.reason for refusal in refusals)
    assert any(each.requests for each in previews) or refusals
    for request in (request for each in previews for request in each.requests):
        assert request.url.startswith("https://")
        json.loads(request.body)
    assert json.dumps(message, sort_keys=True) == before
