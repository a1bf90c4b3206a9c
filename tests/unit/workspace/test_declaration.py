"""tabard.yaml: what it may say, where variables go in, how it comes out again."""

from typing import Any

import pytest

from tabard.workspace.declaration import Declaration, DeclarationInvalid, SubscriptionDeclared, read_declaration
from tabard.workspace.export import exported, secret_variable
from tabard.workspace.plan import HIDDEN, Change, Present, differences, plan
from tabard.workspace.types import DestinationInstance, Source, SourceKind, Subscription

FULL: dict[str, Any] = {
    "version": 1,
    "sources": [{"name": "shop", "kind": "browser", "write_key": "k1", "origins": ["https://shop.example"]}],
    "destinations": [
        {
            "name": "crm",
            "destination": "hook",
            "settings": {"url": "https://${HOST}/in", "secret": "${CRM_SECRET}"},
            "sources": ["shop"],
            "options": {"record": "all"},
        }
    ],
}
DEFAULT = {"id": {"@path": "$.messageId"}}


def present(**known: Any) -> Present:
    ids = iter(f"{number}" for number in range(100))
    return Present(
        **{"sources": (), "destinations": (), **known},
        presets=lambda _: (SubscriptionDeclared(action="send", subscribe='type = "track"', name="All"),),
        default_mapping=lambda *_: DEFAULT,
        secret_fields=lambda _: ("secret", "apiKey"),
        new_id=lambda prefix: f"{prefix}_{next(ids)}",
        new_key=lambda: "new-key",
        now_ms=5,
    )


def after(change: Change) -> Any:
    assert change.after is not None
    return change.after


def test_variables_are_put_in_with_defaults_and_escapes() -> None:
    document = {"settings": {"a": "${A}-${B:-b}-$${C}", "n": 3}}
    assert read_declaration(document, {"A": "x"}).settings == {"a": "x-b-${C}", "n": 3}


def test_an_unset_variable_is_named_with_its_place() -> None:
    document = {"sources": [{"name": "${NAME}"}], "settings": {"web": "${WEB}"}}
    with pytest.raises(DeclarationInvalid) as caught:
        read_declaration(document, {})
    assert "sources[0].name: the environment variable NAME is not set" in str(caught.value)
    assert "settings.web: the environment variable WEB is not set" in str(caught.value)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"sorces": []}, "sorces"),
        ({"sources": [{"name": "a", "colour": 1}]}, "colour"),
        ({"sources": [{"kind": "browser"}]}, "name"),
        ({"sources": [{"name": "a", "kind": "app"}]}, "app"),
        ({"sources": [{"name": "a"}, {"name": "a"}]}, "two sources"),
        ({"version": 2}, "version"),
        ([1], "array"),
    ],
)
def test_a_file_that_says_something_unknown_is_refused_by_name(document: Any, named: str) -> None:
    with pytest.raises(DeclarationInvalid, match=named):
        read_declaration(document, {})


def test_a_new_source_and_destination_are_added_with_what_their_kind_starts_with() -> None:
    declared = read_declaration(FULL, {"HOST": "crm.example", "CRM_SECRET": "s"})
    source, destination = plan(declared, present())
    assert (source.verb, destination.verb) == ("add", "add")
    assert after(source).write_keys == {"k1": "active"}
    assert after(source).kind is SourceKind.BROWSER
    assert after(destination).settings == {"url": "https://crm.example/in", "secret": "s"}
    assert after(destination).sources == (after(source).id,)
    assert [(each.name, each.mapping) for each in after(destination).subscriptions] == [("All", DEFAULT)]


def applied(declared: Declaration, before: Present) -> tuple[list[Source], list[DestinationInstance]]:
    sources = {each.name: each for each in before.sources}
    destinations = {each.name: each for each in before.destinations}
    for change in plan(declared, before):
        match change.after:
            case Source() as source:
                sources[source.name] = source
            case DestinationInstance() as destination:
                destinations[destination.name] = destination
    return list(sources.values()), list(destinations.values())


def test_applying_a_file_twice_changes_nothing_the_second_time() -> None:
    declared = read_declaration(FULL, {"HOST": "h", "CRM_SECRET": "s"})
    sources, destinations = applied(declared, present())
    assert plan(declared, present(sources=sources, destinations=destinations)) == []


def test_a_secret_whose_variable_is_unset_is_kept_and_a_missing_one_is_named() -> None:
    sources, destinations = applied(read_declaration(FULL, {"HOST": "h", "CRM_SECRET": "s"}), present())
    again = read_declaration(FULL, {"HOST": "h"})
    assert plan(again, present(sources=sources, destinations=destinations)) == []
    with pytest.raises(DeclarationInvalid, match=r"settings\.secret: the environment variable CRM_SECRET is not set"):
        plan(again, present())


