"""The page's table of reserved traits, end to end: each trait in each spelling arrives under the vendor's name for it.

Where a vendor has no name of its own for a trait, it arrives as it was sent, as the page says.
"""

from typing import Any

import pytest

from tests.unit.destinations.catalog.bench import bench

VALUES: dict[str, Any] = {
    "address": {"city": "Prague", "country": "CZ", "state": "CZ-10", "street": "1 Main St"},
    "age": 33,
    "avatar": "https://cool.example/a.png",
    "birthday": "1990-05-17",
    "company": {"name": "Acme", "id": 42, "industry": "Retail", "plan": "enterprise"},
    "createdAt": "2023-11-14T22:13:20Z",
    "description": "A person",
    "email": "cool.person@example.com",
    "firstName": "Cool",
    "gender": "female",
    "id": "97980cfea0067",
    "lastName": "Person",
    "name": "Cool Person",
    "phone": "+420601234567",
    "title": "VP of Engineering",
    "username": "coolp",
    "website": "https://cool.example/",
}
SNAKE = {"createdAt": "created_at", "firstName": "first_name", "lastName": "last_name"}
PARTS = {("address", "postalCode"): "postal_code", ("company", "employee_count"): "employeeCount"}

CREATED_S, BIRTHDAY_S = 1700000000, 642902400
RENAMED: dict[str, dict[str, tuple[str, Any]]] = {
    "customerio": {"createdAt": ("created_at", CREATED_S), "birthday": ("birthday", BIRTHDAY_S)},
    "mixpanel": {
        "createdAt": ("$created", "2023-11-14T22:13:20.000Z"),
        "email": ("$email", VALUES["email"]),
        "firstName": ("$first_name", "Cool"),
        "lastName": ("$last_name", "Person"),
        "name": ("$name", "Cool Person"),
        "phone": ("$phone", VALUES["phone"]),
        "username": ("$username", "coolp"),
        "avatar": ("$avatar", VALUES["avatar"]),
    },
    "intercom": {
        "createdAt": ("signed_up_at", CREATED_S),
        "address": ("address_city", "Prague"),
        "company": ("company_name", "Acme"),
        # Intercom has an id of its own; ours is the external id, from the userId.
        "id": ("external_id", VALUES["id"]),
    },
}
SPELLED = [(trait, spelling) for trait in VALUES for spelling in dict.fromkeys([trait, SNAKE.get(trait, trait)])]


async def arrived(slug: str, traits: dict[str, Any]) -> dict[str, Any]:
    """What the vendor gets to know of the person, in one object."""
    call = {"type": "identify", "userId": VALUES["id"], "traits": traits, "timestamp": "2024-03-05T10:20:30Z"}
    body = (await bench(slug).bodies(call))[-1]
    if slug == "customerio":
        return dict(body["attributes"])
    if slug == "mixpanel":
        return dict(body[0]["$set"])
    return {**body, **body.get("custom_attributes", {})}


@pytest.mark.parametrize("slug", RENAMED)
@pytest.mark.parametrize(("trait", "spelling"), SPELLED)
async def test_a_reserved_trait_arrives_in_either_spelling(slug: str, trait: str, spelling: str) -> None:
    found = await arrived(slug, {spelling: VALUES[trait]})
    key, value = RENAMED[slug].get(trait, (spelling, VALUES[trait]))
    assert found[key] == value


@pytest.mark.parametrize("slug", RENAMED)
async def test_a_trait_sent_in_both_spellings_goes_out_under_the_vendors_one_name(slug: str) -> None:
    found = await arrived(slug, {"createdAt": VALUES["createdAt"], "created_at": VALUES["createdAt"]})
    key, value = RENAMED[slug]["createdAt"]
    assert found[key] == value
    assert {"createdAt", "created_at"} & set(found) <= {key}


@pytest.mark.parametrize("slug", RENAMED)
@pytest.mark.parametrize(("path", "other"), PARTS.items())
async def test_parts_of_address_and_company_arrive_as_they_were_sent(
    slug: str, path: tuple[str, str], other: str
) -> None:
    trait, part = path
    for spelling in (part, other):
        found = await arrived(slug, {trait: {spelling: 7}})
        assert found.get(f"{trait}_{spelling}") == 7 or found.get(trait) == {spelling: 7}


@pytest.mark.parametrize("slug", RENAMED)
async def test_a_name_of_one_part_is_no_full_name(slug: str) -> None:
    found = await arrived(slug, {"firstName": "Cool"})
    assert not {"name", "$name"} & set(found)
