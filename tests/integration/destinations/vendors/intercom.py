"""Intercom's REST API: /me, /contacts, /contacts/search, /companies, /events, /data_attributes.

Follows developers.intercom.com, REST API 2.14: "Create contact" (409 that names the contact, user needs an external id
or an e-mail address), "Update a contact", "Search contacts", "Delete a contact", "Create or update a company", "Attach
a contact to a company", "Submit a data event" (202, 404 for nobody), "Create a data attribute", "Rate limiting".
"""

import itertools
from typing import Any

from aiohttp import web

from tests.integration.destinations.vendors.stand_in import StandIn

STANDARD_ATTRIBUTES = {"name", "email", "phone", "city", "country"}


class RestApi(StandIn):
    """`contacts` and `companies` by Intercom's id, `events` by contact id, `attributes` known to the workspace."""

    hosts = ("api.intercom.io", "api.eu.intercom.io", "api.au.intercom.io")

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, dict[str, Any]] = {}
        self.companies: dict[str, dict[str, Any]] = {}
        self.members: set[tuple[str, str]] = set()
        self.events: list[tuple[str, str]] = []
        self.attributes: set[tuple[str, str]] = set()
        self.unsearchable: set[str] = set()
        self._ids = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/me", self._me),
            web.post("/contacts/search", self._search),
            web.post("/contacts", self._create),
            web.get("/contacts/{id}", self._read),
            web.put("/contacts/{id}", self._update),
            web.delete("/contacts/{id}", self._delete),
            web.post("/contacts/{id}/companies", self._attach),
            web.post("/companies", self._company),
            web.post("/events", self._event),
            web.post("/data_attributes", self._attribute),
        ]

    def refusal(self, request: web.Request, body: Any) -> web.Response | None:
        if request.headers.get("authorization") != "Bearer token":
            return _errors(401, "unauthorized", "Access Token Invalid")
        if request.headers.get("intercom-version") != "2.14" or request.headers.get("accept") != "application/json":
            return _errors(400, "intercom_version_invalid", "The requested version could not be found")
        return None

    async def _me(self, _request: web.Request) -> web.Response:
        return web.json_response({"type": "admin", "id": "1"})

    async def _search(self, request: web.Request) -> web.Response:
        query = (await request.json())["query"]
        assert query["operator"] == "="
        found = [
            contact
            for contact in self.contacts.values()
            if contact.get(query["field"]) == query["value"] and contact["id"] not in self.unsearchable
        ]
        return web.json_response({"type": "list", "total_count": len(found), "data": found})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("role") not in ("user", "lead"):
            return _errors(400, "parameter_invalid", "role is invalid")
        if body["role"] == "user" and not body.get("external_id") and not body.get("email"):
            return _errors(400, "parameter_not_found", "external_id or email is required")
        if body["role"] == "lead" and body.get("external_id"):
            return _errors(400, "parameter_invalid", "external_id cannot be set for a lead")
        unknown = self._unknown(body, "contact")
        if unknown:
            return unknown
        for contact in self.contacts.values():
            same_id = body.get("external_id") and contact.get("external_id") == body["external_id"]
            same_email = body.get("email") and contact.get("email") == body["email"]
            if same_id or same_email:
                message = f"A contact matching those details already exists with id={contact['id']}"
                return _errors(409, "conflict", message)
        contact = {"type": "contact", "id": f"c{next(self._ids)}", "external_id": None, **body}
        self.contacts[contact["id"]] = contact
        return web.json_response(contact)

    async def _read(self, request: web.Request) -> web.Response:
        contact = self.contacts.get(request.match_info["id"])
        return web.json_response(contact) if contact else _errors(404, "not_found", "User Not Found")

    async def _update(self, request: web.Request) -> web.Response:
        contact = self.contacts.get(request.match_info["id"])
        if contact is None:
            return _errors(404, "not_found", "User Not Found")
        body = await request.json()
        if body.get("role") == "lead" and contact["role"] == "user":
            return _errors(400, "client_error", "Contact with user role can't be converted to a lead")
        unknown = self._unknown(body, "contact")
        if unknown:
            return unknown
        contact.update(body)
        return web.json_response(contact)

    async def _delete(self, request: web.Request) -> web.Response:
        contact = self.contacts.pop(request.match_info["id"], None)
        return web.json_response({"deleted": True}) if contact else _errors(404, "not_found", "User Not Found")

    async def _attach(self, request: web.Request) -> web.Response:
        contact_id, company_id = request.match_info["id"], (await request.json()).get("id")
        if contact_id not in self.contacts or company_id not in self.companies:
            return _errors(404, "company_not_found", "Company Not Found")
        self.members.add((contact_id, company_id))
        return web.json_response(self.companies[company_id])

    async def _company(self, request: web.Request) -> web.Response:
        body = await request.json()
        unknown = self._unknown(body, "company")
        if unknown:
            return unknown
        known = next((each for each in self.companies.values() if each["company_id"] == body["company_id"]), None)
        company = known or {"type": "company", "id": f"co{next(self._ids)}"}
        company.update(body)
        self.companies[company["id"]] = company
        return web.json_response(company)

    async def _event(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not isinstance(body.get("created_at"), int) or not body.get("event_name"):
            return _errors(400, "parameter_invalid", "created_at and event_name are required")
        for contact in self.contacts.values():
            by_id = body.get("id") == contact["id"]
            by_user = body.get("user_id") and body["user_id"] == contact.get("external_id")
            by_email = body.get("email") and body["email"] == contact.get("email") and contact["role"] == "user"
            if by_id or by_user or by_email:
                self.events.append((contact["id"], body["event_name"]))
                return web.Response(status=202)
        return _errors(404, "not_found", "User Not Found")

    async def _attribute(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["name"] in STANDARD_ATTRIBUTES:
            return _errors(400, "parameter_invalid", f"'{body['name']}' is one of our standard attributes")
        if body["data_type"] not in ("string", "integer", "float", "boolean", "date"):
            return _errors(400, "parameter_invalid", "Data Type isn't an option")
        self.attributes.add((body["model"], body["name"]))
        return web.json_response({"type": "data_attribute", **body})

    def _unknown(self, body: dict[str, Any], model: str) -> web.Response | None:
        custom = body.get("custom_attributes", {})
        if any(isinstance(value, dict | list) for value in custom.values()):
            return _errors(400, "parameter_invalid", "custom_attributes must be a hash of simple values")
        missing = [name for name in custom if (model, name) not in self.attributes]
        if not missing:
            return None
        return _errors(400, "parameter_invalid", *(f"Custom attribute '{name}' does not exist" for name in missing))


def _errors(status: int, code: str, *messages: str) -> web.Response:
    errors = [{"code": code, "message": message} for message in messages]
    return web.json_response({"type": "error.list", "request_id": "r1", "errors": errors}, status=status)
