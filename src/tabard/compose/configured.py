"""Destinations as an operator sees and changes them, over the web and in a shell alike."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec

from tabard.clock import Clock
from tabard.compose import pausing
from tabard.compose.apply import new_id
from tabard.compose.deliveries import InstallationDeliveries
from tabard.compose.destination_probe import ask_destination
from tabard.compose.destinations import DestinationDesk, desk_of, identity, line
from tabard.compose.preview import previewed
from tabard.compose.running import running_settings
from tabard.compose.workspace import named_destination, named_source, open_workspace
from tabard.delivery.addresses import REFUSED, refused_host
from tabard.destinations.kit.action import Action
from tabard.destinations.kit.describe import form
from tabard.destinations.kit.destination import Destination
from tabard.storage.sqlite.installation import Installation
from tabard.workspace.declaration import DeclarationInvalid
from tabard.workspace.edit import (
    DestinationEdit,
    PreviewAsked,
    SubscriptionEdit,
    edited,
    with_new_subscription,
    with_subscription,
    without_subscription,
)
from tabard.workspace.plan import HIDDEN
from tabard.workspace.types import DestinationInstance, Subscription

Json = dict[str, Any]


class ConfiguredDestinations:
    """The destinations of an installation (`web.deps.Destinations`). Each is named by its name or id.

    Whatever names one raises `DestinationUnknown`, whatever changes one `DeclarationInvalid` with every fault.
    """

    def __init__(self, installation: Installation, clock: Clock) -> None:
        self._installation = installation
        self._clock = clock
        self._desk = desk_of(installation)

    @cached_property
    def _deliveries(self) -> InstallationDeliveries:
        return InstallationDeliveries(self._installation)

    def listed(self) -> list[Json]:
        """Every destination: its configuration without mappings, its state and books; secrets are hidden."""
        with open_workspace(self._installation.data) as workspace:
            found, names = workspace.destinations(), {each.id: each.name for each in workspace.sources()}
        books = self._deliveries.books() if found else {}
        return [{**line(each, books), **configuration(each, self._desk, names)} for each in found]

    def described(self, name: str) -> Json:
        """One destination with mappings, books, and what its kind declares (None where its plugin is gone)."""
        with open_workspace(self._installation.data) as workspace:
            found = named_destination(workspace, name)
        return {
            **line(found, self._deliveries.books()),
            **self.document(found),
            "declaration": self._declaration(found),
        }

    def document(self, instance: DestinationInstance) -> Json:
        """An instance as it is configured, with mappings, and in `notes` what keeps it or a mapping from working."""
        with open_workspace(self._installation.data) as workspace:
            names = {each.id: each.name for each in workspace.sources()}
        return {
            **identity(instance),
            **configuration(instance, self._desk, names),
            "subscriptions": [subscription_json(each) for each in instance.subscriptions],
            "notes": self._notes(instance),
        }

    def edit(self, name: str, edit: DestinationEdit) -> DestinationInstance:
        """Changes what the edit names; sources by name or id. Raises `ChangedMeanwhile`, `SourceUnknown`."""
        if edit.sources is not msgspec.UNSET:
            with open_workspace(self._installation.data) as workspace:
                ids = tuple(named_source(workspace, each).id for each in edit.sources)
            edit = msgspec.structs.replace(edit, sources=ids)

        def change(found: DestinationInstance) -> DestinationInstance:
            # A hidden secret that comes back as it was shown stays what it is.
            given = {key: value for key, value in edit.settings.items() if value != HIDDEN}
            read = self._desk.read_settings(found.slug, self._desk.known_settings(found.slug, given))
            return edited(found, msgspec.structs.replace(edit, settings=read))

        return self._change(name, change)

    def pause(self, name: str) -> DestinationInstance:
        """Holds its cursor from now on; one that is paused stays so (`compose.pausing`)."""
        return pausing.pause(self._installation, name, self._clock)

    def resume(self, name: str) -> DestinationInstance:
        """Ends a pause; one that rests by itself is tried at once."""
        return pausing.resume(self._installation, name, self._clock)

    def add_subscription(self, name: str, edit: SubscriptionEdit) -> DestinationInstance:
        """Adds a subscription, as the last one; its mapping is the action's default one unless given."""

        def change(found: DestinationInstance) -> DestinationInstance:
            return with_new_subscription(
                found, edit, new_id("sub"), lambda action: self._desk.default_mapping(found.slug, action)
            )

        return self._change(name, change)

    def edit_subscription(self, name: str, subscription: str, edit: SubscriptionEdit) -> DestinationInstance:
        """Changes a subscription (by id or name). Raises `SubscriptionUnknown`."""
        return self._change(name, lambda found: with_subscription(found, subscription, edit))

    def remove_subscription(self, name: str, subscription: str) -> DestinationInstance:
        """Takes a subscription away. Raises `SubscriptionUnknown`."""
        return self._change(name, lambda found: without_subscription(found, subscription))

    def test(self, name: str) -> DestinationInstance:
        """Asks the destination whether its settings work. Raises `DestinationTestFailed`."""
        with open_workspace(self._installation.data) as workspace:
            found = named_destination(workspace, name)
        ask_destination(found, self._desk, running_settings(self._installation))
        return found

    def preview(self, name: str, asked: PreviewAsked) -> Json:
        """What it would send, also with a subscription that is not saved; see `compose.preview`."""
        with open_workspace(self._installation.data) as workspace:
            found = named_destination(workspace, name)
        return previewed(self._installation, self._desk, found, asked, self._clock)

    def _change(self, name: str, change: Callable[[DestinationInstance], DestinationInstance]) -> DestinationInstance:
        """Stores what the change makes of a destination as its next version, where it makes anything else of it."""
        with open_workspace(self._installation.data) as workspace, workspace.change():
            found = named_destination(workspace, name)
            before = self._desk.opened(found)
            after = change(before)
            if after == before:
                return found
            return workspace.put_destination(self._desk.sealed(after), self._clock.now_ms())

    def _notes(self, instance: DestinationInstance) -> list[str]:
        host = refused_host(instance.settings)
        is_refused = host and instance.enabled and not running_settings(self._installation).egress_private
        refused = [f"{instance.name} is at {host}: {REFUSED}"] if is_refused else []
        return refused + self._desk.left_out(instance)

    def _declaration(self, instance: DestinationInstance) -> Json | None:
        """What its kind declares; None for one whose plugin is gone."""
        try:
            return declaration_json(self._desk.kind(instance.slug))
        except DeclarationInvalid:
            return None


