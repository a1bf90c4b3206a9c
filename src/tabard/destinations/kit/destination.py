"""A destination: declared data and a little code. docs/writing-a-destination.md shows a whole one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tabard.destinations.kit.action import Action, Rate
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send


@dataclass(frozen=True, slots=True)
class Preset:
    """A subscription that a new instance starts with: `action` (slug) runs where `subscribe` matches.

    mapping: overrides, by field, of the action's default mapping.
    """

    name: str
    action: str
    subscribe: str
    mapping: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data is to be deleted: the identifiers known for one person, each absent (None) or as sent."""

    user_id: str | None = None
    anonymous_id: str | None = None
    email: str | None = None


class DestinationTestFailed(Exception):
    """A destination does not accept its settings, or has no way to be asked; the text is the reason."""


class CheckCredentials(Protocol):
    """Asks the vendor whether the settings work. Returns if so, raises one of `errors` if not."""

    async def __call__(self, send: Send, settings: Mapping[str, Any], /) -> None: ...


class DeleteSubject(Protocol):
    """Deletes a person at the vendor. Someone unknown there counts as deleted."""

    async def __call__(self, send: Send, settings: Mapping[str, Any], subject: Subject, /) -> None: ...


def _accepted(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json"}, b"{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One declared destination.

    slug: `mixpanel`: the key in URLs, configuration and the registry. name: as people write it.
    aliases: further names that mean this destination in a message's `integrations` object
        (`Mixpanel (Actions)`), beside name and slug.
    presets: what a new instance starts with.
    test: checks the credentials; None where the vendor offers no way.
    on_delete: erases a person at the vendor; None where the vendor offers no way.
    creates_people: slugs of the actions that make a person who is not there yet, for a preview's estimate.
    rate: the vendor's limit over all actions of one instance.
    preview_answer: how the vendor would answer, for an action that asks before it writes (a search that finds
        nobody); by default 200 and `{}`.
    """

    slug: str
    name: str
    description: str
    settings: Mapping[str, Field]
    actions: tuple[Action, ...]
    presets: tuple[Preset, ...] = ()
    aliases: tuple[str, ...] = ()
    test: CheckCredentials | None = None
    on_delete: DeleteSubject | None = None
    creates_people: tuple[str, ...] = ()
    rate: Rate | None = None
    preview_answer: Callable[[HttpRequest], HttpResponse] = _accepted

    def action(self, slug: str) -> Action:
        """The action of that slug; KeyError naming the known ones otherwise."""
        for action in self.actions:
            if action.slug == slug:
                return action
        known = ", ".join(action.slug for action in self.actions)
        raise KeyError(f"{self.slug} has no action {slug!r}; it has: {known}")
