"""From a message to what each action of a destination is asked to send: the pure part of a delivery.

Delivery and preview both go this way, so that a preview shows what a delivery would do. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.directives import MappingFailed
from tabard.destinations.kit.mapping import CompiledMapping, compile_mapping
from tabard.destinations.kit.payload import Coerce, PayloadRefused, Problem, compile_fields
from tabard.destinations.kit.subscription import Trigger, compile_trigger


@dataclass(frozen=True, slots=True)
class Subscription:
    """One action switched on, compiled: when it runs and how a message becomes its payload."""

    name: str
    action: Action
    trigger: Trigger
    mapping: CompiledMapping
    coerce: Coerce


@dataclass(frozen=True, slots=True)
class Planned:
    """An action and the payload it is to send, the caller's own to change."""

    subscription: Subscription
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invalid:
    """A subscription that was triggered but cannot be sent, with everything that is wrong."""

    subscription: Subscription
    problems: tuple[Problem, ...]

    @property
    def reason(self) -> str:
        """All problems as one sentence."""
        return "; ".join(str(problem) for problem in self.problems)


def compile_subscription(
    destination: Destination, *, action: str, subscribe: str, mapping: Mapping[str, Any], name: str = ""
) -> Subscription:
    """A configured subscription made ready; the name is the action's title unless given.

    Raises KeyError for an unknown action, TriggerInvalid for the trigger, MappingInvalid for the mapping.
    """
    declared = destination.action(action)
    return Subscription(
        name or declared.title,
        declared,
        compile_trigger(subscribe),
        compile_mapping(dict(mapping)),
        compile_fields(declared.fields),
    )


def preset_subscriptions(destination: Destination) -> list[Subscription]:
    """What a new instance starts with: each preset with its action's default mapping under its own."""
    return [
        compile_subscription(
            destination,
            action=preset.action,
            subscribe=preset.subscribe,
            mapping={**destination.action(preset.action).default_mapping(), **preset.mapping},
            name=preset.name,
        )
        for preset in destination.presets
    ]


def plan(subscriptions: Iterable[Subscription], message: Mapping[str, Any]) -> list[Planned | Invalid]:
    """One outcome for each subscription the message triggers, in their order; [] where it triggers none."""
    return [_planned(each, message) for each in subscriptions if each.trigger.matches(message)]


def _planned(subscription: Subscription, message: Mapping[str, Any]) -> Planned | Invalid:
    try:
        mapped = subscription.mapping(message)
        if not isinstance(mapped, dict):
            return Invalid(subscription, (Problem("", "the mapping gives no object for this message"),))
        return Planned(subscription, subscription.coerce(mapped))
    except MappingFailed as error:
        return Invalid(subscription, (Problem(error.path, error.reason),))
    except PayloadRefused as error:
        return Invalid(subscription, tuple(error.problems))
