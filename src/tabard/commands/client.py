"""`tabard send`: a client in the shell."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from tabard.clock import SystemClock
from tabard.commands.frame import (
    EXIT_PROBLEM,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    CommandFailed,
    data_option,
    example,
    json_option,
    print_json,
    print_line,
)
from tabard.compose.collector_client import CollectorClient
from tabard.compose.running import local_url, running_role, running_settings
from tabard.compose.workspace import open_workspace, source_to_send_as
from tabard.message.types import CALL_TYPES
from tabard.storage.sqlite.installation import open_installation

_TEXTS: Final = {
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "previous_id": "previousId",
    "group_id": "groupId",
    "event": "event",
    "name": "name",
    "category": "category",
    "timestamp": "timestamp",
    "message_id": "messageId",
}
_OBJECTS: Final = ("traits", "properties", "context", "integrations")
_OK: Final = 200


@click.command(
    epilog=example(
        """tabard send identify --user-id u1 --traits '{"email": "ann@example.com"}'""",
        """tabard send track --user-id u1 --event "Order Completed" --properties '{"total": 30}'""",
    )
)
@click.argument("call_type", type=click.Choice(CALL_TYPES), metavar=f"[{'|'.join(CALL_TYPES)}]")
@click.option("--user-id")
@click.option("--anonymous-id")
@click.option("--previous-id", help="For alias: the identifier used until now.")
@click.option("--group-id")
@click.option("--event", help="For track: the event's name.")
@click.option("--name", help="For page and screen.")
@click.option("--category", help="For page and screen.")
@click.option("--traits", help="A JSON object.")
@click.option("--properties", help="A JSON object.")
@click.option("--context", help="A JSON object.")
@click.option("--integrations", help="A JSON object.")
@click.option("--timestamp", help="When it happened (ISO 8601); now unless given.")
@click.option("--message-id", help="The same id again is the same message.")
@click.option("--source", "source_name", help="Send as this source; the first enabled server source unless given.")
@data_option
@json_option
def send(call_type: str, source_name: str | None, data: Path, as_json: bool, **fields: Any) -> None:
    """Send one call to the running collector of an installation."""
    installation = open_installation(data)
    role = running_role(installation, "collector")
    if role is None:
        raise CommandFailed(
            "not_running", f"no collector runs on {data}; start `tabard serve --data {data}`", EXIT_UNREACHABLE
        )
    with open_workspace(data) as workspace:
        source = source_to_send_as(workspace, source_name)
    client = CollectorClient(local_url(running_settings(installation), role), source.write_key)
    body = _body(fields)
    answer = client.post(f"/v1/{call_type}", msgspec.json.encode(body))
    if answer.status != _OK:
        code = str(answer.document.get("code", "refused"))
        raise CommandFailed(code, str(answer.document.get("message", f"status {answer.status}")), EXIT_PROBLEM)
    document = {"accepted": True, "position": answer.position, "messageId": body["messageId"], "source": source.name}
    if as_json:
        print_json(document)
    else:
        print_line(f"accepted at {answer.position}; `tabard trace {body['messageId']}` follows it")


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    clock = SystemClock()
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
    body: dict[str, Any] = {"messageId": clock.new_id(), "timestamp": now.replace("+00:00", "Z")}
    body |= {wire: fields[name] for name, wire in _TEXTS.items() if fields[name] is not None}
    for name in _OBJECTS:
        if fields[name] is not None:
            body[name] = _object(name, fields[name])
    return body


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as problem:
        raise CommandFailed("usage", f"--{name} takes a JSON object: {problem}", EXIT_USAGE) from problem
