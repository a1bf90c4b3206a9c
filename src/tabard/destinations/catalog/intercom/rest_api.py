"""Requests to Intercom's REST API and what its answers mean. Source: developers.intercom.com, REST API 2.14."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tabard.destinations.kit.action import Call
from tabard.destinations.kit.errors import AuthenticationFailed, Retryable, raise_for_status
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send, bearer_auth, json_request

HOSTS = {"us": "https://api.intercom.io", "eu": "https://api.eu.intercom.io", "au": "https://api.au.intercom.io"}
API_VERSION = "2.14"

_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class RestApi:
    """The API as one workspace sees it. `now` is the moment of the attempt, None where there is no message."""

    send: Send
    settings: Mapping[str, Any]
    now: datetime | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> HttpResponse:
        """The answer, whatever its status; Retryable until the limit resets where too much was asked."""
        url = HOSTS[self.settings["region"]] + path
        auth = bearer_auth(self.settings["accessToken"])
        headers = {**auth, "accept": "application/json", "intercom-version": API_VERSION}
        request = HttpRequest(method, url, headers) if body is None else json_request(method, url, body, headers)
        answer = await self.send(request)
        if answer.status == _TOO_MANY and "retry-after" not in answer.headers:
            raise Retryable("Intercom's rate limit is used up", self._reset_in_s(answer))
        return answer

    async def done(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The object in a 2xx answer; see `object_in`."""
        return object_in(await self.ask(method, path, body))

    def _reset_in_s(self, answer: HttpResponse) -> float | None:
        reset = answer.headers.get("x-ratelimit-reset", "")
        if self.now is None or not reset.isdecimal():
            return None
        return max(0.0, int(reset) - self.now.timestamp())


def object_in(answer: HttpResponse) -> dict[str, Any]:
    """The object in a 2xx answer; HttpError for another status, Retryable for a body that something has mangled."""
    raise_for_status(answer)
    body = answer.json()
    if not isinstance(body, dict):
        raise Retryable("Intercom's answer cannot be read")
    return body


def id_in(answer: HttpResponse) -> str:
    """Intercom's id of what a 2xx answer is about; raises as `object_in`."""
    found = object_in(answer).get("id")
    if not isinstance(found, str):
        raise Retryable("Intercom's answer names no id")
    return found


def api_of(send: Send, call: Call) -> RestApi:
    """The API for the settings and the moment of a call."""
    return RestApi(send, call.settings, call.now)


async def check_credentials(send: Send, settings: Mapping[str, Any]) -> None:
    """Asks whose token it is. Raises AuthenticationFailed where it is nobody's."""
    answer = await RestApi(send, settings).ask("GET", "/me")
    if answer.status in (401, 403):
        raise AuthenticationFailed("Intercom does not accept this access token in this region")
    raise_for_status(answer)


def error_messages(answer: HttpResponse) -> list[str]:
    """The messages of an error list, [] where the answer is none."""
    body = answer.json()
    errors = body.get("errors") if isinstance(body, dict) else None
    return [str(each.get("message", "")) for each in errors or [] if isinstance(each, dict)]
