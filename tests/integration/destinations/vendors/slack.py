"""A Slack incoming webhook. Follows docs.slack.dev, "Sending messages using incoming webhooks"."""

from typing import Any

from aiohttp import web

from tests.integration.destinations.vendors.stand_in import StandIn

PATH = "/services/T0/B0/X"


class IncomingWebhook(StandIn):
    """`texts` is what appeared in the channel."""

    hosts = ("hooks.slack.com",)

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.word = ""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/{path:.*}", self._post)]

    def refusal(self, request: web.Request, body: Any) -> web.Response | None:
        if request.path != PATH:
            return web.Response(status=404, text="no_team")
        if self.word:
            return web.Response(status=410 if self.word == "channel_is_archived" else 404, text=self.word)
        return None

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not isinstance(body, dict):
            return web.Response(status=400, text="invalid_payload")
        if not body.get("text"):
            return web.Response(status=400, text="no_text")
        self.texts.append(body["text"])
        return web.Response(text="ok")
