"""The mapping language: reserved traits, derived values, data as data, liquid within its limits."""

from typing import Any

import pytest

from tabard.destinations.kit.directives import MappingFailed
from tabard.destinations.kit.mapping import MappingInvalid, compile_mapping
from tabard.destinations.kit.mapping_check import DEPTH_MAX
from tabard.destinations.kit.paths import MISSING


def mapped(mapping: Any, message: dict[str, Any]) -> Any:
    return compile_mapping(mapping)(message)


@pytest.mark.parametrize(
    ("path", "traits", "expected"),
    [
        ("$.traits.firstName", {"first_name": "Ada"}, "Ada"),
        ("$.traits.first_name", {"firstName": "Ada"}, "Ada"),
        ("$.traits.createdAt", {"created_at": 1}, 1),
        ("$.traits.address.postalCode", {"address": {"postal_code": "1"}}, "1"),
        ("$.traits.address.postal_code", {"address": {"postalCode": "1"}}, "1"),
        ("$.traits.company.employee_count", {"company": {"employeeCount": 5}}, 5),
        ("$.traits.company.employeeCount", {"company": {"employee_count": 5}}, 5),
        ("$.traits.firstName", {"firstName": "asked", "first_name": "other"}, "asked"),
        ("$.traits.firstName", {"firstName": None, "first_name": "other"}, None),
        ("$.traits.likesBaseball", {"likes_baseball": True}, MISSING),
        ("$.traits.address.zipCode", {"address": {"zip_code": "1"}}, MISSING),
        ("$.traits.nested.firstName", {"nested": {"first_name": "Ada"}}, MISSING),
        ("$.traits.first_name.x", {"firstName": ""}, ""),
    ],
)
def test_a_reserved_trait_is_found_in_either_spelling_and_others_are_not(
    path: str, traits: dict[str, Any], expected: Any
) -> None:
    assert mapped({"@path": path}, {"traits": traits}) == expected


def test_traits_in_context_are_found_in_either_spelling_too() -> None:
    assert mapped({"@path": "$.context.traits.lastName"}, {"context": {"traits": {"last_name": "L"}}}) == "L"


def test_a_template_reads_reserved_traits_in_either_spelling() -> None:
    assert mapped({"@template": "Hi {{traits.firstName}}!"}, {"traits": {"first_name": "Ada"}}) == "Hi Ada!"


def test_what_is_passed_whole_gets_no_copies() -> None:
    traits = {"first_name": "Ada", "last_name": "L"}
    assert mapped({"all": {"@path": "$.traits"}}, {"traits": traits}) == {"all": traits}


def test_a_missing_name_is_filled_from_first_and_last() -> None:
    name = {"@path": "$.traits.name"}
    assert mapped(name, {"traits": {"first_name": "Ada", "lastName": "Lovelace"}}) == "Ada Lovelace"
    assert mapped(name, {"traits": {"name": "Countess", "firstName": "A", "lastName": "L"}}) == "Countess"
    assert mapped(name, {"traits": {"firstName": "Ada"}}) is MISSING
    assert mapped(name, {"type": "track"}) is MISSING


def test_a_missing_email_is_the_user_id_of_an_identify_that_is_an_email_address() -> None:
    email = {"@path": "$.traits.email"}
    assert mapped(email, {"type": "identify", "userId": "cool@example.com"}) == "cool@example.com"
    assert mapped(email, {"type": "identify", "userId": "97980cfea0067", "traits": {}}) is MISSING
    assert mapped(email, {"type": "group", "userId": "cool@example.com", "traits": {}}) is MISSING


def test_what_a_message_says_is_never_taken_for_a_mapping() -> None:
    traits = {"plan": {"@path": "$.userId"}, "note": "{{userId}} {{{userId}}}", "@template": "{{userId}}"}
    message = {"userId": "secret", "traits": traits}
    mapping = {
        "whole": {"@path": "$.traits"},
        "plan": {"@merge": {"direction": "right", "objects": [{"@path": "$.traits.plan"}]}},
        "note": {"@template": "{{{traits.note}}}|{{traits.note}}"},
        "liquid": {"@liquid": "{{ traits.note }}"},
    }
    assert mapped(mapping, message) == {
        "whole": traits,
        "plan": {"@path": "$.userId"},
        "note": "{{userId}} {{{userId}}}|{{userId}} {{{userId}}}",
        "liquid": "{{userId}} {{{userId}}}",
    }


def test_all_faults_of_a_mapping_are_named_with_their_places() -> None:
    with pytest.raises(MappingInvalid) as refused:
        compile_mapping({"a": {"@path": 1}, "b": {"c": {"@nope": 1}}, "d": {"@if": {"then": 1}}})
    assert list(map(str, refused.value.faults)) == [
        "/a/@path should be a string or a mapping directive but it is a number.",
        "/b/c has an invalid directive: @nope.",
        '/d/@if requires an "exists" key or a "blank" key.',
    ]


def test_a_mapping_nested_too_deep_is_refused() -> None:
    mapping: Any = "bottom"
    for _ in range(DEPTH_MAX + 2):
        mapping = {"a": mapping}
    with pytest.raises(MappingInvalid, match="nested more than"):
        compile_mapping(mapping)


def test_a_template_that_is_no_text_for_this_message_fails_with_its_place() -> None:
    with pytest.raises(MappingFailed, match="/note/@template: the template should be a text"):
        mapped({"note": {"@template": {"@path": "$.traits.missing"}}}, {"traits": {}})


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for i in (1..9) %}{% endfor %}", "for"),
        ("{{ a | sort }}", "disabled"),
        ("{{ a | upcaze }}", "unknown"),
        ("{{ a", "cannot be read"),
        ("{% include 'x' %}", "include"),
        ("x" * 1001, "limited to 1000"),
    ],
)
def test_a_liquid_template_is_refused_when_the_mapping_is_saved(template: str, reason: str) -> None:
    with pytest.raises(MappingInvalid, match=reason):
        compile_mapping({"k": {"@liquid": template}})


@pytest.mark.parametrize(
    "template",
    [
        "{{ s" + ' | replace: "x", "xxxxxxxxxx"' * 30 + " }}",
        "{% assign a = s %}" + "{% assign a = a | append: a %}" * 30 + "{{ a }}",
        "{% assign n = 99999 %}" + "{% assign n = n | times: n %}" * 30 + "{{ n }}",
        "{% assign a = s %}" + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 20 + "{{ a }}",
        '{{ (1..999999999) | join: "," }}',
        '{{ "now" | date: "%s" }}',
    ],
)
def test_a_liquid_template_cannot_grow_without_bound_or_read_the_clock(template: str) -> None:
    with pytest.raises(MappingFailed, match="/k/@liquid"):
        mapped({"k": {"@liquid": template}}, {"s": "x"})


def test_a_liquid_date_is_in_utc_whatever_the_machine_thinks() -> None:
    assert mapped({"@liquid": '{{ at | date: "%H:%M %s" }}'}, {"at": "2024-03-05T12:20:30+02:00"}) == "10:20 1709634030"
