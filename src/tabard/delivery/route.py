"""Whether a message goes to a destination instance, and if not, by which rule. Pure.

The rules in their order: the instance is switched on; it is joined to the message's source; the message's
`integrations` object allows it (wire.md §2.4); the person's consent covers it; a trigger matches (see `compiled`);
the source may ask for what the action does.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination
from tabard.message.types import Trust
from tabard.workspace.types import DestinationInstance


class Filter(StrEnum):
    """Why a message is not meant for a destination. The value is the reason that is counted and shown."""

    DISABLED = "destination_disabled"
    SOURCE = "source_not_joined"
    INTEGRATIONS = "filtered_by_integrations"
    CONSENT = "filtered_by_consent"
    NO_TRIGGER = "no_matching_trigger"
    CONTROL = "control_untrusted"
    ALIAS = "alias_untrusted"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Route:
    """What of an instance the decision needs. `names`: all that mean it in an `integrations` object."""

    enabled: bool
    sources: frozenset[str]
    names: frozenset[str]
    consent: tuple[str, ...]


def route_of(instance: DestinationInstance, destination: Destination) -> Route:
    """The route to an instance: it is addressed by display name, slug, aliases and its own name."""
    names = {destination.name, destination.slug, instance.name, *destination.aliases}
    consent = instance.options.get("consent_categories", ())
    return Route(
        instance.enabled,
        frozenset(instance.sources),
        frozenset(names),
        tuple(consent) if isinstance(consent, list | tuple) else (),
    )


def refusal(route: Route, source: str, message: Mapping[str, Any]) -> Filter | None:
    """The first rule that keeps the message from the instance, None where none does."""
    if not route.enabled:
        return Filter.DISABLED
    if route.sources and source not in route.sources:
        return Filter.SOURCE
    if not integrations_allow(message.get("integrations"), route.names):
        return Filter.INTEGRATIONS
    if route.consent and not consent_covers(message.get("context"), route.consent):
        return Filter.CONSENT
    return None


def untrusted(action: Action, trust: int) -> Filter | None:
    """Why an action may not run for a message of that trust (`message.types.Trust`), None where it may.

    What a source may not do to our own profiles it may not do at a destination either.
    """
    if action.erases and not trust & Trust.CONTROL:
        return Filter.CONTROL
    if action.merges and not trust & Trust.ALIAS:
        return Filter.ALIAS
    return None


def integrations_allow(integrations: Any, names: Iterable[str]) -> bool:
    """Whether an `integrations` value lets a destination with these names have the message (wire.md §2.4).

    Missing, null and {} mean every destination; anything else that is no object means none. `false` under any of
    the names keeps it out, `true` or an options object lets it in, other values say nothing. Then `All` decides
    (`all` as the Go clients write it); an `All` that is neither boolean nor null means none at all.
    """
    if integrations is None or integrations == {}:
        return True
    if not isinstance(integrations, dict):
        return False
    everyone = integrations.get("All", integrations.get("all"))
    if everyone is not None and not isinstance(everyone, bool):
        return False
    said = [integrations[name] for name in names if name in integrations]
    if any(value is False for value in said):
        return False
    if any(value is True or isinstance(value, dict) for value in said):
        return True
    return everyone is not False


def options_for(integrations: Any, names: Container[str]) -> Mapping[str, Any]:
    """The options object a message carries for a destination, the first where it has several; {} where none."""
    if isinstance(integrations, dict):
        for name, options in integrations.items():
            if name in names and isinstance(options, dict):
                return options
    return {}


def consent_covers(context: Any, categories: Iterable[str]) -> bool:
    """Whether `context.consent.categoryPreferences` says true for every category the destination is filed under.

    A message without that object says nothing about consent and passes, as at Segment; a category it does not name
    counts as refused.
    """
    consent = context.get("consent") if isinstance(context, dict) else None
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(preferences, dict):
        return True
    return all(preferences.get(category) is True for category in categories)
