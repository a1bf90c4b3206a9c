"""A destination instance made ready: its route, its settings in plain, its subscriptions compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tabard.delivery.route import Filter, Route, route_of, untrusted
from tabard.destinations.kit.action import Rate
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.payload import check_settings
from tabard.destinations.kit.plan import Invalid, Planned, Plans, Subscription, compile_subscription, plan_one
from tabard.message.traits import iso_ms, parse_instant
from tabard.workspace.types import DestinationInstance
from tabard.workspace.types import Subscription as Configured

_CONSENT: Final = "consent_categories"
"""The option that `route` reads."""


class InstanceUnusable(ValueError):
    """An instance that cannot deliver as it is configured; the text names what is wrong."""


@dataclass(frozen=True, slots=True)
class Options:
    """The delivery options of an instance (`DestinationInstance.options`) with their defaults.

    record: `failures` or `all`. batch_size: the most items of a request, None for the action's own; 1 sends singly.
    batch_wait_s: how long an incomplete batch waits for more while none is under way. rate_per_s: 0 for no limit.
    """

    record: str = "failures"
    no_needless_calls: bool = False
    order_patience_s: float | None = None
    rate_per_s: float = 0.0
    batch_size: int | None = None
    batch_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Compiled:
    """All that a consumer needs of its instance. `subscriptions`: compiled ones with their configured ids."""

    instance: DestinationInstance
    destination: Destination
    route: Route
    settings: Mapping[str, Any]
    subscriptions: tuple[tuple[str, Subscription], ...]
    options: Options

    @property
    def version(self) -> int:
        """The configuration version."""
        return self.instance.version

    def steps(
        self, message: Mapping[str, Any], trust: int, plans: Plans, done: tuple[str, ...] = ()
    ) -> list[tuple[str, Planned | Invalid]]:
        """What the message triggers, may trigger and has not done yet, in the order of the subscriptions.

        `plans`: what other instances worked out for this message, and are told in turn.
        """
        return [
            (id_, planned)
            for id_, subscription in self.subscriptions
            if id_ not in done
            and untrusted(subscription.action, trust) is None
            and (planned := plan_one(subscription, message, plans)) is not None
        ]

    def refusal(self, message: Mapping[str, Any], trust: int) -> Filter:
        """Why a message has no steps: its source may not ask for what it triggers, or it triggers nothing."""
        refused = withheld((subscription for _, subscription in self.subscriptions), message, trust)
        return refused[0] if refused else Filter.NO_TRIGGER

    def rates(self) -> list[Rate]:
        """All limits by rate: the vendor's, the actions' (each holding for all, the stricter way), the operator's."""
        declared = [self.destination.rate, *(each.action.rate for _, each in self.subscriptions)]
        own = [Rate(1, 1 / self.options.rate_per_s)] if self.options.rate_per_s > 0 else []
        return [rate for rate in declared if rate is not None] + own

    def batch_size(self, subscription: Subscription) -> int:
        """The most items in one request of that subscription; 1 where it cannot send batches."""
        if subscription.action.perform_batch is None:
            return 1
        wanted = self.options.batch_size
        return subscription.action.batch_size if wanted is None else max(1, wanted)


def compile_instance(
    instance: DestinationInstance, destination: Destination, plain_settings: Mapping[str, Any]
) -> Compiled:
    """The instance made ready. Raises `InstanceUnusable`, whatever is wrong with settings, triggers or mappings."""
    try:
        settings = check_settings(destination.settings, plain_settings)
        subscriptions = compile_subscriptions(instance, destination)
        options = _options(instance.options)
        _check_start(instance.start)
    except (ValueError, TypeError) as error:
        raise InstanceUnusable(f"destination {instance.name!r}: {error}") from error
    return Compiled(instance, destination, route_of(instance, destination), settings, subscriptions, options)


def compile_subscriptions(
    instance: DestinationInstance, destination: Destination
) -> tuple[tuple[str, Subscription], ...]:
    """What is switched on, compiled, with the configured ids. Raises ValueError naming the subscription at fault."""
    return tuple((each.id, _compiled(each, destination)) for each in instance.subscriptions if each.enabled)


def _compiled(configured: Configured, destination: Destination) -> Subscription:
    try:
        return compile_subscription(
            destination,
            action=configured.action,
            subscribe=configured.subscribe,
            mapping=configured.mapping,
            name=configured.name,
        )
    except (ValueError, KeyError) as error:
        # The text of a KeyError comes in quotes.
        raise ValueError(f"subscription {configured.name or configured.action!r}: {error.args[0]}") from error


def paused_text(paused_at: int) -> str:
    """What is said of a destination that an operator has paused since then (ms)."""
    return f"paused by operator since {iso_ms(paused_at)}"


def withheld(subscriptions: Iterable[Subscription], message: Mapping[str, Any], trust: int) -> list[Filter]:
    """Why each subscription that the message triggers without being trusted to does not run."""
    return [
        reason
        for each in subscriptions
        if (reason := untrusted(each.action, trust)) is not None and each.trigger.matches(message)
    ]


def _options(given: Mapping[str, Any]) -> Options:
    known = (*Options.__dataclass_fields__, _CONSENT)
    for name in given:
        if name not in known:
            raise ValueError(f"there is no option {name!r}; there are {', '.join(known)}")
    options = Options(**{name: value for name, value in given.items() if name != _CONSENT})
    if options.record not in ("failures", "all"):
        raise ValueError(f"option record is {options.record!r}; use 'failures' or 'all'")
    for name in ("order_patience_s", "rate_per_s", "batch_size", "batch_wait_s"):
        value = getattr(options, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise ValueError(f"option {name} is {value!r}; use a number of at least 0")
    if options.no_needless_calls not in (True, False):
        raise ValueError(f"option no_needless_calls is {options.no_needless_calls!r}; use true or false")
    categories = given.get(_CONSENT, [])
    if not isinstance(categories, list | tuple) or not all(isinstance(each, str) for each in categories):
        raise ValueError(f'option {_CONSENT} is {categories!r}; use a list of texts, as in ["Advertising"]')
    return options


def _check_start(start: str) -> None:
    if start not in ("now", "beginning") and parse_instant(start) is None:
        raise ValueError(f"start is {start!r}; use now, beginning, or a time as in 2026-11-24T18:00:00Z")
