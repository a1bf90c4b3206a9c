"""Customer.io's Track API: /auth, /api/v2/entity, /api/v2/batch, /api/v1/metrics.

Follows docs.customer.io, Track API: "Make a single request" and "Send multiple requests" (shapes, 32 kB, 500 kB, 207
with batch_index), "Report metrics", "Invalid API Requests" (300 attributes, names of 150 and values of 1,000 bytes,
event names of 100), and "Anonymous events" (joined when a person gets that anonymous_id).
"""

import json
from typing import Any

from aiohttp import web

from tests.integration.destinations.vendors.stand_in import StandIn, basic

ITEM_BYTES_MAX = 32 * 1024
BATCH_BYTES_MAX = 500_000
METRICS = {"bounced", "clicked", "converted", "deferred", "delivered", "dropped", "opened", "spammed"}
EVENT_ACTIONS = {"event", "page", "screen", "viewed_content", "clicked_content"}
PERSON_ACTIONS = EVENT_ACTIONS | {
    "identify",
    "delete",
    "suppress",
    "unsuppress",
    "add_device",
    "delete_device",
    "merge",
}
OBJECT_ACTIONS = {"identify", "identify_anonymous", "delete", "add_relationships", "delete_relationships"}


class TrackApi(StandIn):
    """`people` holds attributes by identifier, `events` name by identifier, `objects` attributes by object id."""

    hosts = ("track.customer.io", "track-eu.customer.io")

    def __init__(self, region: str = "us") -> None:
        super().__init__()
        self.home = "track.customer.io" if region == "us" else "track-eu.customer.io"
        self.people: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, str]] = []
        self.event_ids: set[str] = set()
        self.objects: dict[str, dict[str, Any]] = {}
        self.relationships: set[tuple[str, str]] = set()
        self.devices: dict[str, set[str]] = {}
        self.suppressed: set[str] = set()
        self.metrics: list[dict[str, Any]] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/auth", self._auth),
            web.post("/api/v2/entity", self._entity),
            web.post("/api/v2/batch", self._batch),
            web.post("/api/v1/metrics", self._metric),
        ]

    def refusal(self, request: web.Request, body: Any) -> web.Response | None:
        expected = basic("site", "key")
        at_home = request.headers["x-stand-in-host"] == self.home
        if request.headers.get("authorization") != expected or not at_home:
            return web.json_response({"meta": {"error": "unauthorized"}}, status=401)
        return None

    async def _auth(self, _request: web.Request) -> web.Response:
        return web.json_response({"meta": {"message": "nice credentials."}})

    async def _entity(self, request: web.Request) -> web.Response:
        error = self._take((await request.json()), len(await request.read()))
        return web.json_response({"errors": [error]}, status=400) if error else web.json_response({})

    async def _batch(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not isinstance(body, dict) or not isinstance(body.get("batch"), list):
            return web.json_response({"errors": [{"reason": "invalid", "field": "batch"}]}, status=400)
        if len(await request.read()) > BATCH_BYTES_MAX:
            return web.json_response({"errors": [{"reason": "too_large"}]}, status=413)
        found = [self._take(entity, len(json.dumps(entity))) for entity in body["batch"]]
        errors = [{"batch_index": index, **error} for index, error in enumerate(found) if error]
        return web.json_response({"errors": errors}, status=207) if errors else web.json_response({})

    async def _metric(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not body.get("delivery_id") or body.get("metric") not in METRICS:
            return web.json_response({"meta": {"error": "invalid metric"}}, status=400)
        self.metrics.append(body)
        return web.json_response({})

    def _take(self, entity: dict[str, Any], size: int) -> dict[str, str] | None:
        error = shape_error(entity, size)
        if error is None:
            self._carry_out(entity)
        return error

    def _carry_out(self, entity: dict[str, Any]) -> None:
        action = entity["action"]
        if action == "merge":
            loser = self.people.pop(_only(entity["secondary"]), {})
            winner = self.people.setdefault(_only(entity["primary"]), {})
            winner.update({key: value for key, value in loser.items() if key not in winner})
        elif entity["type"] == "object":
            self._carry_out_object(entity)
        elif action in EVENT_ACTIONS:
            if entity.get("id") not in self.event_ids:
                self.events.append((_only(entity["identifiers"]), entity["name"]))
            self.event_ids |= {entity["id"]} if "id" in entity else set()
        else:
            self._carry_out_person(entity, _only(entity["identifiers"]))

    def _carry_out_person(self, entity: dict[str, Any], who: str) -> None:
        action = entity["action"]
        if action == "identify" and who not in self.suppressed:
            attributes = self.people.setdefault(who, {})
            attributes.update(entity.get("attributes", {}))
            anonymous = attributes.get("anonymous_id")
            self.events = [(who if person == anonymous else person, name) for person, name in self.events]
            self.relationships |= {
                (link["identifiers"]["object_id"], who) for link in entity.get("cio_relationships", [])
            }
        elif action in ("delete", "suppress"):
            self.people.pop(who, None)
            self.suppressed |= {who} if action == "suppress" else set()
        elif action == "unsuppress":
            self.suppressed.discard(who)
        elif action == "add_device":
            self.devices.setdefault(who, set()).add(entity["device"]["token"])
        elif action == "delete_device":
            self.devices.get(who, set()).discard(entity["device"]["token"])

    def _carry_out_object(self, entity: dict[str, Any]) -> None:
        object_id, action = entity["identifiers"]["object_id"], entity["action"]
        links = {(object_id, _only(link["identifiers"])) for link in entity.get("cio_relationships", [])}
        if action == "delete":
            self.objects.pop(object_id, None)
        elif action == "delete_relationships":
            self.relationships -= links
        else:
            self.objects.setdefault(object_id, {}).update(entity.get("attributes", {}))
            self.relationships |= links


def shape_error(entity: dict[str, Any], size: int) -> dict[str, str] | None:
    """What the Track API would find wrong with one entity."""
    kind, action = entity.get("type"), entity.get("action")
    actions = {"person": PERSON_ACTIONS, "object": OBJECT_ACTIONS}.get(str(kind), set())
    if size > ITEM_BYTES_MAX:
        return _error("too_large", "", "must be smaller than 32kb")
    if action not in actions:
        return _error("invalid", "action", f"{kind} cannot {action}")
    if action == "merge":
        halves = all(_is_person(entity.get(half), anonymous=False) for half in ("primary", "secondary"))
        return None if halves else _error("required", "primary", "needs primary and secondary")
    if kind == "object" and set(entity.get("identifiers", {})) != {"object_type_id", "object_id"}:
        return _error("required", "identifiers", "needs object_type_id and object_id")
    if kind == "person" and not _is_person(entity.get("identifiers"), anonymous=action in EVENT_ACTIONS):
        return _error("required", "identifiers", "needs exactly one identifier")
    if "timestamp" in entity and not isinstance(entity["timestamp"], int):
        return _error("invalid", "timestamp", "must be a unix timestamp")
    if action in EVENT_ACTIONS and not 0 < len(entity.get("name", "").encode()) <= 100:
        return _error("invalid", "name", "cannot be blank or longer than 100 bytes")
    if action == "add_device" and entity.get("device", {}).get("platform") not in ("ios", "android"):
        return _error("invalid", "device.platform", "must be ios or android")
    return _attributes_error(entity) if action == "identify" else None


def _attributes_error(entity: dict[str, Any]) -> dict[str, str] | None:
    attributes = entity.get("attributes", {})
    if len(attributes) > 300:
        return _error("invalid", "attributes", "cannot identify more than 300 attributes in one request")
    if any(len(name.encode()) > 150 for name in attributes):
        return _error("invalid", "attributes", "attribute name cannot be longer than 150 bytes")
    if any(isinstance(value, str) and len(value.encode()) > 1_000 for value in attributes.values()):
        return _error("invalid", "attributes", "value cannot be longer than 1000 bytes")
    return None


def _is_person(identifiers: Any, *, anonymous: bool) -> bool:
    allowed = {"id", "email", "cio_id"} | ({"anonymous_id"} if anonymous else set())
    return isinstance(identifiers, dict) and len(identifiers) == 1 and set(identifiers) <= allowed


def _only(identifiers: dict[str, str]) -> str:
    [value] = identifiers.values()
    return value


def _error(reason: str, field: str, message: str) -> dict[str, str]:
    return {"reason": reason, "field": field, "message": message}
