"""What is made from a declaration for people, forms and machines."""

from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.check import declaration_errors
from tabard.destinations.kit.describe import docs_page, example_values, form, json_schema
from tabard.destinations.kit.destination import Destination, Preset
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.payload import compile_fields
from tabard.destinations.kit.request import Send
from tabard.destinations.registry import load_registry


async def nothing(send: Send, call: Call) -> None:
    return None


FIELDS = {
    "email": Field(label="E-mail", type="string", format="email", required=True, default={"@path": "$.traits.email"}),
    "plan": Field(label="Plan", type="string", choices=("free", "pro"), allow_null=True, description="A | B"),
    "items": Field(
        label="Items",
        type="object",
        multiple=True,
        properties={"price": Field(label="Price", type="number", minimum=0, required=True)},
    ),
    "at": Field(label="At", type="datetime", date_form="unix_s"),
}
SHOP = Destination(
    slug="shop",
    name="Shop",
    description="Sells.",
    aliases=("Shop (Actions)",),
    settings={"token": Field(label="Token", type="string", required=True, secret=True)},
    actions=(
        Action(
            slug="sell",
            title="Sell",
            description="Sells one.",
            fields=FIELDS,
            perform=nothing,
            default_subscription='type = "track"',
        ),
    ),
    presets=(Preset("Sell all", "sell", 'type = "track"\n and event = "Sold"'),),
)


def test_the_schema_of_fields_is_json_schema() -> None:
    assert json_schema(FIELDS) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "email": {"title": "E-mail", "type": "string", "format": "email"},
            "plan": {
                "title": "Plan",
                "description": "A | B",
                "type": ["string", "null"],
                "enum": ["free", "pro", None],
            },
            "items": {
                "title": "Items",
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"price": {"title": "Price", "type": "number", "minimum": 0}},
                    "required": ["price"],
                    "additionalProperties": False,
                },
            },
            "at": {"title": "At", "type": ["string", "number"]},
        },
        "required": ["email"],
        "additionalProperties": False,
    }


def test_a_form_lists_its_inputs_with_nested_ones() -> None:
    inputs = {each["key"]: each for each in form({**SHOP.settings, **FIELDS})}
    assert inputs["token"]["secret"]
    assert inputs["plan"]["choices"] == ["free", "pro"]
    assert inputs["email"]["default"] == {"@path": "$.traits.email"}
    assert [each["key"] for each in inputs["items"]["properties"]] == ["price"]


def test_a_page_tells_settings_triggers_and_fields() -> None:
    page = docs_page(SHOP)
    assert "| `token` | string, secret | yes | Token |  |" in page
    assert '| Sell all | `sell` | `type = "track" and event = "Sold"` |' in page
    assert "| `items[].price` | number | yes | Price |  |" in page
    assert "| `plan` | one of `free`, `pro` |  | A \\| B |  |" in page
    assert "`Shop (Actions)`" in page


def test_examples_are_accepted_by_their_fields() -> None:
    examples = example_values(FIELDS)
    assert compile_fields(FIELDS)(examples) == examples


def test_every_built_in_destination_can_be_described() -> None:
    for destination in load_registry().destinations.values():
        assert docs_page(destination).startswith(f"# {destination.name}\n")
        for action in destination.actions:
            examples = example_values(action.fields)
            assert compile_fields(action.fields)(examples) == examples


def test_a_declaration_is_checked() -> None:
    broken = Action(
        slug="Sell it",
        title="-",
        description="-",
        fields={"a": Field(label="-", type="string", default={"@path": 5})},
        perform=nothing,
        default_subscription="tpye",
        batch_keys=("nope",),
        batch_size=0,
    )
    whole = Destination(slug="shop", name="Shop", description="-", settings={}, actions=(broken, broken))
    faults = " / ".join(declaration_errors(whole))
    for part in ("declared twice", "letters and digits", "defaults do not work", "nope are no fields", "at least one"):
        assert part in faults
    assert declaration_errors(SHOP) == []


def test_the_page_of_an_action_that_sends_singly_says_how_to_get_batches() -> None:
    page = docs_page(load_registry().destinations["webhook"])
    assert "Sent one by one, or in batches of at most 4000000 bytes where" in page
    assert "option `batch_size` is above 1" in page
    assert "of at most 1 items" not in page
