"""What is kept of attempts: request and answer as text, secrets cut out, bodies capped."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
_WORD_MIN: Final = 8
_SECRET_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-tabard-signature"}
)


def without_secrets(outcomes: Sequence[Outcome], compiled: Compiled) -> list[Outcome]:
    """The outcomes with no secret in their reasons, which quote what destinations answered; reasons capped."""
    if not any(outcome.reason for outcome in outcomes):
        return list(outcomes)
    secrets = secret_texts(compiled.destination.settings, compiled.settings)
    cleaned = {
        id(outcome): replace(outcome, reason=redacted(outcome.reason, secrets)[:REASON_LENGTH_MAX])
        for outcome in outcomes
    }
    return [cleaned[id(outcome)] for outcome in outcomes]


def attempts_of(
    unit: Unit, outcomes: Sequence[Outcome], exchanges: Sequence[Exchange], compiled: Compiled, took_s: float
) -> list[Attempt]:
    """A record for each item that did not simply succeed, or for all with `record: all`. Reasons come clean."""
    kept = [
        (entry, outcome)
        for entry, outcome in zip(unit.entries, outcomes, strict=True)
        if outcome.verdict is not Verdict.DELIVERED or entry.attempts or compiled.options.record == "all"
    ]
    if not kept:
        return []
    secrets = secret_texts(compiled.destination.settings, compiled.settings)
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


def secret_texts(fields: Mapping[str, Field], settings: Mapping[str, Any]) -> list[str]:
    """The texts that must not be kept: secret settings, whole (also as in a form), by line, and longer words."""
    found: set[str] = set()
    for name, field in fields.items():
        value = settings.get(name)
        if field.secret and isinstance(value, str):
            found |= {
                value,
                quote_plus(value),
                *value.splitlines(),
                *(word for word in value.split() if len(word) >= _WORD_MIN),
            }
    return sorted((text for text in found if len(text) >= _SECRET_MIN), key=len, reverse=True)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text


def shown_request(request: HttpRequest, secrets: Sequence[str]) -> HttpRequest:
    """A request as it may be shown: the whole of it, secrets cut out."""
    headers = {
        name: REDACTED if name.lower() in _SECRET_HEADERS else redacted(value, secrets)
        for name, value in request.headers.items()
    }
    body = redacted(request.body.decode("utf-8", errors="replace"), secrets).encode()
    return HttpRequest(request.method, redacted(request.url, secrets), headers, body)


def _request_text(exchange: Exchange, secrets: Iterable[str]) -> str:
    request = exchange.request
    head = f"{request.method} {request.url}\n{_headers(request.headers)}"
    return redacted(f"{head}\n\n{_capped(request.body)}", secrets)


def _answer_text(exchange: Exchange, secrets: Iterable[str]) -> str:
    answer = exchange.answer
    if answer is None:
        return "no answer"
    return redacted(f"{answer.status}\n{_headers(answer.headers)}\n\n{_capped(answer.body)}", secrets)


def _headers(headers: Mapping[str, str]) -> str:
    return "\n".join(
        f"{name}: {REDACTED if name.lower() in _SECRET_HEADERS else value}" for name, value in headers.items()
    )


def _capped(body: bytes) -> str:
    text = body[:BODY_BYTES_MAX].decode("utf-8", errors="replace")
    return text if len(body) <= BODY_BYTES_MAX else f"{text}… ({len(body)} bytes in all)"
