"""Mixpanel's Ingestion API: /import, /track, /engage, /groups.

Follows docs.mixpanel.com: "Import Events" (strict validation, 2,000 events and 10 MB a request, $insert_id of at most
36 letters, digits and dashes, refused distinct ids, times since 1971), "400 Bad Request", "413 Payload Too Large",
"Set Property" (per-record errors with strict=1), "Delete Profile", "Create Identity", "Create Alias".
"""

import re
from typing import Any

from aiohttp import web

from tests.integration.destinations.vendors.stand_in import StandIn, basic

RECORDS_MAX = 2_000
BODY_BYTES_MAX = 10 * 1024 * 1024
PLACEHOLDERS = {"anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "0", "-1", "true"}
YEAR_1971_MS = 31_536_000_000


class IngestionApi(StandIn):
    """`events` by (event, time, distinct id, insert id), `profiles` by distinct id, `groups` by (key, id)."""

    hosts = ("api.mixpanel.com", "api-eu.mixpanel.com", "api-in.mixpanel.com")

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.profiles: dict[str, dict[str, Any]] = {}
        self.groups: dict[tuple[str, str], dict[str, Any]] = {}
        self.linked: set[tuple[str, str]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/import", self._import),
            web.post("/track", self._track),
            web.post("/engage", self._update),
            web.post("/groups", self._update),
        ]

    def refusal(self, request: web.Request, body: Any) -> web.Response | None:
        if request.path != "/import":
            return None
        allowed = {basic("secret", ""), basic("token", "")}
        if request.headers.get("authorization") not in allowed:
            error = {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"}
            return web.json_response(error, status=401)
        return None

    async def _import(self, request: web.Request) -> web.Response:
        events = await request.json()
        if len(await request.read()) > BODY_BYTES_MAX or len(events) > RECORDS_MAX:
            error = {"code": 413, "error": "request exceeds max limit", "status": "Request Entity Too Large"}
            return web.json_response(error, status=413)
        errors = [(index, event_error(event)) for index, event in enumerate(events)]
        failed: list[dict[str, Any]] = [{"index": index, **error} for index, error in errors if error]
        refused = {each["index"] for each in failed}
        for index, event in enumerate(events):
            if index not in refused:
                properties = event["properties"]
                key = (event["event"], properties["time"], properties["distinct_id"], properties["$insert_id"])
                self.events[key] = properties
        return _strict(len(events), failed)

    async def _track(self, request: web.Request) -> web.Response:
        valid = [event for event in (await request.json()) if event["properties"].get("token") == "token"]
        for event in valid:
            properties = event["properties"]
            if event["event"] == "$identify":
                self.linked.add((properties["$identified_id"], properties["$anon_id"]))
            elif event["event"] == "$create_alias":
                self.linked.add((properties["alias"], properties["distinct_id"]))
        answer = {"status": 1, "error": None} if valid else {"status": 0, "error": "token, missing or empty"}
        return web.json_response(answer)

    async def _update(self, request: web.Request) -> web.Response:
        updates = await request.json()
        if len(updates) > RECORDS_MAX:
            return web.json_response({"code": 413, "error": "request exceeds max limit"}, status=413)
        failed: list[dict[str, Any]] = [
            {"index": index, "field": "$token", "message": "'$token' is invalid"}
            for index, update in enumerate(updates)
            if update.get("$token") != "token"
        ]
        for update in updates:
            if update.get("$token") == "token":
                self._apply(update)
        return _strict(len(updates), failed)

    def _apply(self, update: dict[str, Any]) -> None:
        if "$group_key" in update:
            self.groups.setdefault((update["$group_key"], update["$group_id"]), {}).update(update["$set"])
            return
        who = update["$distinct_id"]
        if "$delete" in update:
            self.profiles.pop(who, None)
        else:
            profile = self.profiles.setdefault(who, {})
            profile.update(update.get("$set", {}))
            for name, amount in update.get("$add", {}).items():
                profile[name] = profile.get(name, 0) + amount


def event_error(event: dict[str, Any]) -> dict[str, str] | None:
    """What strict validation would find wrong with one event."""
    properties = event.get("properties", {})
    insert_id, time = str(properties.get("$insert_id", "")), properties.get("time")
    if not event.get("event"):
        return _failed(insert_id, "event", "'event' must not be missing or blank")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,36}", insert_id) or insert_id in PLACEHOLDERS:
        return _failed(insert_id, "properties.$insert_id", "'properties.$insert_id' is invalid")
    if not isinstance(time, int) or time < YEAR_1971_MS:
        return _failed(insert_id, "properties.time", "'properties.time' is invalid")
    if "distinct_id" not in properties or str(properties["distinct_id"]).lower() in PLACEHOLDERS:
        return _failed(insert_id, "properties.distinct_id", "'properties.distinct_id' is invalid")
    if len(properties) >= 255:
        return _failed(insert_id, "properties", "must have fewer than 255 properties")
    return None


def _failed(insert_id: str, field: str, message: str) -> dict[str, str]:
    return {"insert_id": insert_id, "field": field, "message": message}


def _strict(records: int, failed: list[dict[str, Any]]) -> web.Response:
    if not failed:
        return web.json_response({"code": 200, "num_records_imported": records, "status": "OK"})
    body = {
        "code": 400,
        "error": "some data points in the request failed validation",
        "status": "Bad Request",
        "num_records_imported": records - len(failed),
        "failed_records": failed,
    }
    return web.json_response(body, status=400)