def test_a_setting_that_is_no_secret_is_never_kept_for_want_of_its_variable() -> None:
    sources, destinations = applied(read_declaration(FULL, {"HOST": "h", "CRM_SECRET": "s"}), present())
    with pytest.raises(DeclarationInvalid, match="the environment variable HOST is not set"):
        plan(read_declaration(FULL, {"CRM_SECRET": "s"}), present(sources=sources, destinations=destinations))


def test_an_export_applied_to_the_same_workspace_changes_nothing() -> None:
    subscription = Subscription(
        id="sub_x", action="send", subscribe='type = "page"', mapping={"text": "a ${b}"}, name="Pages", enabled=False
    )
    source = Source(
        id="src_a", name="a", kind=SourceKind.BROWSER, write_keys={"k": "active"}, rate_per_s=4, created_at=9
    )
    instance = DestinationInstance(
        id="dst_a", name="a b", slug="hook", settings={"url": "u", "apiKey": "s"}, subscriptions=(subscription,),
        sources=("src_a",), start="beginning", version=3, created_at=9,
    )  # fmt: skip
    for with_write_keys in (True, False):
        document = exported(
            [source],
            [instance],
            secret_fields=lambda _: ["apiKey"],
            default_mapping=lambda *_: DEFAULT,
            with_write_keys=with_write_keys,
        )
        assert document["destinations"][0]["settings"]["apiKey"] == "${A_B_API_KEY}"
        assert ("write_key" in document["sources"][0]) is with_write_keys
        declared = read_declaration(document, {})
        assert plan(declared, present(sources=[source], destinations=[instance])) == []


def test_a_subscription_keeps_its_id_while_its_action_and_name_stay() -> None:
    old = Subscription(id="sub_old", action="send", subscribe='type = "page"', mapping=DEFAULT, name="All")
    instance = DestinationInstance(id="dst_a", name="crm", slug="hook", subscriptions=(old,), created_at=1)
    document = {
        "destinations": [
            {
                "name": "crm",
                "destination": "hook",
                "subscriptions": [
                    {"action": "send", "name": "All", "subscribe": 'type = "track"'},
                    {"action": "send", "subscribe": 'type = "group"'},
                ],
            }
        ]
    }
    (change,) = plan(read_declaration(document, {}), present(destinations=[instance]))
    first, second = after(change).subscriptions
    assert (first.id, first.subscribe) == ("sub_old", 'type = "track"')
    assert second.id != "sub_old"
    assert second.name == "send"


def test_pruning_removes_only_what_a_present_section_does_not_name() -> None:
    old = Source(id="src_old", name="old", write_keys={"k": "active"})
    kept = DestinationInstance(id="dst_a", name="crm", slug="hook")
    declared = read_declaration({"sources": [{"name": "new"}]}, {})
    changes = plan(declared, present(sources=[old], destinations=[kept]), prune=True)
    assert [(each.verb, each.name) for each in changes] == [("add", "new"), ("remove", "old")]
    assert [each.verb for each in plan(declared, present(sources=[old], destinations=[kept]))] == ["add"]


def test_a_destination_cannot_become_another_kind() -> None:
    kept = DestinationInstance(id="dst_a", name="crm", slug="other")
    declared = read_declaration({"destinations": [{"name": "crm", "destination": "hook"}]}, {})
    with pytest.raises(DeclarationInvalid, match="cannot become a hook"):
        plan(declared, present(destinations=[kept]))


def test_a_difference_shows_what_changes_and_hides_secrets_and_keys() -> None:
    declared = read_declaration(FULL, {"HOST": "h", "CRM_SECRET": "s"})
    sources, destinations = applied(declared, present())
    changed = read_declaration(
        {**FULL, "sources": [{"name": "shop", "kind": "browser", "write_key": "k2"}]}, {"HOST": "i", "CRM_SECRET": "t"}
    )
    shown = [
        line
        for change in plan(changed, present(sources=sources, destinations=destinations))
        for line in differences(change, lambda _: ["secret"], {})
    ]
    assert "settings.url: https://h/in → https://i/in" in shown
    assert f"settings.secret: {HIDDEN} → {HIDDEN}" in shown
    assert not any("k1" in line or "k2" in line for line in shown)


def test_a_secret_s_variable_is_named_for_its_destination_and_field() -> None:
    assert secret_variable("crm", "apiKey") == "CRM_API_KEY"
    assert secret_variable("9 lives.eu", "secret") == "_9_LIVES_EU_SECRET"
