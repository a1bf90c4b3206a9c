"""A destination instance made ready: its route, its settings in plain, its subscriptions compiled."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, cast

from tabard.delivery.route import Filter, Route, route_of, untrusted
from tabard.destinations.kit.action import Rate
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.mapping import MappingInvalid, compile_mapping
from tabard.destinations.kit.payload import PayloadRefused, check_settings
from tabard.destinations.kit.plan import Invalid, Planned, Plans, Subscription, compile_subscription, plan_one
from tabard.destinations.kit.subscription import compile_trigger
from tabard.destinations.kit.trigger_syntax import TriggerInvalid
from tabard.message.traits import iso_ms, parse_instant
from tabard.workspace.declaration import Fault
from tabard.workspace.types import DestinationInstance
from tabard.workspace.types import Subscription as Configured

T = TypeVar("T")

_CONSENT: Final = "consent_categories"
"""The option that `route` reads."""


class InstanceUnusable(ValueError):
    """An instance that cannot deliver as it is configured; the text names all that is wrong, `faults` each place."""

    def __init__(self, text: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(text)
        self.faults = tuple(faults)


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


def option_names() -> tuple[str, ...]:
    """The names of the options there are."""
    return (*Options.__dataclass_fields__, _CONSENT)


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
    found: list[_Faulty] = []
    settings = _tried(lambda: check_settings(destination.settings, plain_settings), "settings", found)
    subscriptions = []
    for index, each in enumerate(instance.subscriptions):
        try:
            subscriptions += [(each.id, _compiled(each, destination))] if each.enabled else []
        except ValueError as error:
            found.append(_Faulty(str(error), _faults_of(each, destination, f"subscriptions[{index}]")))
    options = _tried(lambda: _options(instance.options), "options", found)
    _tried(lambda: _check_start(instance.start), "start", found)
    if found:
        text = "; ".join(each.text for each in found)
        faults = [fault for each in found for fault in each.faults]
        raise InstanceUnusable(f"destination {instance.name!r}: {text}", faults)
    return Compiled(instance, destination, route_of(instance, destination), settings, tuple(subscriptions), options)


class _Faulty(NamedTuple):
    text: str
    faults: list[Fault]


def _tried(make: Callable[[], T], place: str, found: list[_Faulty]) -> T:
    """What `make` makes; where it cannot, what is wrong is added to `found` and there is nothing to go on with."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        found.append(_Faulty(str(error), _faults(error, place)))
        return cast("T", None)


def _faults_of(configured: Configured, destination: Destination, place: str) -> list[Fault]:
    """Everything that is wrong with one subscription: its action, its trigger and its mapping."""
    found: list[Fault] = []
    for look in (
        lambda: destination.action(configured.action),
        lambda: compile_trigger(configured.subscribe),
        lambda: compile_mapping(configured.mapping),
    ):
        try:
            look()
        except (ValueError, KeyError) as error:
            found += _faults(error, place)
    return found


def _faults(error: BaseException, place: str) -> list[Fault]:
    """Each thing that is wrong with its path: settings, mappings and options know it, a trigger shows the character."""
    match error:
        case PayloadRefused():
            return [Fault(f"{place}.{each.field}", each.reason) for each in error.problems]
        case MappingInvalid():
            return [Fault(f"{place}.mapping{each.path}", each.problem) for each in error.faults]
        case TriggerInvalid():
            return [Fault(f"{place}.subscribe", str(error))]
        case KeyError():
            return [Fault(f"{place}.action", str(error.args[0]))]
        case _OptionInvalid():
            return [Fault(f"{place}.{error.option}", str(error))]
    return [Fault(place, str(error))]


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


class _OptionInvalid(ValueError):
    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


def _options(given: Mapping[str, Any]) -> Options:
    known = option_names()
    for name in given:
        if name not in known:
            raise _OptionInvalid(name, f"there is no option {name!r}; there are {', '.join(known)}")
    options = Options(**{name: value for name, value in given.items() if name != _CONSENT})
    if options.record not in ("failures", "all"):
        raise _OptionInvalid("record", f"option record is {options.record!r}; use 'failures' or 'all'")
    for name in ("order_patience_s", "rate_per_s", "batch_size", "batch_wait_s"):
        value = getattr(options, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise _OptionInvalid(name, f"option {name} is {value!r}; use a number of at least 0")
    if options.no_needless_calls not in (True, False):
        text = f"option no_needless_calls is {options.no_needless_calls!r}; use true or false"
        raise _OptionInvalid("no_needless_calls", text)
    categories = given.get(_CONSENT, [])
    if not isinstance(categories, list | tuple) or not all(isinstance(each, str) for each in categories):
        text = f'option {_CONSENT} is {categories!r}; use a list of texts, as in ["Advertising"]'
        raise _OptionInvalid(_CONSENT, text)
    return options


def _check_start(start: str) -> None:
    if start not in ("now", "beginning") and parse_instant(start) is None:
        raise ValueError(f"start is {start!r}; use now, beginning, or a time as in 2026-11-24T18:00:00Z")
