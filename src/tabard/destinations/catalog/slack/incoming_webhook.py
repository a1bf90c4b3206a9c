"""Messages to a Slack channel through an incoming webhook.

Sources: docs.slack.dev, "Sending messages using incoming webhooks" (requests, error words), "Formatting message text"
(special mentions), "Rate limits" (one message a second).
"""

from collections.abc import Mapping
from typing import Any

from tabard.destinations.kit.action import Action, Call, Rate
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.destination import Destination, Preset
from tabard.destinations.kit.errors import AuthenticationFailed, Rejected, raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpResponse, Send, json_request

TEXT_LENGTH_MAX = 40_000
"""Slack cuts longer texts."""

_WEBHOOK_IS_DEAD = {
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "team_disabled",
    "user_not_found",
}


async def _post(send: Send, call: Call) -> None:
    payload = call.payload
    text = payload["text"] if payload.get("allow_mentions") else without_mentions(payload["text"])
    message = {"text": text[:TEXT_LENGTH_MAX]}
    message |= {key: payload[key] for key in ("channel", "username", "icon_url") if key in payload}
    answer = await send(json_request("POST", payload.get("url") or call.settings["url"], message))
    _raise_for_webhook(answer)
    raise_for_status(answer)


def without_mentions(text: str) -> str:
    """The text with `<!channel>`, `<@U…>` and the like shown instead of carried out: they may come from a browser."""
    return text.replace("<!", "&lt;!").replace("<@", "&lt;@")


async def _check_webhook(send: Send, settings: Mapping[str, Any]) -> None:
    """Posts a message without a text: a live webhook refuses it, and nothing appears in the channel."""
    answer = await send(json_request("POST", settings["url"], {}))
    _raise_for_webhook(answer)
    if answer.status != 400:  # noqa: PLR2004 - the refusal that was asked for
        raise_for_status(answer)
        raise Rejected("this URL takes an empty message; it does not seem to be a Slack incoming webhook")


def _raise_for_webhook(answer: HttpResponse) -> None:
    """AuthenticationFailed where Slack says that the webhook, not the message, is at fault."""
    word = answer.body[:100].decode("utf-8", errors="replace").strip()
    if word in _WEBHOOK_IS_DEAD:
        raise AuthenticationFailed(f"Slack no longer takes messages at this webhook: {word}")


def _text(before: str, template: str) -> dict[str, Any]:
    """A text in which `{{who}}` is the best name the message has for its person."""
    who = first_of("$.traits.name", "$.traits.email", "$.userId", "$.anonymousId")
    return {"@transform": {"apply": {"who": who, "what": {"@path": before}}, "mapping": {"@template": template}}}


_POST_TO_CHANNEL = Action(
    slug="postToChannel",
    title="Post Message",
    description="Posts a text to the webhook's channel.",
    default_subscription='type = "track"',
    perform=_post,
    fields={
        "text": Field(
            label="Message",
            type="text",
            description="Slack's mrkdwn. A mapping may fill in values: `{{properties.total}}` in a template.",
            required=True,
            default=_text("$.event", "*{{what}}* by {{who}}"),
        ),
        "url": Field(
            label="Webhook URL",
            type="string",
            format="uri",
            description="Another webhook than that of the settings.",
        ),
        "channel": Field(
            label="Channel",
            type="string",
            description="Only webhooks of the old kind let a message choose its channel.",
        ),
        "username": Field(
            label="User name",
            type="string",
            description="Only webhooks of the old kind let a message choose its sender.",
        ),
        "icon_url": Field(
            label="Icon URL",
            type="string",
            description="Only webhooks of the old kind let a message choose its icon.",
        ),
        "allow_mentions": Field(
            label="Allow mentions",
            type="boolean",
            description="Let `<!channel>`, `<@U…>` and the like in the text call people. Off: they are shown as text.",
        ),
    },
)

destination = Destination(
    slug="slack",
    name="Slack",
    aliases=("Slack (Actions)", "Actions Slack"),
    description=(
        "Messages to a Slack channel, through an incoming webhook. One message a second, as Slack asks. Texts are "
        "cut at 40,000 characters. A webhook that Slack has switched off pauses the destination. Slack has no way to "
        "delete what was posted."
    ),
    settings={
        "url": Field(
            label="Webhook URL",
            type="string",
            format="uri",
            description="https://hooks.slack.com/services/… from the Slack app's incoming webhooks.",
            required=True,
            secret=True,
        ),
    },
    actions=(_POST_TO_CHANNEL,),
    presets=(
        Preset("Post events", "postToChannel", 'type = "track"'),
        Preset(
            "Post identified people",
            "postToChannel",
            'type = "identify"',
            {"text": _text("$.userId", "Identified {{who}}")},
        ),
    ),
    test=_check_webhook,
    rate=Rate(requests=1, per_s=1),
)
