"""The browser client over HTTP: its script with the key of a source in it, its immutable file, its cookie call."""

import msgspec

from tabard.collector.addresses import Addresses
from tabard.collector.browser_assets import Encoding, Served, encoding_for, script_for
from tabard.collector.browser_assets.identity_cookies import renewed_cookies
from tabard.collector.request import Answer, Request
from tabard.collector.respond import Responder
from tabard.collector.scripts import Scripts
from tabard.collector.write_key import Sources

_GET = (b"GET", b"HEAD")


class BrowserFiles:
    """Answers the paths of the browser client."""

    def __init__(self, sources: Sources, scripts: Scripts, addresses: Addresses, respond: Responder) -> None:
        self._sources = sources
        self._scripts = scripts
        self._addresses = addresses
        self._respond = respond

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request for one of these paths, None for every other. Raises `Refused` for a bad key."""
        parts = request.path.decode("utf-8", "replace").split("/")[1:]
        match parts:
            case ["v1", "id"]:
                return self._renew_cookies(request)
            case ["v1", "analytics-js", "snippet", key, "analytics.min.js"] | [
                "analytics.js", "v1", key, "analytics.min.js",
            ]:  # fmt: skip
                return self._script(request, key)
            case ["v1", "js", version, file]:
                found = self._scripts.find(version, file.removesuffix(".js"), _encoding(request))
                return self._file(request, found) if found else None
            case _:
                return None

    def _script(self, request: Request, write_key: str) -> Answer:
        entry = self._sources.by_key(write_key)
        settings = msgspec.json.encode(entry.source.browser_options)
        return self._file(request, script_for(entry.write_key, settings, _encoding(request)))

    def _file(self, request: Request, served: Served) -> Answer:
        if request.method not in _GET:
            return self._respond.method_not_allowed((*_GET, b"OPTIONS"))
        headers = tuple((name.lower().encode(), value.encode()) for name, value in served.headers)
        if served.etag.encode() in (request.header(b"if-none-match") or b""):
            return self._respond.file(304, b"", headers)
        return self._respond.file(200, served.body, headers)

    def _renew_cookies(self, request: Request) -> Answer:
        if request.method != b"POST":
            return self._respond.method_not_allowed((b"POST", b"OPTIONS"))
        base = self._addresses.base_url(request)
        host = (request.header(b"host") or b"").decode("latin-1")
        cookies = renewed_cookies(
            (request.header(b"cookie") or b"").decode("latin-1"),
            domain=request.body.decode("utf-8", "replace").strip(),
            host=_without_port(host),
            secure=base.startswith("https:"),
        )
        return self._respond.cookies(cookies, request.header(b"origin"))


def _encoding(request: Request) -> Encoding | None:
    return encoding_for((request.header(b"accept-encoding") or b"").decode("latin-1"))


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and ":" in host else host
