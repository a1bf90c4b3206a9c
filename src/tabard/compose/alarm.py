"""Tells `alarm_url` when a warning of the status appears or goes."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from tabard.telemetry.logging import logger

EVERY_S: Final = 30.0
TIMEOUT_S: Final = 10.0

Json = dict[str, Any]
Key = tuple[str, str]


def news(known: Iterable[Key], warnings: Iterable[Json]) -> tuple[list[Json], list[Key]]:
    """The warnings that are new, and the keys (code, subject) of those that are gone."""
    now = {(each["code"], each["subject"]): each for each in warnings}
    before = set(known)
    return [each for key, each in now.items() if key not in before], sorted(before - now.keys())


class Alarm:
    """Compares the status with what was told last, every 30 s, in a thread of its own."""

    def __init__(self, url: str, status: Callable[[], Json]) -> None:
        self._url = url
        self._status = status
        self._told: set[Key] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more; returns once a POST that is under way has ended."""
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def look(self) -> None:
        """One comparison; what could not be told is told the next time."""
        status = self._status()
        raised, cleared = news(self._told, status["warnings"])
        if not raised and not cleared:
            return
        gone = [{"code": code, "subject": subject} for code, subject in cleared]
        if self._post({"data": status["data"], "at": status["at"], "raised": raised, "cleared": gone}):
            self._told = {(each["code"], each["subject"]) for each in status["warnings"]}

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self.look()
            except Exception as problem:  # noqa: BLE001 (the alarm must outlive what it looks at)
                logger().error("alarm.failed", problem=f"{type(problem).__name__}: {problem}")

    def _post(self, document: Json) -> bool:
        request = urllib.request.Request(  # noqa: S310 (the operator's own URL, http or https by its check)
            self._url, msgspec.json.encode(document), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                return True
        except (urllib.error.URLError, OSError) as problem:
            logger().error("alarm.not_delivered", problem=str(problem))
            return False
