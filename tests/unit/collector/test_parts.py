"""The small parts of the door: pixel, rate, addresses, settings document, kept rejections."""

import base64
import json
from pathlib import Path

import pytest

from tabard.collector.addresses import Addresses
from tabard.collector.pixel import pixel_body
from tabard.collector.rate import Rates, TooManyRequests
from tabard.collector.rejections import KeptRejection, SqliteRejections, newest_rejections
from tabard.collector.request import Request
from tabard.collector.settings_document import settings_document, source_config
from tabard.message.limits import Limits
from tabard.message.parse import Refused
from tabard.settings import Settings
from tabard.workspace.types import Source


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s

    def new_id(self) -> str:
        return "id"


def get(url: str, peer: str = "192.0.2.1", **headers: str) -> Request:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request(b"GET", url.encode(), named, b"", peer)


def test_a_pixel_holds_its_call_in_base64_of_any_alphabet() -> None:
    call = {"userId": "u?>", "event": "Opened"}
    for encoded in (
        base64.b64encode(json.dumps(call).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(call).encode()).decode().rstrip("="),
    ):
        assert json.loads(pixel_body(get(f"/v1/pixel/track?data={encoded}"), Limits())) == call


def test_a_pixel_holds_its_call_in_dotted_parameters() -> None:
    body = pixel_body(
        get("/v1/pixel/track?userId=u&event=Opened&properties.a.b=1&properties.a.c=x%20y&event.z=2"), Limits()
    )
    assert json.loads(body) == {"userId": "u", "event": "Opened", "properties": {"a": {"b": "1", "c": "x y"}}}


@pytest.mark.parametrize(("query", "code"), [("data=***", "bad_encoding"), (f"{'a.' * 70}b=1", "too_deep")])
def test_a_pixel_that_cannot_be_read_has_its_code(query: str, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        pixel_body(get(f"/v1/pixel/track?{query}"), Limits())
    assert refusal.value.rejection.reason == code


def test_a_source_over_its_rate_is_told_when_to_come_again() -> None:
    clock = HandClock()
    rates, source = Rates(clock), Source(id="s", name="s", rate_per_s=10)
    for _ in range(10):
        rates.take(source, 1)
    with pytest.raises(TooManyRequests) as refusal:
        rates.take(source, 1)
    assert refusal.value.retry_after_s == 1
    clock.s += 0.11
    rates.take(source, 1)


def test_a_large_batch_overdraws_the_rate_and_pays_with_a_wait() -> None:
    clock = HandClock()
    rates, source = Rates(clock), Source(id="s", name="s", rate_per_s=10)
    rates.take(source, 100)
    with pytest.raises(TooManyRequests) as refusal:
        rates.take(source, 1)
    assert refusal.value.retry_after_s == 9
    clock.s += 9.1
    rates.take(source, 1)


def test_a_source_without_a_rate_is_never_held_up() -> None:
    rates, source = Rates(HandClock()), Source(id="s", name="s")
    for _ in range(1000):
        rates.take(source, 1000)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "198.51.100.4", "198.51.100.4"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.4, 10.0.0.2", "198.51.100.4"),
        ("10.0.0.1", "198.51.100.4:5050", "198.51.100.4"),
        ("10.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.1", "198.51.100.4", "192.0.2.1"),
    ],
)
def test_only_a_trusted_proxy_says_who_calls(peer: str, forwarded: str, client: str) -> None:
    addresses = Addresses(Settings(trusted_proxies="10.0.0.0/8"), lambda: "http://bound")
    assert addresses.client(get("/", peer, x_forwarded_for=forwarded)) == client


def test_our_own_address_is_the_public_url_then_what_a_proxy_says_then_the_socket() -> None:
    headers = {"host": "evil.example", "x_forwarded_host": "events.example.com", "x_forwarded_proto": "https"}
    public = Addresses(Settings(public_url="https://c.example.com/"), lambda: "http://bound")
    assert public.base_url(get("/", **headers)) == "https://c.example.com"
    proxied = Addresses(Settings(trusted_proxies="10.0.0.1"), lambda: "http://bound")
    assert proxied.base_url(get("/", "10.0.0.1", **headers)) == "https://events.example.com"
    assert proxied.base_url(get("/", "192.0.2.1", **headers)) == "http://bound"
    assert proxied.base_url(get("/", "10.0.0.1", host="[2001:db8::1]:8080")) == "http://[2001:db8::1]:8080"
    for odd in ('a"<b>/x', "a b", "a:99999999", "", "a\x00"):
        assert proxied.base_url(get("/", "10.0.0.1", host=odd)) == "http://bound"


def test_every_entry_of_the_settings_document_names_our_host() -> None:
    document = json.loads(settings_document("https://c.example.com/base", "KEY"))
    entry = {"apiKey": "KEY", "apiHost": "c.example.com/base/v1", "protocol": "https"}
    assert document == {
        "integrations": {"Customer.io Data Pipelines": entry, "Segment.io": entry},
        "metrics": {"sampleRate": 0},
    }


def test_the_source_config_switches_rudderstack_s_own_reports_off() -> None:
    config = json.loads(source_config(Source(id="s", name="n"), "KEY"))["source"]
    assert (config["writeKey"], config["destinations"]) == ("KEY", [])
    assert config["config"]["statsCollection"] == {"errors": {"enabled": False}, "metrics": {"enabled": False}}


def rejection(number: int, clock: HandClock) -> KeptRejection:
    return KeptRejection(clock.now_ms(), "s1", "too_deep", f"m{number}", "", number, "/v1/batch", b"x" * 50, 50)


def test_rejections_are_kept_up_to_a_count_and_an_age_with_their_bytes_up_to_a_cap(tmp_path: Path) -> None:
    clock = HandClock()
    settings = Settings(rejections_max=300, rejections_age_s=60, rejection_bytes_max=10)
    store = SqliteRejections(tmp_path, settings, clock)
    for start in range(0, 1024, 64):
        assert store.keep([rejection(start + number, clock) for number in range(64)])
    found = newest_rejections(tmp_path, 2000)
    assert 300 <= len(found) <= 300 + 256
    assert (found[0].message, found[0].item, found[0].raw, found[0].raw_bytes) == ("m1023", 1023, b"x" * 10, 50)
    assert [one.message for one in newest_rejections(tmp_path, 2, before=found[1].id)] == ["m1021", "m1020"]
    assert newest_rejections(tmp_path, 5, source="other") == []
    clock.s += 120
    for _ in range(4):
        store.keep([rejection(number, clock) for number in range(64)])
    assert len(newest_rejections(tmp_path, 2000)) <= 256
    store.close()


def test_rejections_that_cannot_be_written_are_told_and_later_ones_kept(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    store = SqliteRejections(folder, Settings(), HandClock())
    assert not store.keep([rejection(1, HandClock())])
    assert newest_rejections(folder, 5) == []
    folder.mkdir()
    assert store.keep([rejection(2, HandClock())])
    assert [one.message for one in newest_rejections(folder, 5)] == ["m2"]
    store.close()
