"""One attempt: the destination's own code is called, and whatever it does becomes an `Outcome` an item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tabard.delivery.compiled import Compiled
from tabard.delivery.entry import Unit
from tabard.delivery.outcome import DELIVERED, Outcome, Verdict
from tabard.delivery.retry import judge
from tabard.delivery.route import options_for
from tabard.destinations.kit.action import Action, Call
from tabard.destinations.kit.destination import Destination, Subject
from tabard.destinations.kit.errors import AuthenticationFailed, DestinationError, HttpError
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send

_CREDENTIAL_STATUSES: Final = (401, 403)


@dataclass(slots=True)
class Exchange:
    """One request with its answer; None where none came."""

    request: HttpRequest
    answer: HttpResponse | None = None


class Recording:
    """A `Send` that remembers what passed through it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.exchanges: list[Exchange] = []

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        """Sends the request and keeps it with its answer."""
        exchange = Exchange(request)
        self.exchanges.append(exchange)
        exchange.answer = await self._send(request)
        return exchange.answer


async def attempt(unit: Unit, compiled: Compiled, send: Send, now_ms: int, retry_after_max_s: float) -> list[Outcome]:
    """The end of each item of the unit, in their order. Never raises: a defect of an action is an outcome too."""
    action = unit.planned[0].subscription.action
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    calls = [_call(unit, index, compiled, now) for index in range(len(unit.entries))]

    def end(error: Exception | None) -> Outcome:
        return outcome_of(error, now_ms, retry_after_max_s)

    try:
        errors = await _perform(action, calls, send, is_batch=unit.batch_key is not None)
    except Exception as error:  # noqa: BLE001 - somebody's code; whatever it raises is recorded as the item's end
        return [end(error)] * len(calls)
    if len(errors) != len(calls):
        return [end(ValueError(f"the action gave {len(errors)} results for {len(calls)} items"))] * len(calls)
    return [end(error) for error in errors]


async def _perform(
    action: Action, calls: Sequence[Call], send: Send, *, is_batch: bool
) -> Sequence[DestinationError | None]:
    if is_batch and action.perform_batch is not None:
        return await action.perform_batch(send, calls)
    await action.perform(send, calls[0])
    return (None,)


def _call(unit: Unit, index: int, compiled: Compiled, now: datetime) -> Call:
    item = unit.entries[index].item
    message: Mapping[str, Any] = item.body if item else {}
    integrations = message.get("integrations")
    options = options_for(integrations, compiled.route.names) if integrations else {}
    return Call(unit.planned[index].payload, compiled.settings, message, now, options)


def outcome_of(error: Exception | None, now_ms: int, retry_after_max_s: float) -> Outcome:
    """What an attempt came to that raised this, or nothing."""
    if error is None:
        return DELIVERED
    if isinstance(error, DestinationError):
        return judge(error, now_ms=now_ms, retry_after_max_s=retry_after_max_s)
    return Outcome(Verdict.DEAD, "defect", f"the action failed: {type(error).__name__}", blames_item=True)


async def erase(compiled: Compiled, send: Send, subjects: Sequence[Subject]) -> Exception | None:
    """Asks the destination to erase people; the error of the first that failed, None where all succeeded."""
    on_delete = compiled.destination.on_delete
    try:
        for subject in subjects:
            if on_delete is not None:
                await on_delete(send, compiled.settings, subject)
    except Exception as error:  # noqa: BLE001 - somebody's code; whatever it raises is the end of the attempt
        return error
    return None


async def credentials_refused(destination: Destination, settings: Mapping[str, Any], send: Send) -> str:
    """Why the destination's own `test` says that the credentials are bad; '' where it says they are good.

    Where there is no test, or it gets no answer, the refusal of the message is believed.
    """
    if destination.test is None:
        return "the credentials were refused; this destination has no test to confirm it"
    try:
        await destination.test(send, settings)
    except AuthenticationFailed as error:
        return error.reason
    except HttpError as error:
        return error.reason if error.status in _CREDENTIAL_STATUSES else ""
    except Exception as error:  # noqa: BLE001 - somebody's code; no answer means no acquittal
        return f"the test failed: {type(error).__name__}"
    return ""


async def test_failure(destination: Destination, settings: Mapping[str, Any], send: Send) -> str:
    """Why the destination's own `test` fails; '' where it passes or there is none."""
    if destination.test is None:
        return ""
    try:
        await destination.test(send, settings)
    except DestinationError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - somebody's code
        return f"the test failed: {type(error).__name__}"
    return ""
