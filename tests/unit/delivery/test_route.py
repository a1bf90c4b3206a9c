"""Whether a message goes to a destination, rule by rule (wire.md §2.4)."""

from typing import Any

import pytest

from tabard.delivery.route import Filter, consent_covers, integrations_allow, options_for, refusal, route_of
from tabard.destinations.catalog.webhook import destination
from tests.integration.delivery.stored import webhook

NAMES = ("Mixpanel", "mixpanel", "Mixpanel (Actions)")


@pytest.mark.parametrize(
    ("integrations", "allowed"),
    [
        (None, True),
        ({}, True),
        ({"All": True}, True),
        ({"All": None}, True),
        ({"All": False}, False),
        ({"all": False}, False),
        ({"Mixpanel": False}, False),
        ({"Intercom": False}, True),
        ({"All": False, "Mixpanel": True}, True),
        ({"all": False, "mixpanel": True}, True),
        ({"All": False, "Mixpanel (Actions)": {"opt": 1}}, True),
        ({"All": False, "MIXPANEL": True}, False),
        ({"All": False, "Mixpanel": {}}, True),
        ({"Mixpanel": {"opt": 1}}, True),
        ({"All": True, "Mixpanel": False}, False),
        ({"Mixpanel": True, "mixpanel": False}, False),
        ({"All": False, "Mixpanel": "yes"}, False),
        ({"Mixpanel": None}, True),
        ({"All": "no"}, False),
        ({"All": 1, "Mixpanel": True}, False),
        ("all", False),
        ([], False),
        (False, False),
    ],
)
def test_the_integrations_object_is_obeyed(integrations: Any, allowed: bool) -> None:
    assert integrations_allow(integrations, NAMES) is allowed


def test_an_options_object_is_passed_on_and_a_boolean_is_none() -> None:
    assert options_for({"All": False, "mixpanel": {"opt": 1}}, NAMES) == {"opt": 1}
    assert options_for({"Mixpanel": True}, NAMES) == {}
    assert options_for("nonsense", NAMES) == {}


def test_of_two_options_objects_for_one_destination_the_first_in_the_message_counts() -> None:
    names = frozenset({"Webhook", "webhook"})
    assert options_for({"webhook": {"a": 1}, "Webhook": {"a": 2}}, names) == {"a": 1}
    assert options_for({"Webhook": {"a": 2}, "webhook": {"a": 1}}, names) == {"a": 2}


@pytest.mark.parametrize(
    ("preferences", "covered"),
    [
        ({"Ads": True, "Analytics": True}, True),
        ({"Ads": True, "Analytics": False}, False),
        ({"Ads": True}, False),
        ({"Ads": True, "Analytics": "true"}, False),
        ({}, False),
    ],
)
def test_consent_must_be_given_for_every_category(preferences: dict[str, Any], covered: bool) -> None:
    assert consent_covers({"consent": {"categoryPreferences": preferences}}, ("Ads", "Analytics")) is covered


@pytest.mark.parametrize("context", [None, {}, {"consent": None}, {"consent": {}}, "odd"])
def test_a_message_that_says_nothing_about_consent_passes(context: Any) -> None:
    assert consent_covers(context, ("Ads",))


def test_each_rule_that_keeps_a_message_out_has_its_name_and_the_first_one_counts() -> None:
    message = {"integrations": {"All": False}, "context": {"consent": {"categoryPreferences": {"Ads": False}}}}

    def reason(source: str = "s1", body: dict[str, Any] = message, **options: Any) -> Filter | None:
        instance = webhook("http://x", sources=("s1",), consent_categories=["Ads"], **options)
        return refusal(route_of(instance, destination), source, body)

    assert reason(enabled=False, source="other") is Filter.DISABLED
    assert reason(source="other") is Filter.SOURCE
    assert reason() is Filter.INTEGRATIONS
    assert reason(body={**message, "integrations": {"hook": True}}) is Filter.CONSENT
    assert reason(body={}) is None
