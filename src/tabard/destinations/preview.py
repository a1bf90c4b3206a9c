"""What would go out for a message, without sending it: the requests, or why there are none.

The same plan and the same `perform` as in a delivery run against a recorder that answers as the vendor would.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tabard.destinations.kit.action import Call
from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.errors import DestinationError, Filtered, PayloadInvalid, Rejected
from tabard.destinations.kit.plan import Invalid, Subscription, plan
from tabard.destinations.kit.request import HttpRequest, HttpResponse

REQUESTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a subscription would send nothing (or no more): `kind` is the outcome, `field` a payload path or ''."""

    kind: str
    reason: str
    field: str = ""

    def as_json(self) -> dict[str, str]:
        """The refusal as JSON data; the key `field` only where there is one."""
        return {"kind": self.kind, "reason": self.reason, **({"field": self.field} if self.field else {})}


NOT_TRIGGERED = Refusal("filtered", "no trigger matches this message")


@dataclass(frozen=True, slots=True)
class Preview:
    """What one subscription would do with one message; `subscription` is '' where none was triggered."""

    subscription: str
    action: str
    requests: tuple[HttpRequest, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What many messages would do: requests and people reached, and the refusals counted by reason.

    `people` counts those whose messages would send something, `profiles` those of them for whom an action runs that
    creates who is not there yet.
    """

    messages: int
    requests: int
    people: int
    profiles: int
    refusals: Mapping[str, int] = field(default_factory=dict)


async def preview(
    destination: Destination,
    settings: Mapping[str, Any],
    subscriptions: Iterable[Subscription],
    message: Mapping[str, Any],
    now: datetime,
) -> list[Preview]:
    """One preview for each subscription the message triggers, or one that says that none is triggered.

    `settings` have passed `check_settings`. The `integrations` object, consent and whether the instance is switched
    on are decided before this, by `delivery.route`.
    """
    planned = plan(subscriptions, message)
    if not planned:
        return [Preview("", "", refusals=(NOT_TRIGGERED,))]
    previews = []
    for each in planned:
        name, action = each.subscription.name, each.subscription.action
        if isinstance(each, Invalid):
            refusals = tuple(Refusal("invalid", problem.reason, problem.field) for problem in each.problems)
            previews.append(Preview(name, action.slug, refusals=refusals))
            continue
        recorder = _Recorder(destination)
        call = Call(each.payload, settings, message, now)
        refusal = await _refusal_of(action.perform(recorder, call))
        previews.append(Preview(name, action.slug, tuple(recorder.requests), refusal))
    return previews


def requests_as_json(previews: Iterable[Preview]) -> list[dict[str, Any]]:
    """All requests, in order, as JSON data: method, url, headers and the body as text."""
    return [
        {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            "body": request.body.decode("utf-8", errors="replace"),
        }
        for each in previews
        for request in each.requests
    ]


def summarize(destination: Destination, previewed: Sequence[tuple[str, list[Preview]]]) -> Summary:
    """The sum over messages, each by the person it is about ('' for none), and their previews."""
    people: set[str] = set()
    profiles: set[str] = set()
    refusals: Counter[str] = Counter()
    requests = 0
    for person, previews in previewed:
        sending = [each for each in previews if each.requests]
        requests += sum(len(each.requests) for each in sending)
        if sending and person:
            people.add(person)
        if person and any(each.action in destination.creates_people for each in sending):
            profiles.add(person)
        refusals.update(_in_words(refusal) for each in previews for refusal in each.refusals)
    return Summary(len(previewed), requests, len(people), len(profiles), dict(refusals.most_common()))


class _Recorder:
    """A `Send` that writes the requests down and answers as the destination says its vendor would."""

    def __init__(self, destination: Destination) -> None:
        self._answer = destination.preview_answer
        self.requests: list[HttpRequest] = []

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        if len(self.requests) >= REQUESTS_MAX:
            raise Rejected(f"more than {REQUESTS_MAX} requests for one message")
        self.requests.append(request)
        return self._answer(request)


async def _refusal_of(performing: Any) -> tuple[Refusal, ...]:
    try:
        await performing
    except Filtered as error:
        return (Refusal("filtered", error.reason),)
    except PayloadInvalid as error:
        return (Refusal("invalid", error.reason, error.field),)
    except DestinationError as error:
        return (Refusal("failed", error.reason),)
    except Exception as error:  # noqa: BLE001 - a defect of an action is shown, as delivery would record it
        return (Refusal("defect", f"{type(error).__name__}: {error}"),)
    return ()


def _in_words(refusal: Refusal) -> str:
    place = f"{refusal.field}: " if refusal.field else ""
    return f"{refusal.kind}: {place}{refusal.reason}"
