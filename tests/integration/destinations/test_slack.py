"""Slack against a local stand-in of an incoming webhook."""

import pytest

from tabard.destinations.kit.errors import AuthenticationFailed, HttpError
from tests.integration.destinations.sending import identify, sender, track
from tests.integration.destinations.vendors.slack import IncomingWebhook
from tests.integration.destinations.vendors.stand_in import Fault


async def test_events_and_people_appear_in_the_channel_and_nobody_is_called() -> None:
    slack = IncomingWebhook()
    async with slack.running() as send:
        sending = sender("slack", send)
        await sending.one(track("u1", "Order Completed"))
        await sending.one(identify("u1", {"firstName": "Cool", "lastName": "Person"}))
        await sending.one(track("u1", "<!channel>"))
    assert slack.texts == ["*Order Completed* by u1", "Identified Cool Person", "*&lt;!channel>* by u1"]


async def test_the_check_posts_nothing_and_knows_a_dead_webhook() -> None:
    slack = IncomingWebhook()
    async with slack.running() as send:
        await sender("slack", send).test()
        with pytest.raises(AuthenticationFailed, match="no_team"):
            await sender("slack", send, url="https://hooks.slack.com/services/gone").test()
        slack.word = "channel_is_archived"
        with pytest.raises(AuthenticationFailed, match="channel_is_archived"):
            await sender("slack", send).one(track("u1", "x"))
    assert slack.texts == []


async def test_a_busy_slack_says_when_to_come_back() -> None:
    slack = IncomingWebhook()
    slack.faults.append(Fault(429, {"Retry-After": "30"}))
    async with slack.running() as send:
        with pytest.raises(HttpError) as busy:
            await sender("slack", send).one(track("u1", "x"))
    assert busy.value.retry_after == "30"
