"""From a message to what each action of a destination is asked to send: the pure part of a delivery.

Delivery and preview both go this way, so that a preview shows what a delivery would do. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.directives import MappingFailed
from tabard.destinations.kit.mapping import CompiledMapping, compile_mapping
from tabard.destinations.kit.payload import Coerce, Payload, PayloadRefused, Problem, compile_fields
from tabard.destinations.kit.subscription import Trigger, compile_trigger


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One action switched on, compiled: when it runs and how a message becomes its payload.

    Those that are configured alike are one object, however many instances have them.
    """

    name: str
    action: Action
    trigger: Trigger
    mapping: CompiledMapping
    coerce: Coerce


class Planned(msgspec.Struct, frozen=True):
    """An action and the payload it is to send."""

    subscription: Subscription
    payload: Payload


@dataclass(frozen=True, slots=True)
class Invalid:
    """A subscription that was triggered but cannot be sent, with everything that is wrong."""

    subscription: Subscription
    problems: tuple[Problem, ...]

    @property
    def reason(self) -> str:
        """All problems as one sentence."""
        return "; ".join(str(problem) for problem in self.problems)


_FOREIGN = ("enable_batching", "batch_size", "batch_bytes", "batch_keys")
"""What mappings of the field's library say of batches; here that is an option of the destination."""

Plans = dict[Subscription, Planned | Invalid | None]
"""What one message comes to, None where it does not trigger: kept beside it, so that all who ask share the work."""


def compile_subscription(
    destination: Destination, *, action: str, subscribe: str, mapping: Mapping[str, Any], name: str = ""
) -> Subscription:
    """A configured subscription made ready; the name is the action's title unless given.

    Raises KeyError for an unknown action, TriggerInvalid for the trigger, MappingInvalid for the mapping.
    """
    declared = destination.action(action)
    return _compiled(declared, name or declared.title, subscribe, msgspec.json.encode(mapping))


@lru_cache(maxsize=1_024)
def _compiled(action: Action, name: str, subscribe: str, mapping: bytes) -> Subscription:
    return Subscription(
        name,
        action,
        compile_trigger(subscribe),
        compile_mapping(msgspec.json.decode(mapping)),
        compile_fields(action.fields),
    )


def unknown_fields(action: Action, mapping: Mapping[str, Any]) -> list[str]:
    """The fields that a mapping fills though the action does not have them: their values go nowhere."""
    return [key for key in mapping if key not in action.fields and not key.startswith("@") and key not in _FOREIGN]


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
    found = (plan_one(each, message, {}) for each in subscriptions)
    return [planned for planned in found if planned is not None]


def plan_one(subscription: Subscription, message: Mapping[str, Any], plans: Plans) -> Planned | Invalid | None:
    """What a message comes to for one subscription: as `plans` has it already, or worked out and kept there."""
    if subscription in plans:
        return plans[subscription]
    triggered = subscription.trigger.matches(message)
    plans[subscription] = planned = _planned(subscription, message) if triggered else None
    return planned


def _planned(subscription: Subscription, message: Mapping[str, Any]) -> Planned | Invalid:
    try:
        mapped = subscription.mapping(message)
        if not isinstance(mapped, dict):
            return Invalid(subscription, (Problem("", "the mapping gives no object for this message"),))
        return Planned(subscription, Payload(subscription.coerce(mapped)))
    except MappingFailed as error:
        return Invalid(subscription, (Problem(error.path, error.reason),))
    except PayloadRefused as error:
        return Invalid(subscription, tuple(error.problems))
