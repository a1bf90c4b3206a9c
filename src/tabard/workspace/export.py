"""The workspace as a document that `read_declaration` reads: only what differs from the defaults. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tabard.workspace.declaration import VERSION, DestinationDeclared, SourceDeclared, SubscriptionDeclared
from tabard.workspace.types import DestinationInstance, Source, Subscription


def exported(
    sources: Sequence[Source],
    destinations: Sequence[DestinationInstance],
    *,
    secret_fields: Callable[[str], Iterable[str]],
    default_mapping: Callable[[str, str], dict[str, Any]],
    with_write_keys: bool,
) -> dict[str, Any]:
    """The document. A secret becomes the variable `secret_variable` names; write keys are left out unless asked for."""
    names = {each.id: each.name for each in sources}
    return {
        "version": VERSION,
        "sources": [_source(each, with_write_key=with_write_keys) for each in sources],
        "destinations": [
            _destination(each, names, set(secret_fields(each.slug)), default_mapping) for each in destinations
        ],
    }


def secret_variable(destination_name: str, field: str) -> str:
    """The environment variable an export names for a secret: `CRM_API_KEY` for field `apiKey` of `crm`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{destination_name}_{field}")
    name = re.sub(r"[^A-Za-z0-9]+", "_", words).upper()
    return name if name[0].isalpha() else f"_{name}"


def _source(source: Source, *, with_write_key: bool) -> dict[str, Any]:
    shared = {key: getattr(source, key) for key in SourceDeclared.__struct_fields__ if key != "write_key"}
    key = source.write_key if with_write_key else ""
    return _without_defaults(SourceDeclared(**shared, write_key=key))


def _destination(
    instance: DestinationInstance,
    source_names: dict[str, str],
    secrets: set[str],
    default_mapping: Callable[[str, str], dict[str, Any]],
) -> dict[str, Any]:
    document = _without_defaults(
        DestinationDeclared(
            name=instance.name,
            destination=instance.slug,
            enabled=instance.enabled,
            settings={key: value for key, value in instance.settings.items() if key not in secrets},
            sources=tuple(source_names[each] for each in instance.sources if each in source_names),
            start=instance.start,
            options=instance.options,
        )
    )
    variables = {key: f"${{{secret_variable(instance.name, key)}}}" for key in instance.settings if key in secrets}
    if variables:
        document["settings"] = {**document.get("settings", {}), **variables}
    document["subscriptions"] = [
        _subscription(each, default_mapping(instance.slug, each.action)) for each in instance.subscriptions
    ]
    return document


def _subscription(subscription: Subscription, default: dict[str, Any]) -> dict[str, Any]:
    return _without_defaults(
        SubscriptionDeclared(
            action=subscription.action,
            subscribe=subscription.subscribe,
            name="" if subscription.name == subscription.action else subscription.name,
            mapping=None if subscription.mapping == default else subscription.mapping,
            enabled=subscription.enabled,
        )
    )


def _without_defaults(declared: msgspec.Struct) -> dict[str, Any]:
    defaults = dict(zip(reversed(declared.__struct_fields__), reversed(declared.__struct_defaults__), strict=False))
    document: dict[str, Any] = msgspec.to_builtins(declared)
    return {
        key: _escaped(value)
        for key, value in document.items()
        if key not in defaults or getattr(declared, key) not in (defaults[key], {}, ())
    }


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value.replace("${", "$${") if isinstance(value, str) else value
