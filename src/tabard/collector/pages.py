"""What the door answers besides calls: health, metrics, the documents that clients load first, the browser client."""

import asyncio
from collections.abc import Callable
from typing import Final

from tabard.collector.addresses import Addresses
from tabard.collector.batcher import Batcher
from tabard.collector.browser import BrowserFiles
from tabard.collector.cors import readable_by
from tabard.collector.counts import Counts
from tabard.collector.ready import ReadyQuestion
from tabard.collector.request import Reply, Request
from tabard.collector.respond import Responder
from tabard.collector.routes import COUNTERS, HEALTH, METRICS, READY, SOURCE_CONFIG, settings_key
from tabard.collector.scripts import Scripts
from tabard.collector.settings_document import settings_document, source_config
from tabard.collector.write_key import Sources
from tabard.telemetry.logging import logger
from tabard.telemetry.metrics import exposition

GET: Final = (b"GET", b"HEAD")
POST: Final = (b"POST",)

_FOR_A_WHILE: Final = ((b"cache-control", b"public, max-age=300"),)
"""As long as the script, but never stale: a collector that has moved must not be called by its old name for a day."""

_ASKED_ANEW: Final = ((b"cache-control", b"private, no-cache"),)
"""Its key stands in a header, so one address has many answers."""


class Pages:
    """Answers everything that is no call; a path nobody knows is 404."""

    def __init__(
        self,
        *,
        sources: Sources,
        scripts: Scripts,
        addresses: Addresses,
        respond: Responder,
        batcher: Batcher,
        counts: Counts,
    ) -> None:
        self._sources = sources
        self._addresses = addresses
        self._respond = respond
        self._batcher = batcher
        self._counts = counts
        self._browser = BrowserFiles(sources, scripts, addresses, respond)
        self._pages: dict[bytes, tuple[tuple[bytes, ...], Callable[[Request, Reply], None]]] = {
            HEALTH: (GET, self._health),
            READY: (GET, self._ready),
            METRICS: (GET, self._metrics),
            SOURCE_CONFIG: (GET, self._source_config),
            COUNTERS: (POST, self._counters),
        }

    def serve(self, request: Request, reply: Reply) -> None:
        """Answers a request through `reply`. Raises `Refused`."""
        path = request.path
        methods, page = self._pages.get(path, (GET, self._settings if settings_key(path) is not None else None))
        if page is None:
            reply(self._browser.answer(request) or self._respond.not_found(path))
        elif request.method in methods:
            page(request, reply)
        else:
            reply(self._respond.method_not_allowed((*methods, b"OPTIONS")))

    def _health(self, _request: Request, reply: Reply) -> None:
        reply(self._respond.json(200, b'{"status":"ok"}'))

    def _ready(self, _request: Request, reply: Reply) -> None:
        self._batcher.submit(ReadyQuestion(self._respond, reply))

    def _counters(self, _request: Request, reply: Reply) -> None:
        reply(self._respond.success())

    def _settings(self, request: Request, reply: Reply) -> None:
        entry = self._sources.by_key(settings_key(request.path) or "")
        document = settings_document(self._addresses.base_url(request), entry.write_key)
        reply(self._respond.json(200, document, readable_by(request, entry.source), _FOR_A_WHILE))

    def _source_config(self, request: Request, reply: Reply) -> None:
        entry = self._sources.by_header(request) or self._sources.by_content(request)
        document = source_config(entry.source, entry.write_key)
        reply(self._respond.json(200, document, readable_by(request, entry.source), _ASKED_ANEW))

    def _metrics(self, request: Request, reply: Reply) -> None:
        if not self._addresses.reads_metrics(request):
            reply(self._respond.metrics_closed())
            return
        self._counts.flush()

        def answer(page: asyncio.Future[bytes]) -> None:
            problem = page.exception()
            if problem is not None:
                logger().error("collector.metrics.failed", problem=str(problem))
                reply(self._respond.failed())
                return
            reply(self._respond.metrics(page.result()))

        asyncio.get_running_loop().run_in_executor(None, exposition).add_done_callback(answer)
