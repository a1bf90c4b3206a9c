"""Destination instances as an operator handles them: checked by their declaration, secrets sealed and opened."""

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from tabard.delivery.compiled import InstanceUnusable, compile_instance
from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.plan import unknown_fields
from tabard.destinations.registry import Registry, load_registry
from tabard.message.traits import iso_ms
from tabard.storage.sqlite.installation import Installation
from tabard.storage.sqlite.keys import SealingKeys, is_sealed, sealing_keys
from tabard.workspace.declaration import DeclarationInvalid, Fault, SubscriptionDeclared
from tabard.workspace.plan import HIDDEN
from tabard.workspace.types import DestinationInstance, Subscription


def registry_of(installation: Installation) -> Registry:
    """The built-in destinations, those of the folder `plugins/` in the data folder, those of installed packages."""
    return load_registry(installation.plugins)


def line(instance: DestinationInstance, books: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What lists and status show of an instance: who it is, its state, its books (`InstallationDeliveries.books`)."""
    known = identity(instance)
    book = {"state": "starting", "why": "", "books": {}, **books.get(instance.id, {})}
    return known | {key: value for key, value in book.items() if key not in known}


def identity(instance: DestinationInstance) -> dict[str, Any]:
    """Which instance it is, and whether it works. `pausedAt`: since when an operator has it paused, None if not."""
    return {
        "id": instance.id,
        "name": instance.name,
        "kind": instance.slug,
        "enabled": instance.enabled,
        "pausedAt": iso_ms(instance.paused_at) if instance.paused_at else None,
    }


class DestinationDesk:
    """What `destination`, `apply` and `export` need to know of kinds and keys."""

    def __init__(self, registry: Registry, keys: SealingKeys) -> None:
        self._registry = registry
        self._keys = keys

    def kind(self, slug: str) -> Destination:
        """The declared destination of a slug. Raises `DeclarationInvalid` naming those there are."""
        found = self._registry.destinations.get(slug)
        if found is None:
            broken = "".join(f"; {each.origin} is broken: {each.reason}" for each in self._registry.broken)
            known = ", ".join(sorted(self._registry.destinations))
            raise DeclarationInvalid(f"there is no destination {slug!r}; there are {known}{broken}")
        return found

    def kinds(self) -> list[Destination]:
        """Every kind there is, by slug."""
        return [each for _, each in sorted(self._registry.destinations.items())]

    def shown_settings(self, instance: DestinationInstance) -> dict[str, Any]:
        """The settings of an instance for people's eyes, secrets hidden."""
        secret = set(self.secret_fields(instance.slug))
        return {key: HIDDEN if key in secret or is_sealed(value) else value for key, value in instance.settings.items()}

    def secret_fields(self, slug: str) -> Iterable[str]:
        """The settings of a kind that are sealed; none for a kind that is gone."""
        found = self._registry.destinations.get(slug)
        return () if found is None else [key for key, field in found.settings.items() if field.secret]

    def presets(self, slug: str) -> tuple[SubscriptionDeclared, ...]:
        """The subscriptions a new instance of a kind starts with."""
        kind = self.kind(slug)
        return tuple(
            SubscriptionDeclared(
                action=preset.action,
                subscribe=preset.subscribe,
                name=preset.name,
                mapping={**kind.action(preset.action).default_mapping(), **preset.mapping},
            )
            for preset in kind.presets
        )

    def preset_subscriptions(self, slug: str) -> tuple[Subscription, ...]:
        """The presets of a kind as subscriptions that are stored nowhere, for a preview."""
        return tuple(
            Subscription(
                id=f"preset-{number}",
                action=each.action,
                subscribe=each.subscribe,
                mapping=each.mapping or {},
                name=each.name,
            )
            for number, each in enumerate(self.presets(slug))
        )

    def default_mapping(self, slug: str, action: str) -> dict[str, Any]:
        """What an action maps unless told otherwise. Raises `DeclarationInvalid` for an action the kind lacks."""
        try:
            return self.kind(slug).action(action).default_mapping()
        except KeyError as problem:
            raise DeclarationInvalid(str(problem.args[0])) from problem

    def known_settings(self, slug: str, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings themselves. Raises `DeclarationInvalid` for those that the kind does not have."""
        fields = self.kind(slug).settings
        faults = [
            Fault(f"settings.{key}", f"a {slug} has no setting {key!r}; it has {', '.join(fields)}")
            for key in settings
            if key not in fields
        ]
        if faults:
            raise DeclarationInvalid("; ".join(each.message for each in faults), faults)
        return settings

    def read_settings(self, slug: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as declared or given in a shell: JSON in a text where the field is an object or a list."""
        fields = self.kind(slug).settings
        return {
            key: _read(value) if key in fields and (fields[key].type == "object" or fields[key].multiple) else value
            for key, value in settings.items()
        }

    def opened(self, instance: DestinationInstance) -> DestinationInstance:
        """The instance with its secrets in plain, for comparing and checking; never to be stored or shown."""
        return msgspec.structs.replace(instance, settings=self._keys.open_settings(instance.settings))

    def left_out(self, instance: DestinationInstance) -> list[str]:
        """One sentence for each field of a mapping that its action does not have, such as one mistyped."""
        kind = self.kind(instance.slug)
        return [
            f"{instance.name}, {each.name or each.action}: {_unknown(key, kind.action(each.action))}"
            for each in instance.subscriptions
            for key in unknown_fields(kind.action(each.action), each.mapping)
        ]

    def sealed(self, plain: DestinationInstance) -> DestinationInstance:
        """The instance as it is stored. Raises `DeclarationInvalid` for wrong settings, triggers or mappings."""
        try:
            compile_instance(plain, self.kind(plain.slug), plain.settings)
        except InstanceUnusable as problem:
            raise DeclarationInvalid(str(problem), problem.faults) from problem
        return msgspec.structs.replace(
            plain, settings=self._keys.seal_settings(plain.settings, self.secret_fields(plain.slug))
        )


def _unknown(key: str, action: Action) -> str:
    near = get_close_matches(key, action.fields, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{action.slug} has no field {key!r}, so what is mapped to it is left out{meant}"


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def desk_without_installation() -> DestinationDesk:
    """A desk for kinds alone: built in or of installed packages, without keys."""
    return DestinationDesk(load_registry(), SealingKeys({}))


def desk_of(installation: Installation) -> DestinationDesk:
    """The desk of an installation, with the keys of its folder or of the environment."""
    return DestinationDesk(registry_of(installation), sealing_keys(installation, os.environ))
