"""Clients under way while roles die: each sends batches until they are acknowledged, as published SDKs do."""

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PEOPLE = 60
PAUSE_S = 0.01
RETRY_S = 0.1
ANSWER_S = 5.0
Json = dict[str, Any]


@dataclass
class Told:
    """What the clients sent and what they were told: messageIds, and whose each is."""

    sent: dict[str, int] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


class Load:
    """`clients` threads that send to whatever address `collector` names at the moment."""

    def __init__(self, collector: str, write_key: str, seed: int, clients: int = 3) -> None:
        self.collector = collector
        self.told = Told()
        self._write_key = write_key
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send_all, args=(random.Random(f"{seed}:{n}"), f"c{n}"), daemon=True)
            for n in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the clients; a batch under way is still sent until it is acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)

    def _send_all(self, chance: random.Random, name: str) -> None:
        number = 0
        repeat: list[Json] = []
        while not self._stop.is_set():
            batch = repeat or [_message(chance, f"{name}-{number + i}") for i in range(chance.choice((1, 1, 3, 12)))]
            number += 0 if repeat else len(batch)
            self._deliver(batch)
            # Now and then a client repeats what was acknowledged: its answer was lost on the way.
            repeat = batch if not repeat and chance.random() < 0.1 else []
            time.sleep(PAUSE_S)

    def _deliver(self, batch: list[Json]) -> None:
        for message in batch:
            self.told.sent[message["messageId"]] = message.pop("person", self.told.sent.get(message["messageId"], -1))
        while True:
            status = self._post(batch)
            if status == 200:
                self.told.acknowledged.update(message["messageId"] for message in batch)
                return
            if status and status not in (429, 503):
                self.told.refused.append(f"{status} to {json.dumps(batch)[:200]}")
                return
            time.sleep(RETRY_S)

    def _post(self, batch: list[Json]) -> int:
        """The status, 0 where there was no whole answer."""
        address = urlsplit(self.collector)
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=ANSWER_S)
        single = batch[0] if len(batch) == 1 else None
        path = f"/v1/{single['type']}" if single else "/v1/batch"
        body = json.dumps((single or {"batch": batch}) | {"writeKey": self._write_key})
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        else:
            return answer.status
        finally:
            connection.close()


def _message(chance: random.Random, message_id: str) -> Json:
    """A call of one of the people, first anonymous, then known, so that merges happen while roles die."""
    person = chance.randrange(PEOPLE)
    known, visitor = {"userId": f"u{person}"}, {"anonymousId": f"a{person}"}
    call = chance.choice(("visit", "visit", "buy", "login"))
    common: Json = {"messageId": message_id, "person": person}
    if call == "login":
        return common | known | visitor | {"type": "identify", "traits": {"plan": chance.choice(("free", "pro"))}}
    if call == "buy":
        return common | known | {"type": "track", "event": "Bought", "properties": {"price": chance.randrange(100)}}
    return common | visitor | {"type": "page", "name": "Shop"}