def configuration(instance: DestinationInstance, desk: DestinationDesk, source_names: Mapping[str, str]) -> Json:
    """An instance as it is configured: secrets hidden, sources by name, subscriptions without their mappings."""
    return {
        "settings": desk.shown_settings(instance),
        "subscriptions": [_without_mapping(each) for each in instance.subscriptions],
        "sources": [source_names.get(each, each) for each in instance.sources],
        "start": instance.start,
        "options": instance.options,
        "version": instance.version,
    }


def subscription_json(subscription: Subscription) -> Json:
    """A subscription with its mapping."""
    return {**_without_mapping(subscription), "mapping": subscription.mapping}


def _without_mapping(subscription: Subscription) -> Json:
    return {
        "id": subscription.id,
        "name": subscription.name,
        "action": subscription.action,
        "subscribe": subscription.subscribe,
        "enabled": subscription.enabled,
    }


def declaration_json(kind: Destination) -> Json:
    """What a kind declares: its settings, and its actions with their fields and default mappings."""
    return {
        "kind": kind.slug,
        "name": kind.name,
        "description": kind.description,
        "canTest": kind.test is not None,
        "settings": form(kind.settings),
        "actions": [_action_json(each) for each in kind.actions],
    }


def _action_json(action: Action) -> Json:
    return {
        "action": action.slug,
        "title": action.title,
        "description": action.description,
        "subscribe": action.default_subscription,
        "fields": form(action.fields),
        "mapping": action.default_mapping(),
    }
