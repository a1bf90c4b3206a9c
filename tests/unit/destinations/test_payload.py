"""From mapped values to a payload of declared fields."""

from typing import Any

import msgspec
import pytest

from tabard.destinations.kit.field import DateForm, Field
from tabard.destinations.kit.payload import Payload, PayloadRefused, check_settings, compile_fields


def payload(fields: dict[str, Field], values: dict[str, Any]) -> dict[str, Any]:
    return compile_fields(fields)(values)


@pytest.mark.parametrize("given", ["2024-03-05T12:20:30.123+02:00", 1709634030.123, 1709634030123, "1709634030123"])
@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("iso", "2024-03-05T10:20:30.123Z"),
        ("date", "2024-03-05"),
        ("unix_s", 1709634030),
        ("unix_ms", 1709634030123),
    ],
)
def test_a_date_takes_the_form_its_field_wants(given: Any, form: DateForm, expected: Any) -> None:
    assert payload({"at": Field(label="At", type="datetime", date_form=form)}, {"at": given}) == {"at": expected}


def test_a_date_passes_as_given_where_no_form_is_declared() -> None:
    assert payload({"at": Field(label="At", type="datetime")}, {"at": 1709634030}) == {"at": 1709634030}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (Field(label="-", type="string"), 5, "5"),
        (Field(label="-", type="string"), 1e21, "1e+21"),
        (Field(label="-", type="string"), True, "true"),
        (Field(label="-", type="number"), " 5.5 ", 5.5),
        (Field(label="-", type="integer"), 5.0, 5),
        (Field(label="-", type="boolean"), "false", False),
        (Field(label="-", type="string"), ["one"], "one"),
        (Field(label="-", type="string", multiple=True), "one", ["one"]),
        (Field(label="-", type="object", multiple=True), {"a": 1}, [{"a": 1}]),
        (Field(label="-", type="string", allow_null=True), None, None),
    ],
)
def test_a_value_is_taken_to_its_fields_type(field: Field, value: Any, expected: Any) -> None:
    result = payload({"k": field}, {"k": value})["k"]
    assert (result, type(result)) == (expected, type(expected))


def test_empty_values_and_undeclared_ones_do_not_reach_the_payload() -> None:
    inner = Field(label="-", type="object", properties={"name": Field(label="-", type="string")})
    fields = {"text": Field(label="-", type="string"), "inner": inner}
    values = {"text": "", "null": None, "extra": 1, "inner": {"name": "", "extra": 1}}
    assert payload(fields, values) == {"inner": {"name": ""}}


def test_everything_wrong_is_said_with_its_path_and_without_the_value() -> None:
    product = {"price": Field(label="Price", type="number", required=True)}
    fields = {
        "email": Field(label="E-mail", type="string", format="email", required=True),
        "products": Field(label="Products", type="object", multiple=True, properties=product),
        "plan": Field(label="Plan", type="string", choices=("free", "pro")),
        "size": Field(label="Size", type="integer", minimum=1, maximum=5),
    }
    with pytest.raises(PayloadRefused) as refused:
        payload(fields, {"products": [{"price": 1}, {"price": "secret"}, {}], "plan": "secret", "size": 9})
    assert [str(problem) for problem in refused.value.problems] == [
        "products[1].price: should be a number but it is a text",
        "products[2].price: is required",
        "plan: should be one of free, pro",
        "size: should be from 1 to 5",
        "email: is required",
    ]


def test_a_payload_is_encoded_once_field_by_field_and_knows_its_length() -> None:
    values = {"traits": {"address": {"city": "Prague"}, "tags": ["a"]}, "name": "Ann", "number": 5}
    shared = Payload(values)
    assert shared.json("traits") == msgspec.json.encode(values["traits"])
    assert shared.json("traits") is shared.json("traits")
    assert shared.json_bytes() == len(msgspec.json.encode(values))


def test_a_number_of_absurd_length_is_refused_not_computed() -> None:
    with pytest.raises(PayloadRefused, match="should be a number"):
        payload({"n": Field(label="-", type="number")}, {"n": "9" * 5_000})


def test_settings_get_their_defaults_and_types() -> None:
    fields = {
        "region": Field(label="Region", type="string", choices=("us", "eu"), default="us"),
        "token": Field(label="Token", type="string", required=True, secret=True),
    }
    assert check_settings(fields, {"token": "t"}) == {"region": "us", "token": "t"}
    with pytest.raises(PayloadRefused, match="token: is required"):
        check_settings(fields, {"region": "eu"})
