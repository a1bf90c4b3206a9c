"""Contacts at Intercom: found, created or updated, deleted. Sources: wire.md §5.6; developers.intercom.com, "Search
contacts", "Create contact", "Update a contact", "Delete a contact".
"""

import re
from typing import Any

from tabard.destinations.catalog.intercom.attributes import flat_attributes, write
from tabard.destinations.catalog.intercom.rest_api import RestApi, api_of, error_messages, id_in
from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.errors import Filtered, Rejected, Retryable, raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpResponse, Send
from tabard.destinations.kit.traits import is_email

_CONFLICT, _NOT_FOUND = 409, 404
_NAMED_CONTACT = re.compile(r"\bid=(\w+)")

_STANDARD = frozenset({"id", "email", "phone", "name", "avatar", "createdAt", "created_at"})
_PARTS_OF_NAME = frozenset({"firstName", "first_name", "lastName", "last_name"})

_WRITTEN = ("role", "phone", "name", "avatar", "last_seen_at", "owner_id", "unsubscribed_from_emails")


def identity(user_id: str | None, email: str | None) -> dict[str, str]:
    """Who a person is for Intercom: `external_id` and `email`, as far as known. A userId that is an address is that."""
    if user_id is not None and is_email(user_id):
        return {"email": user_id}
    ids = {"external_id": user_id} if user_id else {}
    return {**ids, "email": email} if email else ids


async def find_contact(api: RestApi, ids: dict[str, str]) -> dict[str, Any] | None:
    """The contact with that external id, or with that e-mail address where there is no external id; None for nobody.

    Raises Rejected where several contacts share the address and more than one could be meant.
    """
    field = "external_id" if "external_id" in ids else "email"
    query = {"query": {"field": field, "operator": "=", "value": ids[field]}}
    found = (await api.done("POST", "/contacts/search", query)).get("data") or []
    if len(found) > 1:
        found = [contact for contact in found if not contact.get("external_id")]
        if len(found) != 1:
            raise Rejected(f"several contacts have this {field}, and the call does not say which is meant", 409)
    return found[0] if found else None


async def contact_id_of(api: RestApi, ids: dict[str, str]) -> str:
    """Intercom's id of the contact, who is created if there is none."""
    known = await find_contact(api, ids)
    return str(known["id"]) if known else await _create(api, {"role": "user", **ids})


async def _identify(send: Send, call: Call) -> None:
    api, payload = api_of(send, call), call.payload
    ids = identity(payload.get("external_id"), payload.get("email"))
    if payload["role"] == "lead":
        # Intercom gives leads an external id of its own.
        ids.pop("external_id", None)
    if not ids:
        raise Filtered("Intercom knows users by a userId or an e-mail address, leads by an e-mail address")
    email = {"email": payload["email"]} if "email" in payload else {}
    contact = {**ids, **email, **_contact(payload)}
    known = await find_contact(api, ids)
    await (_update(api, known, contact) if known else _create(api, contact))


async def _create(api: RestApi, contact: dict[str, Any]) -> str:
    answer = await write(api, "POST", "/contacts", contact, "contact")
    if answer.status == _CONFLICT:
        return await _update(api, await _in_the_way(api, answer, contact), contact)
    return id_in(answer)


async def _update(api: RestApi, known: dict[str, Any], contact: dict[str, Any]) -> str:
    """A user cannot be made a lead again, so that is not asked for."""
    changes = {key: value for key, value in contact.items() if key != "role" or value == "user"}
    raise_for_status(await write(api, "PUT", f"/contacts/{known['id']}", changes, "contact"))
    return str(known["id"])


async def _in_the_way(api: RestApi, answer: HttpResponse, contact: dict[str, Any]) -> dict[str, Any]:
    """The contact that a conflict names: one the search does not know yet, or a lead who gave this e-mail address.

    Raises Rejected where it belongs to somebody with another external id.
    """
    named = next((found for text in error_messages(answer) if (found := _NAMED_CONTACT.search(text))), None)
    if named is None:
        raise Retryable("Intercom has this contact already but does not find it yet")
    known = await api.done("GET", f"/contacts/{named[1]}")
    ours, theirs = contact.get("external_id"), known.get("external_id")
    if ours and theirs and ours != theirs:
        raise Rejected("another contact, with another external id, has this e-mail address", _CONFLICT)
    return known


async def delete_contact(api: RestApi, ids: dict[str, str]) -> None:
    """Deletes the contact, if there is one."""
    known = await find_contact(api, ids)
    if known is not None:
        answer = await api.ask("DELETE", f"/contacts/{known['id']}")
        if answer.status != _NOT_FOUND:
            raise_for_status(answer)


def _contact(payload: dict[str, Any]) -> dict[str, Any]:
    """What is written of a person, but for who they are."""
    contact = {key: payload[key] for key in _WRITTEN if key in payload}
    signed_up_at = date_in_form(payload.get("signed_up_at"), "unix_s")
    if signed_up_at is not None:
        contact["signed_up_at"] = signed_up_at
    standard = _STANDARD | _PARTS_OF_NAME if "name" in payload else _STANDARD
    custom = flat_attributes(payload.get("custom_attributes", {}), standard)
    return {**contact, "custom_attributes": custom} if custom else contact


IDENTIFY_CONTACT = Action(
    slug="identifyContact",
    title="Identify Contact",
    description=(
        "Creates a contact or changes it. People are found by userId, or by e-mail address where there is none; a "
        "userId that is an e-mail address is taken for that. A call with neither is left out."
    ),
    default_subscription='type = "identify"',
    perform=_identify,
    fields={
        "role": Field(
            label="Role",
            type="string",
            description="`user`, or `lead` for somebody who has not signed up.",
            required=True,
            choices=("user", "lead"),
            default="user",
        ),
        "external_id": Field(
            label="External id",
            type="string",
            description="Your id of the person.",
            default={"@path": "$.userId"},
        ),
        "email": Field(
            label="E-mail address",
            type="string",
            description="The person's e-mail address.",
            default={"@path": "$.traits.email"},
        ),
        "phone": Field(
            label="Phone number",
            type="string",
            description="The person's phone number.",
            default={"@path": "$.traits.phone"},
        ),
        "name": Field(
            label="Name",
            type="string",
            description="The full name; made of first and last name where only these came.",
            lenient=True,
            default={"@path": "$.traits.name"},
        ),
        "avatar": Field(
            label="Avatar",
            type="string",
            description="The address of a picture.",
            default={"@path": "$.traits.avatar"},
        ),
        "signed_up_at": Field(
            label="Signed up at",
            type="string",
            description="When the person signed up: what elsewhere is created_at. Left out where it is no date.",
            lenient=True,
            default={"@path": "$.traits.createdAt"},
        ),
        "last_seen_at": Field(
            label="Last seen at",
            type="datetime",
            date_form="unix_s",
            description="When the person was seen last.",
            default={"@path": "$.timestamp"},
            volatile=True,
        ),
        "owner_id": Field(label="Owner id", type="number", description="The admin who owns the contact."),
        "unsubscribed_from_emails": Field(
            label="Unsubscribed from e-mails",
            type="boolean",
            description="Whether the person wants no e-mails.",
        ),
        "custom_attributes": Field(
            label="Custom attributes",
            type="object",
            description=(
                "What else is known. Standard attributes in it are left to their own fields, objects are flattened "
                "(address_city), and an attribute the workspace lacks is created there."
            ),
            default={"@path": "$.traits"},
        ),
    },
)
