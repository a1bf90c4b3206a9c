"""From what is declared and what is there to the changes that make it so. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tabard.workspace.browser_options import BrowserOptionsInvalid, checked_browser_options
from tabard.workspace.declaration import (
    Declaration,
    DeclarationInvalid,
    DestinationDeclared,
    SourceDeclared,
    SubscriptionDeclared,
)
from tabard.workspace.sources import checked_name, rotated
from tabard.workspace.types import DestinationInstance, Source, Subscription

HIDDEN: Final = "(hidden)"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One source or destination that is added (no `before`), changed, or removed (no `after`).

    Settings are in plain here, secrets too: `differences` hides them, and they are sealed before they are stored.
    """

    what: str
    name: str
    before: Source | DestinationInstance | None
    after: Source | DestinationInstance | None

    @property
    def verb(self) -> str:
        """`add`, `change` or `remove`."""
        if self.before is None:
            return "add"
        return "change" if self.after is not None else "remove"


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan starts from: the workspace with settings in plain, and where new ids and keys come from.

    `presets` gives the subscriptions a new instance of a kind starts with, `default_mapping` what an action (of a
    kind) maps unless told otherwise, `secret_fields` the settings of a kind that keep their value where a file's
    variable for them is not set.
    """

    sources: Sequence[Source]
    destinations: Sequence[DestinationInstance]
    presets: Callable[[str], tuple[SubscriptionDeclared, ...]]
    default_mapping: Callable[[str, str], dict[str, Any]]
    secret_fields: Callable[[str], Iterable[str]]
    new_id: Callable[[str], str]
    new_key: Callable[[], str]
    now_ms: int


def plan(declared: Declaration, present: Present, *, prune: bool = False) -> list[Change]:
    """The changes, sources first. With `prune`, what a declared section does not name is removed.

    Raises `DeclarationInvalid` for a source that is not there, or a setting without a value.
    """
    changes = [_source_change(each, present) for each in declared.sources or ()]
    ids = {each.name: each.id for each in present.sources}
    ids |= {each.name: each.after.id for each in changes if each.after}
    changes += [_destination_change(each, present, ids) for each in declared.destinations or ()]
    if prune:
        sections = (
            ("destination", declared.destinations, present.destinations),
            ("source", declared.sources, present.sources),
        )
        for what, entries, known in sections:
            kept = None if entries is None else {entry.name for entry in entries}
            changes += [
                Change(what=what, name=each.name, before=each, after=None)
                for each in known
                if kept is not None and each.name not in kept
            ]
    return [change for change in changes if change.before != change.after]


def _source_change(declared: SourceDeclared, present: Present) -> Change:
    before = next((each for each in present.sources if each.name == declared.name), None)
    wanted = {key: getattr(declared, key) for key in declared.__struct_fields__ if key != "write_key"}
    try:
        checked_browser_options(declared.browser_options, declared.kind)
    except BrowserOptionsInvalid as problem:
        raise DeclarationInvalid(f"source {declared.name!r}: {problem}") from problem
    if before is None:
        after = Source(
            id=present.new_id("src"),
            write_keys={declared.write_key or present.new_key(): "active"},
            created_at=present.now_ms,
            **{**wanted, "name": checked_name(declared.name)},
        )
    else:
        after = msgspec.structs.replace(before, **wanted)
        if declared.write_key and declared.write_key != before.write_key:
            after = rotated(after, declared.write_key, keep_old=False)
    return Change(what="source", name=declared.name, before=before, after=after)


def _destination_change(declared: DestinationDeclared, present: Present, source_ids: dict[str, str]) -> Change:
    place = f"destination {declared.name!r}"
    before = next((each for each in present.destinations if each.name == declared.name), None)
    if before is not None and before.slug != declared.destination:
        raise DeclarationInvalid(
            f"{place} is a {before.slug} and cannot become a {declared.destination}; give it another name"
        )
    for name in declared.sources:
        if name not in source_ids:
            raise DeclarationInvalid(f"{place}: there is no source {name!r}; declare it or add it first")
    kept = before.settings if before else {}
    secret = set(present.secret_fields(declared.destination))
    missing = {key: variable for key, variable in declared.unset.items() if key not in kept or key not in secret}
    if missing:
        raise DeclarationInvalid(
            "; ".join(
                f"{place}: settings.{key}: the environment variable {variable} is not set"
                for key, variable in missing.items()
            )
        )
    after = DestinationInstance(
        id=before.id if before else present.new_id("dst"),
        name=checked_name(declared.name),
        slug=declared.destination,
        enabled=declared.enabled,
        settings={**declared.settings, **{key: kept[key] for key in declared.unset}},
        subscriptions=_subscriptions(declared, before.subscriptions if before else None, present),
        sources=tuple(source_ids[name] for name in declared.sources),
        start=declared.start,
        options=declared.options,
        version=before.version if before else 1,
        created_at=before.created_at if before else present.now_ms,
        paused_at=before.paused_at if before else 0,
    )
    return Change(what="destination", name=declared.name, before=before, after=after)


def _subscriptions(
    declared: DestinationDeclared, before: tuple[Subscription, ...] | None, present: Present
) -> tuple[Subscription, ...]:
    """The declared subscriptions; one that was there by the same action and name keeps its id."""
    wanted = declared.subscriptions
    if wanted is None:
        if before is not None:
            return before
        wanted = present.presets(declared.destination)
    free = list(before or ())
    made = []
    for each in wanted:
        name = each.name or each.action
        known = next((one for one in free if (one.action, one.name) == (each.action, name)), None)
        if known is not None:
            free.remove(known)
        made.append(
            Subscription(
                id=known.id if known else present.new_id("sub"),
                action=each.action,
                subscribe=each.subscribe,
                mapping=(
                    present.default_mapping(declared.destination, each.action) if each.mapping is None else each.mapping
                ),
                name=name,
                enabled=each.enabled,
            )
        )
    return tuple(made)


def differences(
    change: Change, secret_fields: Callable[[str], Iterable[str]], source_names: Mapping[str, str]
) -> list[str]:
    """The change in lines: `settings.url: old → new`; nothing for a removal, defaults left out for an addition.

    Secret settings (`secret_fields` of the destination's kind) and write keys are not shown, ids neither: a dry run
    makes others than the run after it. Sources stand by their names.
    """
    after = change.after
    if after is None:
        return []
    slug = after.slug if isinstance(after, DestinationInstance) else ""
    hidden = (*(f"settings.{key}" for key in secret_fields(slug)), "write_keys")
    old, new = (dict(_flat(each)) if each is not None else {} for each in (change.before, after))
    lines = []
    for path in sorted({*old, *new} - {"version", "id", "created_at", "name"}):
        if path.endswith(".id"):
            continue
        pair = [old.get(path), new.get(path)]
        if pair[0] == pair[1] or (change.before is None and not pair[1]):
            continue
        if path.startswith(hidden):
            pair = [each and HIDDEN for each in pair]
        if path.startswith("sources["):
            pair = [source_names.get(str(each), each) for each in pair]
        shown = "write_keys" if path.startswith("write_keys") else path
        lines.append(f"{shown}: {_word(pair[0])} → {_word(pair[1])}")
    return lines


def _flat(value: Any, lead: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict) and (value or not lead):
        for key, each in value.items():
            yield from _flat(each, f"{lead}.{key}".lstrip("."))
    elif isinstance(value, list | tuple) and value:
        for index, each in enumerate(value):
            yield from _flat(each, f"{lead}[{index}]")
    else:
        yield lead, value


def _word(value: Any) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
