"""Changes to one destination, as an operator asks for them in a shell or over HTTP. Pure: they return what to store."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from tabard.workspace.declaration import DeclarationInvalid, Fault
from tabard.workspace.types import DestinationInstance, Subscription

T = TypeVar("T")


class SubscriptionUnknown(LookupError):
    """The destination has no such subscription; the text names those it has."""


class ChangedMeanwhile(ValueError):
    """The destination is no longer at the version that the change was made from."""


class SubscriptionEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a subscription; what is not named stays. `mapping` is the whole new one."""

    name: str | UnsetType = UNSET
    action: str | UnsetType = UNSET
    subscribe: str | UnsetType = UNSET
    mapping: dict[str, Any] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class DestinationEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a destination; what is not named stays.

    settings, options: by name; null or '' takes one away. sources: ids, [] for all. version: the one that the change
    was made from, which is refused where another came between.
    """

    enabled: bool | UnsetType = UNSET
    settings: dict[str, Any] = {}
    options: dict[str, Any] = {}
    sources: tuple[str, ...] | UnsetType = UNSET
    version: int | None = None


class PreviewAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be previewed: one call, or the sum over the last stored messages.

    subscription: this one alone (id or name), '' for all. change: what is not saved of it, or, without `subscription`,
    one that is not there yet; where it has no trigger it runs on every message.
    """

    event: dict[str, Any] | None = None
    last: int | None = None
    subscription: str = ""
    change: SubscriptionEdit | None = None


def plain_value(text: str) -> Any:
    """The value of an option as it is written in a shell or a form: JSON where the text is such, else the text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def read_edit(document: Any, kind: type[T]) -> T:
    """The edit in a decoded JSON document. Raises `DeclarationInvalid` with the place of what is none."""
    try:
        read: T = msgspec.convert(document, kind)
    except msgspec.ValidationError as problem:
        text, _, place = str(problem).partition(" - at `$.")
        raise DeclarationInvalid(str(problem), [Fault(place.rstrip("`"), text)]) from problem
    return read


def edited(instance: DestinationInstance, edit: DestinationEdit) -> DestinationInstance:
    """The instance with the change."""
    if edit.version not in (None, instance.version):
        raise ChangedMeanwhile(
            f"{instance.name} is at version {instance.version} now, not at {edit.version}: look at it again"
        )
    return msgspec.structs.replace(
        instance,
        enabled=instance.enabled if edit.enabled is UNSET else edit.enabled,
        sources=instance.sources if edit.sources is UNSET else edit.sources,
        settings=_over(instance.settings, edit.settings),
        options=_over(instance.options, edit.options),
    )


def _over(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was there with what was given over it, without those given as nothing (null or '')."""
    return {key: value for key, value in {**present, **given}.items() if given.get(key, value) not in (None, "")}


def with_subscription(instance: DestinationInstance, subscription: str, edit: SubscriptionEdit) -> DestinationInstance:
    """The instance with one subscription (by id or name) changed. Raises `SubscriptionUnknown`."""
    found = subscription_of(instance, subscription)
    changed = msgspec.structs.replace(found, **_given(edit))
    subscriptions = tuple(changed if each is found else each for each in instance.subscriptions)
    return msgspec.structs.replace(instance, subscriptions=subscriptions)


def with_new_subscription(
    instance: DestinationInstance, edit: SubscriptionEdit, id_: str, default_mapping: Callable[[str], dict[str, Any]]
) -> DestinationInstance:
    """The instance with one subscription more; its mapping is the action's default one where none is given.

    Raises `DeclarationInvalid` where action or trigger is missing.
    """
    missing = [name for name in ("action", "subscribe") if getattr(edit, name) is UNSET]
    if missing:
        faults = [Fault(name, "a new subscription needs one") for name in missing]
        raise DeclarationInvalid(f"a new subscription needs {' and '.join(missing)}", faults)
    given = _given(edit)
    action = given["action"]
    mapping = given.pop("mapping", None)
    mapping = default_mapping(action) if mapping is None else mapping
    added = Subscription(id=id_, mapping=mapping, **{"name": action, **given})
    return msgspec.structs.replace(instance, subscriptions=(*instance.subscriptions, added))


def without_subscription(instance: DestinationInstance, subscription: str) -> DestinationInstance:
    """The instance without one subscription (by id or name). Raises `SubscriptionUnknown`."""
    found = subscription_of(instance, subscription)
    left = tuple(each for each in instance.subscriptions if each is not found)
    return msgspec.structs.replace(instance, subscriptions=left)


def subscription_of(instance: DestinationInstance, subscription: str) -> Subscription:
    """A subscription by its id, else by its name. Raises `SubscriptionUnknown`."""
    for attribute in ("id", "name"):
        for each in instance.subscriptions:
            if getattr(each, attribute) == subscription:
                return each
    known = ", ".join(each.id for each in instance.subscriptions) or "none"
    raise SubscriptionUnknown(f"{instance.name} has no subscription {subscription!r}; it has {known}")


def _given(edit: SubscriptionEdit) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(edit).items() if value is not UNSET}
