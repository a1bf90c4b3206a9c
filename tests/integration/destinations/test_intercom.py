"""Intercom against a local stand-in of its REST API."""

from datetime import UTC, datetime

import pytest

from tabard.destinations.kit.errors import AuthenticationFailed, HttpError, Rejected, Retryable, Unreachable
from tests.integration.destinations.sending import identify, sender, track
from tests.integration.destinations.vendors.intercom import RestApi
from tests.integration.destinations.vendors.stand_in import Fault

TRAITS = {
    "email": "cool.person@example.com",
    "first_name": "Cool",
    "last_name": "Person",
    "createdAt": 1700000000000,
    "address": {"city": "Prague"},
    "city": "Prague",
    "logins": 5,
    "vip": True,
}


async def test_a_plain_identify_works_in_a_workspace_that_knows_none_of_its_attributes() -> None:
    api = RestApi()
    async with api.running() as send:
        await sender("intercom", send).one(identify("u1", TRAITS))
    [contact] = api.contacts.values()
    assert contact["external_id"] == "u1"
    assert (contact["name"], contact["signed_up_at"]) == ("Cool Person", 1700000000)
    # "city" is a standard attribute of Intercom's own and cannot be created, so it is left out.
    assert contact["custom_attributes"] == {"address_city": "Prague", "logins": 5, "vip": True}


async def test_a_second_identify_updates_the_same_contact() -> None:
    api = RestApi()
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(identify("u1", {"name": "Cool"}))
        await intercom.one(identify("u1", {"name": "Cooler"}))
    assert [contact["name"] for contact in api.contacts.values()] == ["Cooler"]


async def test_a_lead_known_by_email_becomes_the_user_with_the_id() -> None:
    api = RestApi()
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(identify("cool@example.com", {"plan": "free"}))
        await intercom.one(identify("u1", {"email": "cool@example.com"}))
        await intercom.one(track("u1", "Signed Up"))
    [contact] = api.contacts.values()
    assert (contact["external_id"], contact["email"]) == ("u1", "cool@example.com")
    assert api.events == [(contact["id"], "Signed Up")]


async def test_a_contact_the_search_does_not_know_yet_is_updated_all_the_same() -> None:
    api = RestApi()
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(identify("u1", {"name": "Cool"}))
        api.unsearchable |= set(api.contacts)
        await intercom.one(identify("u1", {"name": "Cooler"}))
    assert [contact["name"] for contact in api.contacts.values()] == ["Cooler"]


async def test_an_email_that_somebody_else_has_is_rejected_and_changes_nobody() -> None:
    api = RestApi()
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(identify("u1", {"email": "shared@example.com"}))
        with pytest.raises(Rejected, match="another external id"):
            await intercom.one(identify("u2", {"email": "shared@example.com"}))
    assert [contact["external_id"] for contact in api.contacts.values()] == ["u1"]


async def test_a_group_creates_company_and_member_once() -> None:
    api = RestApi()
    group = {"type": "group", "groupId": "g1", "userId": "u1", "traits": {"name": "Acme", "tier": "gold"}}
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(group)
        await intercom.one(group)
    [company], [contact] = api.companies.values(), api.contacts.values()
    assert (company["company_id"], company["custom_attributes"]) == ("g1", {"tier": "gold"})
    assert api.members == {(contact["id"], company["id"])}


async def test_an_event_of_a_lead_finds_them_by_email_and_one_of_nobody_is_refused() -> None:
    api = RestApi()
    api.contacts["c9"] = {"id": "c9", "role": "lead", "email": "lead@example.com", "external_id": None}
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(track("lead@example.com", "Asked"))
        with pytest.raises(HttpError, match="404"):
            await intercom.one(track("unknown", "Asked"))
    assert api.events == [("c9", "Asked")]


async def test_a_used_up_limit_says_when_it_resets_and_a_broken_vendor_is_tried_again() -> None:
    api = RestApi()
    reset = int(datetime.now(UTC).timestamp()) + 10
    api.faults.extend([Fault(429, {"X-RateLimit-Reset": str(reset)}), Fault(500), Fault(is_reset=True)])
    async with api.running() as send:
        intercom = sender("intercom", send)
        with pytest.raises(Retryable) as waiting:
            await intercom.one(track("u1", "x"))
        assert waiting.value.retry_after_s is not None
        assert 8 < waiting.value.retry_after_s <= 10
        with pytest.raises(HttpError, match="500"):
            await intercom.one(identify("u1"))
        with pytest.raises(Unreachable):
            await intercom.one(identify("u1"))


async def test_an_identify_whose_answer_was_lost_makes_no_second_contact() -> None:
    api = RestApi()
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.one(identify("u0"))
        api.faults.extend([Fault(200, body={"data": []}), Fault(is_carried_out=True, is_reset=True)])
        with pytest.raises(Unreachable):
            await intercom.one(identify("u1"))
        await intercom.one(identify("u1"))
    assert sorted(contact["external_id"] for contact in api.contacts.values()) == ["u0", "u1"]


async def test_the_token_is_checked_and_a_persons_deletion_removes_the_contacts() -> None:
    api = RestApi()
    async with api.running() as send:
        intercom = sender("intercom", send)
        await intercom.test()
        with pytest.raises(AuthenticationFailed):
            await sender("intercom", send, accessToken="wrong").test()
        await intercom.one(identify("u1"))
        await intercom.one(identify("a@b.co"))
        await intercom.one(identify("u2"))
        await intercom.delete("u1", None, "a@b.co")
        await intercom.delete("nobody")
        await intercom.delete()
    assert [contact["external_id"] for contact in api.contacts.values()] == ["u2"]
