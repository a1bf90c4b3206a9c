"""Options and start of an instance are refused by name where they mean nothing."""

from typing import Any

import msgspec
import pytest

from tabard.delivery.compiled import InstanceUnusable, compile_instance
from tabard.destinations.catalog.webhook import destination
from tests.integration.delivery.stored import webhook


def problem(**given: Any) -> str:
    instance = webhook("http://x", **given)
    with pytest.raises(InstanceUnusable) as refused:
        compile_instance(instance, destination, instance.settings)
    return str(refused.value)


def test_a_mistyped_option_is_refused_with_the_known_names() -> None:
    text = problem(no_needles_calls=True)
    assert "there is no option 'no_needles_calls'" in text
    assert "no_needless_calls, order_patience_s, rate_per_s, batch_size, batch_wait_s, consent_categories" in text


@pytest.mark.parametrize("start", ["yesterday", "", "2026-13-01"])
def test_a_start_that_is_no_time_is_refused(start: str) -> None:
    assert f"start is {start!r}; use now, beginning, or a time" in problem(start=start)


@pytest.mark.parametrize("start", ["now", "beginning", "2026-11-24T18:00:00Z", "2026-11-24"])
def test_a_start_that_is_one_is_taken(start: str) -> None:
    instance = webhook("http://x", start=start)
    assert compile_instance(instance, destination, instance.settings).instance.start == start


@pytest.mark.parametrize(
    "option", [{"no_needless_calls": "yes"}, {"consent_categories": "Ads"}, {"consent_categories": [1]}]
)
def test_an_option_of_the_wrong_kind_is_refused(option: dict[str, Any]) -> None:
    [name] = option
    assert f"option {name} is" in problem(**option)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"action": "sned"}, "webhook has no action 'sned'; it has: send"),
        ({"subscribe": "type ="}, "expected"),
        ({"mapping": {"data": {"@path": 7}}}, "@path"),
    ],
)
def test_a_subscription_that_cannot_work_is_named_with_its_fault(fault: dict[str, Any], said: str) -> None:
    whole = webhook("http://x")
    broken = msgspec.structs.replace(whole.subscriptions[0], name="Buyers", **fault)
    with pytest.raises(InstanceUnusable) as refused:
        compile_instance(msgspec.structs.replace(whole, subscriptions=(broken,)), destination, whole.settings)
    text = str(refused.value)
    assert "subscription 'Buyers': " in text
    assert said in text
    assert '"' not in text


@pytest.mark.parametrize("url", ["ftp://x/y", "x.example/in", "https://", "http://x:port/"])
def test_a_url_that_nothing_can_be_sent_to_is_refused_when_it_is_set(url: str) -> None:
    assert "url: should be an" in problem(settings={"url": url})
