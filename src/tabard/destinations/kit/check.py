"""What is wrong with a declaration, found before anything is sent with it."""

import re
from collections.abc import Iterator

from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.mapping import MappingInvalid, compile_mapping
from tabard.destinations.kit.plan import preset_subscriptions
from tabard.destinations.kit.subscription import compile_trigger
from tabard.destinations.kit.trigger_syntax import TriggerInvalid

_DESTINATION_SLUG = re.compile(r"[a-z][a-z0-9-]{0,63}")
_ACTION_SLUG = re.compile(r"[a-z][A-Za-z0-9]{0,63}")


def declaration_errors(destination: Destination) -> list[str]:
    """One sentence for each fault of a declaration, [] for a sound one."""
    return [*_of_the_whole(destination), *(fault for action in destination.actions for fault in _of_action(action))]


def _of_the_whole(destination: Destination) -> Iterator[str]:
    if not _DESTINATION_SLUG.fullmatch(destination.slug):
        yield f"slug {destination.slug!r} should be lower-case letters, digits and dashes"
    slugs = [action.slug for action in destination.actions]
    if not slugs:
        yield "a destination needs at least one action"
    yield from (f"action {slug!r} is declared twice" for slug in sorted(set(slugs)) if slugs.count(slug) > 1)
    try:
        preset_subscriptions(destination)
    except (KeyError, TriggerInvalid, MappingInvalid) as error:
        yield f"a preset does not work: {error}"


def _of_action(action: Action) -> Iterator[str]:
    if not _ACTION_SLUG.fullmatch(action.slug):
        yield f"action slug {action.slug!r} should be letters and digits, the first one a lower-case letter"
    try:
        compile_mapping(action.default_mapping())
        if action.default_subscription:
            compile_trigger(action.default_subscription)
    except (TriggerInvalid, MappingInvalid) as error:
        yield f"{action.slug}: the defaults do not work: {error}"
    unknown = [key for key in action.batch_keys if key not in action.fields]
    if unknown:
        yield f"{action.slug}: batch keys {', '.join(unknown)} are no fields"
    if action.batch_size < 1 or action.batch_bytes < 1:
        yield f"{action.slug}: a batch holds at least one item and one byte"
