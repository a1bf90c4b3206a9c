"""What is kept of attempts: request and answer as text, secrets cut out, bodies capped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote_plus

from tabard.delivery.attempt import Exchange
from tabard.delivery.compiled import Compiled
from tabard.delivery.entry import Unit
from tabard.delivery.outcome import Outcome, Verdict
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpRequest
from tabard.storage.deliveries import Attempt

BODY_BYTES_MAX: Final = 16 * 1024
REASON_LENGTH_MAX: Final = 1_000
REDACTED: Final = "[redacted]"
_SECRET_MIN: Final = 4
_VALUE_MIN: Final = 6
"""Of a header: shorter ones (`true`, `prod`) stand in many bodies."""
_WORD_MIN: Final = 8
_SECRET_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-tabard-signature"}
)


def without_secrets(outcomes: Sequence[Outcome], compiled: Compiled) -> list[Outcome]:
    """The outcomes with no secret in their reasons, which quote what destinations answered; reasons capped."""
    if not any(outcome.reason for outcome in outcomes):
        return list(outcomes)
    secrets = secrets_of(compiled.destination.settings, compiled.settings)
    cleaned = {
        id(outcome): replace(outcome, reason=redacted(outcome.reason, secrets)[:REASON_LENGTH_MAX])
        for outcome in outcomes
    }
    return [cleaned[id(outcome)] for outcome in outcomes]


def attempts_of(
    unit: Unit, outcomes: Sequence[Outcome], exchanges: Sequence[Exchange], compiled: Compiled, took_s: float
) -> list[Attempt]:
    """A record for each item that did not simply succeed at once, or for all with `record: all`. Reasons come clean."""
    kept = [
        (entry, outcome)
        for entry, outcome in zip(unit.entries, outcomes, strict=True)
        if outcome.verdict is not Verdict.DELIVERED
        or entry.attempts
        or entry.has_row
        or compiled.options.record == "all"
    ]
    if not kept:
        return []
    secrets = secrets_of(compiled.destination.settings, compiled.settings)
    request = "\n\n".join(_request_text(each, secrets) for each in exchanges)
    answer = "\n\n".join(_answer_text(each, secrets) for each in exchanges)
    return [
        Attempt(
            position=entry.position,
            at=unit.began_at,
            took_ms=round(took_s * 1000),
            subscription=unit.subscription_id,
            verdict=outcome.verdict,
            code=outcome.code,
            reason=outcome.reason,
            request=request if index == 0 else "",
            answer=answer if index == 0 else "",
        )
        for index, (entry, outcome) in enumerate(kept)
    ]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be kept of an instance's exchanges: texts, the longest first, and headers by lower-case name."""

    texts: tuple[str, ...]
    headers: frozenset[str]


def secrets_of(fields: Mapping[str, Field], settings: Mapping[str, Any]) -> Secrets:
    """The secret settings: whole (also as in a form), by line, longer words, and where a line is a header, its value.

    Headers that are set so, and those that always carry secrets, are cut out however short their values are.
    """
    texts: set[str] = set()
    headers = set(_SECRET_HEADERS)
    for name, field in fields.items():
        value = settings.get(name)
        if field.secret and isinstance(value, str):
            texts |= {
                value,
                quote_plus(value),
                *value.splitlines(),
                *(word for word in value.split() if len(word) >= _WORD_MIN),
            }
            for line in value.splitlines():
                header, colon, own = line.partition(":")
                if colon and header.strip():
                    headers.add(header.strip().lower())
                    texts |= {own.strip()} if len(own.strip()) >= _VALUE_MIN else set()
    longest_first = sorted((text for text in texts if len(text) >= _SECRET_MIN), key=len, reverse=True)
    return Secrets(tuple(longest_first), frozenset(headers))


def redacted(text: str, secrets: Secrets) -> str:
    """The text with every secret replaced."""
    for secret in secrets.texts:
        text = text.replace(secret, REDACTED)
    return text


def shown_request(request: HttpRequest, secrets: Secrets) -> HttpRequest:
    """A request as it may be shown: the whole of it, secrets cut out."""
    headers = {
        name: REDACTED if name.lower() in secrets.headers else redacted(value, secrets)
        for name, value in request.headers.items()
    }
    body = redacted(request.body.decode("utf-8", errors="replace"), secrets).encode()
    return HttpRequest(request.method, redacted(request.url, secrets), headers, body)


def _request_text(exchange: Exchange, secrets: Secrets) -> str:
    request = exchange.request
    head = f"{request.method} {request.url}\n{_headers(request.headers, secrets)}"
    return f"{redacted(head, secrets)}\n\n{_capped(request.body, secrets)}"


def _answer_text(exchange: Exchange, secrets: Secrets) -> str:
    answer = exchange.answer
    if answer is None:
        return "no answer"
    head = f"{answer.status}\n{_headers(answer.headers, secrets)}"
    return f"{redacted(head, secrets)}\n\n{_capped(answer.body, secrets)}"


def _headers(headers: Mapping[str, str], secrets: Secrets) -> str:
    return "\n".join(
        f"{name}: {REDACTED if name.lower() in secrets.headers else value}" for name, value in headers.items()
    )


def _capped(body: bytes, secrets: Secrets) -> str:
    # Before the cut: half a secret at its edge would not be found any more.
    clean = redacted(body.decode("utf-8", errors="replace"), secrets).encode()
    text = clean[:BODY_BYTES_MAX].decode("utf-8", errors="ignore")
    return text if len(clean) <= BODY_BYTES_MAX else f"{text}… ({len(body)} bytes in all)"
