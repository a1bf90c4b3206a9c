"""Companies at Intercom, and who belongs to them. Sources: wire.md §5.6; developers.intercom.com, "Create or update a
company", "Attach a contact to a company".
"""

from typing import Any

from tabard.destinations.catalog.intercom.attributes import flat_attributes, write
from tabard.destinations.catalog.intercom.contacts import contact_id_of, identity
from tabard.destinations.catalog.intercom.rest_api import api_of, id_in
from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.dates import date_in_form
from tabard.destinations.kit.defaults import first_of
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import Send

SPEND_MAX = 2**31 - 1

_STANDARD = frozenset(
    {
        "id",
        "name",
        "plan",
        "website",
        "industry",
        "employees",
        "size",
        "monthly_spend",
        "monthlySpend",
        "createdAt",
        "created_at",
    }
)
_WRITTEN = ("company_id", "name", "plan", "website", "industry")


def _company(payload: dict[str, Any]) -> dict[str, Any]:
    company = {key: payload[key] for key in _WRITTEN if key in payload}
    created_at = date_in_form(payload.get("remote_created_at"), "unix_s")
    if created_at is not None:
        company["remote_created_at"] = created_at
    if payload.get("size", "").isdecimal():
        company["size"] = int(payload["size"])
    if "monthly_spend" in payload:
        company["monthly_spend"] = min(int(payload["monthly_spend"]), SPEND_MAX)
    custom = flat_attributes(payload.get("custom_attributes", {}), _STANDARD)
    return {**company, "custom_attributes": custom} if custom else company


async def _identify_company(send: Send, call: Call) -> None:
    api, payload = api_of(send, call), call.payload
    answer = await write(api, "POST", "/companies", _company(payload), "company")
    company_id = id_in(answer)
    contact_id = payload.get("contact_id")
    if not contact_id:
        ids = identity(payload.get("external_id"), payload.get("email"))
        contact_id = await contact_id_of(api, ids) if ids else None
    if contact_id:
        raise_for_status(await api.ask("POST", f"/contacts/{contact_id}/companies", {"id": company_id}))


IDENTIFY_COMPANY = Action(
    slug="groupIdentifyContact",
    title="Identify Company",
    description=(
        "Creates a company or changes it, and makes the person of the call belong to it. Intercom shows a company "
        "once somebody belongs to it."
    ),
    default_subscription='type = "group"',
    perform=_identify_company,
    fields={
        "company_id": Field(
            label="Company id",
            type="string",
            description="Your id of the company.",
            required=True,
            default={"@path": "$.groupId"},
        ),
        "external_id": Field(
            label="External id",
            type="string",
            description="Your id of the person who belongs to it.",
            default={"@path": "$.userId"},
        ),
        "email": Field(
            label="E-mail address",
            type="string",
            description="The person's e-mail address. The group's own is a custom attribute.",
            default={"@path": "$.context.traits.email"},
        ),
        "contact_id": Field(label="Contact id", type="string", description="Intercom's id of the person, if known."),
        "name": Field(
            label="Name", type="string", description="The company's name.", default={"@path": "$.traits.name"}
        ),
        "remote_created_at": Field(
            label="Created at",
            type="string",
            description="When the company came to you. Left out where it is no date.",
            default={"@path": "$.traits.createdAt"},
        ),
        "plan": Field(label="Plan", type="string", description="What it pays for.", default={"@path": "$.traits.plan"}),
        "size": Field(
            label="Size",
            type="string",
            description="How many people work there; left out where it is no number.",
            default=first_of("$.traits.employees", "$.traits.size"),
        ),
        "website": Field(
            label="Website", type="string", description="Its address.", default={"@path": "$.traits.website"}
        ),
        "industry": Field(
            label="Industry", type="string", description="Its industry.", default={"@path": "$.traits.industry"}
        ),
        "monthly_spend": Field(
            label="Monthly spend",
            type="number",
            minimum=0,
            description="What it brings in a month, in whole units.",
            default=first_of("$.traits.monthly_spend", "$.traits.monthlySpend"),
        ),
        "custom_attributes": Field(
            label="Custom attributes",
            type="object",
            description="What else is known, as for contacts.",
            default={"@path": "$.traits"},
        ),
    },
)
