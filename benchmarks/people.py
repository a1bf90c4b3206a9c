"""A made-up population whose calls look like those of a product: visitors, logins, devices, leads, backfills."""

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from tabard.log.codec import encode
from tabard.log.interface import LogEntry
from tabard.message.traits import iso_ms
from tabard.message.types import RECORD_VERSION, SERVER_TRUST, Record

START_MS = 1_780_000_000_000
MESSAGES_A_PERSON = 5
RECENT = 5_000
"""Two of three calls come from the people who appeared last, the third from anybody ever."""

_CONTEXT = {
    "library": {"name": "analytics.js", "version": "2.11.1"},
    "page": {
        "path": "/pricing/teams",
        "referrer": "https://search.example/",
        "search": "?utm_source=newsletter&utm_campaign=spring",
        "title": "Pricing for teams",
        "url": "https://shop.example/pricing/teams?utm_source=newsletter&utm_campaign=spring",
    },
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "ip": "203.0.113.7",
    "locale": "en-GB",
    "timezone": "Europe/London",
}


class Population:
    """Calls in the order of their arrival; the same seed gives the same calls."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)
        self.people = 0
        self.messages = 0

    def entries(self, count: int) -> list[LogEntry]:
        """The next `count` calls as the log would hold them, in partition 1."""
        first = self.messages
        return [LogEntry(1, first + at, encode(record)) for at, record in enumerate(self._records(count))]

    def _records(self, count: int) -> Iterator[Record]:
        for _ in range(count):
            self.messages += 1
            received = START_MS + self.messages * 2
            kind, body = self._call(received)
            body["messageId"] = f"{self._random.getrandbits(128):032x}"
            yield Record(
                version=RECORD_VERSION,
                source="web" if kind in ("page", "track") else "backend",
                type=kind,
                trust=int(SERVER_TRUST),
                received_at=received,
                body=msgspec.json.encode(body),
            )

    def _call(self, received: int) -> tuple[str, dict[str, Any]]:
        random = self._random
        if self.messages % MESSAGES_A_PERSON == 1:
            self.people += 1
        low = max(0, self.people - RECENT) if random.random() < 2 / 3 else 0
        person = random.randrange(low, self.people)
        known = person % 2 == 0
        device = f"{person * 4 + (0 if random.random() < 0.8 else random.randrange(4)):032x}"
        if random.random() < 0.01:
            device = f"{'shared':x>24}{person % 997:08x}"
        moment = received - (random.randrange(90 * 86_400_000) if random.random() < 0.02 else random.randrange(400))
        body: dict[str, Any] = {"anonymousId": device, "timestamp": iso_ms(moment), "context": _CONTEXT}
        dice = random.random()
        if not known or dice < 0.3:
            if dice < 0.03:
                body["traits"] = {"email": f"lead{person}@mail.example"}
                return "identify", body
            body["name"] = "Pricing"
            body["properties"] = {"path": "/pricing/teams", "title": "Pricing for teams", "depth": random.randrange(9)}
            return "page", body
        body["userId"] = f"user-{person}"
        if dice < 0.45:
            body["traits"] = self._traits(person)
            return "identify", body
        if dice < 0.47:
            body["groupId"] = f"company-{person % 5000}"
            body["traits"] = {"name": "Acme", "plan": "team", "employees": random.randrange(1000)}
            return "group", body
        body["event"] = "Product Viewed"
        body["properties"] = {"sku": f"sku-{random.randrange(1000)}", "price": 12.5, "currency": "EUR", "quantity": 1}
        return "track", body

    def _traits(self, person: int) -> dict[str, Any]:
        traits: dict[str, Any] = {
            "email": f"lead{person}@mail.example",
            "firstName": "Ada",
            "lastName": f"Number {person}",
            "plan": self._random.choice(["free", "team", "business"]),
            "createdAt": "2024-03-01T10:00:00Z",
            "logins": self._random.randrange(100),
        }
        return traits | {f"attribute_{n}": f"value {person} {n}" for n in range(14)}
