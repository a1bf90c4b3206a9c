"""Calls to a collector over HTTP, for `send`, `import`, `doctor` and `health`."""

import base64
import ssl
import time
import urllib.error
import urllib.request
from typing import Any, Final

import msgspec

TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 8
_PAUSE_MAX_S: Final = 30.0


class Unreachable(Exception):
    """No answer from the collector; the text names the URL and the cause."""


class Answer(msgspec.Struct, frozen=True):
    """An answer: its status, its JSON document ({} where it has none), its `X-Tabard-Position`."""

    status: int
    document: dict[str, Any]
    position: str
    retry_after_s: float = 1.0


class CollectorClient:
    """Speaks to one collector with one write key."""

    def __init__(self, url: str, write_key: str, *, is_own: bool = True, timeout_s: float = TIMEOUT_S) -> None:
        """`is_own`: the URL is `running.local_url`, for which a certificate for the public name holds no word.

        Raises `Unreachable` for what is no http(s) URL.
        """
        if not url.startswith(("http://", "https://")):
            raise Unreachable(f"{url!r} is no URL of a collector; it begins with http:// or https://")
        self._url = url.rstrip("/")
        self._authorization = "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()
        self._timeout_s = timeout_s
        self._context = ssl.create_default_context()
        if is_own:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def post(self, path: str, body: bytes) -> Answer:
        """One POST. Raises `Unreachable`."""
        headers = {"authorization": self._authorization, "content-type": "application/json"}
        return self._ask(urllib.request.Request(self._url + path, body, headers))  # noqa: S310 (checked above)

    def get(self, path: str) -> Answer:
        """One GET. Raises `Unreachable`."""
        return self._ask(urllib.request.Request(self._url + path))  # noqa: S310 (checked above)

    def post_patiently(self, path: str, body: bytes) -> Answer:
        """As `post`, trying again after 429, 503 and broken connections. Raises `Unreachable` in the end."""
        pause_s = 0.5
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self.post(path, body)
                if answer.status not in (429, 503) or attempt == _ATTEMPTS:
                    return answer
                pause_s = max(pause_s, answer.retry_after_s)
            except Unreachable:
                if attempt == _ATTEMPTS:
                    raise
            time.sleep(min(pause_s, _PAUSE_MAX_S))
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._context) as reply:  # noqa: S310 (checked)
                return _answer(reply.status, reply.read(), dict(reply.headers))
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _answer(refusal.code, refusal.read(), dict(refusal.headers))
        except (OSError, ValueError) as problem:
            raise Unreachable(f"no answer from {self._url}: {problem}") from problem


def _answer(status: int, body: bytes, headers: dict[str, str]) -> Answer:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = {}
    retry_after = lower.get("retry-after", "")
    return Answer(
        status=status,
        document=document if isinstance(document, dict) else {},
        position=lower.get("x-tabard-position", ""),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else 1.0,
    )
