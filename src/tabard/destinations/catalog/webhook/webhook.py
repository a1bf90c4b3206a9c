"""Each message as a JSON POST. A batch is `{"batch": [...]}`. Signature and headers: docs/delivery.md."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.batch import ITEM_STATUSES, Outcomes, RefusedTogether, by_halves
from tabard.destinations.kit.destination import Destination, Preset
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpRequest, Send

SIGNATURE_HEADER = "x-tabard-signature"
IDEMPOTENCY_HEADER = "idempotency-key"


def signature(secret: str, moment_s: int, body: bytes) -> str:
    """The signature of a body: `t=<epoch seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`."""
    digest = hmac.new(secret.encode(), f"{moment_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment_s},v1={digest}"


def _request(settings: Mapping[str, Any], body: bytes, now: datetime, message_id: str = "") -> HttpRequest:
    headers = {"content-type": "application/json", **_own_headers(str(settings.get("headers", "")))}
    if message_id:
        headers[IDEMPOTENCY_HEADER] = message_id
    if settings.get("secret"):
        headers[SIGNATURE_HEADER] = signature(str(settings["secret"]), int(now.timestamp()), body)
    return HttpRequest("POST", str(settings["url"]), headers, body)


def _own_headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


async def _send(send: Send, call: Call, /) -> None:
    message_id = call.message.get("messageId")
    key = message_id if isinstance(message_id, str) and message_id.isascii() and message_id.isprintable() else ""
    raise_for_status(await send(_request(call.settings, call.payload.json("data"), call.now, key)))


async def _send_batch(send: Send, calls: Sequence[Call], /) -> Outcomes:
    return await by_halves(_send_together, send, calls)


async def _send_together(send: Send, calls: Sequence[Call], /) -> Outcomes:
    body = b'{"batch":[' + b",".join([call.payload.json("data") for call in calls]) + b"]}"
    answer = await send(_request(calls[0].settings, body, calls[0].now))
    if len(calls) > 1 and answer.status in ITEM_STATUSES:
        raise RefusedTogether("refused as a whole", answer.status)
    raise_for_status(answer)
    return [None] * len(calls)


async def _test(send: Send, settings: Mapping[str, Any], /) -> None:
    raise_for_status(await send(_request(settings, b'{"type":"test"}', datetime.now(UTC))))


destination = Destination(
    slug="webhook",
    name="Webhook",
    description="Posts every message as JSON to a URL of yours.",
    settings={
        "url": Field(label="URL", type="string", required=True, format="uri", description="Gets a POST a message."),
        "secret": Field(
            label="Signing secret",
            type="string",
            secret=True,
            description="With it, each request carries X-Tabard-Signature: t=<epoch s>,v1=<HMAC-SHA256>.",
        ),
        "headers": Field(
            label="Headers", type="text", secret=True, description="Further headers, one `Name: value` a line."
        ),
    },
    actions=(
        Action(
            slug="send",
            title="Send",
            description="Posts what the field `data` holds: by default the whole message.",
            fields={
                "data": Field(
                    label="Data",
                    type="object",
                    required=True,
                    default={"@path": "$."},
                    description="The JSON object that is posted.",
                    volatile_members=("messageId", "timestamp", "originalTimestamp", "sentAt", "receivedAt"),
                )
            },
            perform=_send,
            perform_batch=_send_batch,
            # One request a message, unless the instance's option `batch_size` says otherwise.
            batch_size=1,
        ),
    ),
    presets=(
        Preset(
            name="Every message",
            action="send",
            subscribe=" or ".join(
                f'type = "{each}"' for each in ("identify", "track", "page", "screen", "group", "alias")
            ),
        ),
    ),
    test=_test,
)
