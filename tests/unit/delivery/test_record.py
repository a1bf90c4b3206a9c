"""What is kept of an exchange holds no secret and no more than it should."""

import pytest

from tabard.delivery.attempt import Exchange
from tabard.delivery.compiled import compile_instance
from tabard.delivery.entry import Item, Unit, entry_of_item
from tabard.delivery.outcome import DELIVERED, Outcome, Verdict
from tabard.delivery.record import BODY_BYTES_MAX, attempts_of, without_secrets
from tabard.destinations.catalog.webhook import destination
from tabard.destinations.kit.request import HttpRequest, HttpResponse
from tests.integration.delivery.stored import stored, webhook

SETTINGS = {
    "url": "http://x/",
    "secret": "top-secret",
    "headers": "Authorization: Basic dXNlcjpwYXNz\nX-Key: k-12345678",
}
FAILED = Outcome(Verdict.DEAD, "http_400", "answered 400: k-12345678 is bad")


def unit(number: int = 1) -> Unit:
    entries = [entry_of_item(Item(stored(offset), {}, 0, dead=False), 0) for offset in range(number)]
    return Unit("sub1", entries, [], 1_000)


def recorded(outcomes: list[Outcome], exchange: Exchange, **options: object) -> list[tuple[str, str, str]]:
    compiled = compile_instance(webhook("http://x/", **options), destination, SETTINGS)
    found = attempts_of(unit(len(outcomes)), without_secrets(outcomes, compiled), [exchange], compiled, 0.25)
    return [(each.reason, each.request, each.answer) for each in found]


def test_secrets_are_cut_out_wherever_they_stand() -> None:
    request = HttpRequest(
        "POST",
        "http://x/?key=k-12345678",
        {"authorization": "Basic dXNlcjpwYXNz", "x-key": "k-12345678"},
        b"top-secret",
    )
    answer = HttpResponse(400, {"set-cookie": "session=1"}, b"you sent k-12345678")
    (text,) = recorded([FAILED], Exchange(request, answer))
    whole = "\n".join(text)
    assert not [secret for secret in ("top-secret", "k-12345678", "dXNlcjpwYXNz", "session=1") if secret in whole]
    assert text[1].startswith("POST http://x/?key=[redacted]\n")
    assert text[2].startswith("400\n")


def test_a_header_that_is_set_as_a_secret_is_cut_out_however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "headers", "X-Tok: abc123\nX-Pin: 77")
    request = HttpRequest("POST", "http://x/", {"x-tok": "abc123", "x-pin": "77", "x-own": "shown"})
    ((_, text, answer),) = recorded([FAILED], Exchange(request, HttpResponse(400, {}, b"abc123 is no token")))
    assert text.splitlines()[1:4] == ["x-tok: [redacted]", "x-pin: [redacted]", "x-own: shown"]
    assert answer.endswith("[redacted] is no token")


def test_a_secret_across_the_end_of_what_is_kept_leaves_no_part_of_itself() -> None:
    body = b"x" * (BODY_BYTES_MAX - 5) + b"top-secret" + b"x" * 100
    ((_, request, _answer),) = recorded([FAILED], Exchange(HttpRequest("POST", "http://x/", {}, body)))
    assert "top" not in request


def test_bodies_are_capped() -> None:
    exchange = Exchange(HttpRequest("POST", "http://x/", {}, b"x" * 3 * BODY_BYTES_MAX))
    ((_, request, answer),) = recorded([FAILED], exchange)
    assert len(request) < BODY_BYTES_MAX + 200
    assert request.endswith(f"… ({3 * BODY_BYTES_MAX} bytes in all)")
    assert answer == "no answer"


def test_a_smooth_delivery_leaves_no_record_unless_all_are_wanted() -> None:
    exchange = Exchange(HttpRequest("POST", "http://x/"), HttpResponse(200))
    assert recorded([DELIVERED], exchange) == []
    assert len(recorded([DELIVERED], exchange, record="all")) == 1


def test_the_items_of_a_batch_share_the_exchange_of_the_first_recorded_one() -> None:
    exchange = Exchange(HttpRequest("POST", "http://x/"), HttpResponse(207))
    found = recorded([DELIVERED, FAILED, FAILED], exchange)
    assert [bool(request) for _, request, _ in found] == [True, False]
