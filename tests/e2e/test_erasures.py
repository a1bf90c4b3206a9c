"""What reaches a destination of a running installation when people are deleted, and what a public key can do there."""

from pathlib import Path

from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.testing.installation import eventually, running
from tests.e2e.receiver import receiving

PLUGIN = """
from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination, Preset
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import json_request


async def post(send, settings, what, who):
    raise_for_status(await send(json_request("POST", settings["url"], {"messageId": f"{what} {who}"})))


async def keep(send, call):
    await post(send, call.settings, "keep", call.payload["id"])


async def remove(send, call):
    await post(send, call.settings, "remove", call.payload["id"])


async def on_delete(send, settings, subject):
    await post(send, settings, "on_delete", subject.user_id)


FIELDS = {"id": Field(label="Id", type="string", required=True, default={"@path": "$.userId"})}
destination = Destination(
    slug="vault",
    name="Vault",
    description="Keeps people.",
    settings={"url": Field(label="URL", type="string", required=True)},
    actions=(
        Action(slug="keep", title="Keep", description="Keeps.", fields=FIELDS, perform=keep),
        Action(slug="remove", title="Remove", description="Removes.", fields=FIELDS, perform=remove, erases=True),
    ),
    presets=(
        Preset("Keep", "keep", 'type = "identify"'),
        Preset("Remove", "remove", 'type = "track" and event = "User Deleted"'),
    ),
    on_delete=on_delete,
)
"""


def test_deletions_of_ours_reach_the_destination_once_and_those_of_a_public_key_never(tmp_path: Path) -> None:
    data = open_or_make(tmp_path / "data", {}, SystemClock()).installation.data
    (data / "plugins").mkdir(exist_ok=True)
    (data / "plugins" / "vault.py").write_text(PLUGIN)
    environ = {"TABARD_EGRESS_PRIVATE": "true", "TABARD_DELIVERY_TIMEOUT_S": "1", "TABARD_DISK_FLOOR_BYTES": "1"}
    with receiving() as hook, running(data, environ=environ) as tabard:
        tabard.tabard("destination", "add", "vault", "safe", "--set", f"url={hook.url}", "--start", "beginning")
        server, public = tabard.add_source("backend"), tabard.add_source("web", "browser")
        for person in ("ann", "bob", "carl", "eve"):
            tabard.send("/v1/identify", {"userId": person}, key=server["writeKey"])
        assert eventually(lambda: len(hook.message_ids) == 4)
        deleted = {"event": "User Deleted", "userId": "eve", "messageId": "forged"}
        tabard.send("/v1/track", deleted, key=public["writeKey"])
        # One messageId for two people: only the first is the message, both are deleted.
        for person in ("bob", "carl"):
            twice = {"event": "User Deleted", "userId": person, "messageId": "twice"}
            tabard.send("/v1/track", twice, key=server["writeKey"])
            tabard.send("/v1/track", twice, key=server["writeKey"])
        tabard.tabard("profile", "delete", "user:ann", "--yes")
        assert eventually(lambda: len(hook.message_ids) == 7, within_s=20), hook.message_ids

        def books() -> object:
            status = tabard.tabard("status")
            assert isinstance(status, dict)
            return status["destinations"][0].get("erasures")

        told = {"asked": 3, "done": 2, "by_action": 1, "failed": 0, "pending": 0}
        assert eventually(lambda: books() == told), books()
        [traced] = tabard.tabard("trace", "forged")["deliveries"]  # type: ignore[call-overload]
        assert (traced["outcome"], traced["code"]) == ("filtered", "control_untrusted")
    kept = ["keep ann", "keep bob", "keep carl", "keep eve"]
    assert sorted(hook.message_ids) == [*kept, "on_delete ann", "on_delete carl", "remove bob"]
