"""The door: one request in, one answer out, after the log has what the request said.

`Door.receive` is called by the protocol (protocol.py) with a whole request and answers through a callback, now or when
the commit is done: at this rate a task and a future for each request would cost more than the rest of the way.
"""

from typing import Final

from tabard.clock import Clock
from tabard.collector.accept import Sender, accept, first_item_key, open_batch, open_call
from tabard.collector.addresses import Addresses
from tabard.collector.batcher import Batcher
from tabard.collector.body import unpack
from tabard.collector.cors import preflight_headers, readable_by
from tabard.collector.counts import Counts
from tabard.collector.pages import GET, POST, Pages
from tabard.collector.pending import Pending
from tabard.collector.pixel import pixel_body
from tabard.collector.rate import Rates, TooManyRequests
from tabard.collector.rejections import KeptRejection, RejectionStore
from tabard.collector.request import Answer, Reply, Request
from tabard.collector.respond import Responder
from tabard.collector.routes import CALLS, PIXELS, Call
from tabard.collector.scripts import Scripts
from tabard.collector.write_key import Entry, SecondLook, SourceReader, Sources
from tabard.log.interface import LogUnavailable, LogWriter
from tabard.message.limits import Limits
from tabard.message.parse import Refused, stated_key
from tabard.message.rejection import Reason, Rejection
from tabard.message.types import Trust
from tabard.settings import Settings
from tabard.telemetry.logging import logger

_MODES: Final = {b"0": True, b"1": False}
_PATH_BYTES_MAX: Final = 512
_USER_AGENT_BYTES_MAX: Final = 512
_NO_CONTROL: Final = ~int(Trust.CONTROL)
_CLIENT: Final = int(Trust.CLIENT)


class Door:
    """The collector without its sockets. Everything runs on one event loop; the log is written by one thread."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        log: LogWriter,
        workspace: SourceReader,
        rejections: RejectionStore,
        scripts: Scripts | None = None,
    ) -> None:
        """`scripts`: the immutable scripts that are served; this release's unless given."""
        self.settings = settings
        self.sources = Sources(workspace)
        self._second_look = SecondLook(self.sources)
        self.counts = Counts()
        self.respond = Responder(log.partition)
        self.batcher = Batcher(log, rejections)
        self.partition = str(log.partition)
        self.bound_url = ""
        self._clock = clock
        self._rates = Rates(clock)
        self.addresses = Addresses(settings, lambda: self.bound_url)
        self._limits = Limits(
            message_bytes_max=settings.message_bytes_max,
            batch_bytes_max=settings.batch_bytes_max,
            batch_items_max=settings.batch_items_max,
            json_depth_max=settings.json_depth_max,
        )
        self._pages = Pages(
            sources=self.sources,
            scripts=scripts or Scripts(),
            addresses=self.addresses,
            respond=self.respond,
            batcher=self.batcher,
            counts=self.counts,
        )

    def receive(self, request: Request, reply: Reply) -> None:
        """Answers a request through `reply`, exactly once. Never raises."""
        try:
            call = CALLS.get(request.url) if request.method == b"POST" else None
            if call is not None:
                self._take(request, call, reply)
            else:
                self._elsewhere(request, reply)
        except LogUnavailable as problem:
            self.counts.unavailable(problem.code)
            reply(self.respond.log_unavailable(problem))
        except Exception:  # noqa: BLE001 - the client gets the one error shape whatever happens here
            logger().exception("collector.request.failed", path=request.path.decode("utf-8", "replace"))
            reply(self.respond.failed())

    def _take(self, request: Request, call: Call, reply: Reply) -> None:
        """The way of every call: whose is it, what does it say, is it sound, keep it, answer."""
        entry: Entry | None = None
        body = request.body
        try:
            entry = self.sources.by_header(request)
            body = unpack(request, self._limits)
            parcel = open_batch(body, self._limits) if call.type is None else open_call(body, self._limits)
            if entry is None:
                entry = self.sources.by_content(request, *parcel.stated_keys, first_item_key(parcel, self._limits))
            origin = readable_by(request, entry.source)
            self._rates.take(entry.source, len(parcel.items))
            accepted = accept(parcel, self._sender(request, call, entry), self._limits, self._clock.new_id)
        except Refused as refusal:
            self._refuse(request, call, entry, refusal, body, reply)
            return
        if not parcel.items:
            reply(self.respond.success(origin))
            return
        pending = Pending(self.respond, self.counts, reply, entry.source.id)
        pending.values, pending.types, pending.origin = accepted.values, accepted.types, origin
        if accepted.refused:
            pending.in_batch = call.type is None
            pending.permissive = _is_permissive(request, call, entry)
            pending.refused = [item.rejection for item in accepted.refused]
            pending.rejections = [self._kept(request, entry, item.rejection, item.raw) for item in accepted.refused]
        self.batcher.submit(pending)

    def _sender(self, request: Request, call: Call, entry: Entry) -> Sender:
        trust = entry.trust
        if b"origin" in request.headers:
            trust = trust & _NO_CONTROL | _CLIENT
        if call.client:
            trust |= _CLIENT
        if call.pixel:
            trust &= _NO_CONTROL
        user_agent = request.headers.get(b"user-agent")
        return Sender(
            source=entry.source.id,
            trust=trust,
            received_at=self._clock.now_ms(),
            ip=self.addresses.client(request),
            user_agent=user_agent[:_USER_AGENT_BYTES_MAX].decode("latin-1") if user_agent else None,
            call_type=call.type,
        )

    def _refuse(
        self, request: Request, call: Call, entry: Entry | None, refusal: Refused, body: bytes, reply: Reply
    ) -> None:
        """Answers a request that was refused as a whole, after the refusal is kept where its source is known."""
        if self._looks_again(request, refusal, reply):
            return
        rejection = refusal.rejection
        is_of_call = self.respond.status_of(rejection.reason) == self.respond.REFUSED
        if entry is None and is_of_call:
            entry = self._entry_of_refused(request, body)
        # Who has no valid key, or sends too much, could fill the disk with what is refused: that is counted, not kept.
        if entry is None or not is_of_call:
            self.counts.rejected(entry.source.id if entry else None, rejection.reason)
            retry_after_s = refusal.retry_after_s if isinstance(refusal, TooManyRequests) else None
            reply(self.respond.refused([rejection], None, retry_after_s))
            return
        pending = Pending(self.respond, self.counts, reply, entry.source.id)
        pending.refused = [rejection]
        pending.rejections = [self._kept(request, entry, rejection, body)]
        pending.permissive = _is_permissive(request, call, entry)
        self.batcher.submit(pending)

    def _looks_again(self, request: Request, refusal: Refused, reply: Reply) -> bool:
        """Whether the request is taken from the start again, once, because its key may be newer than what we read."""
        reason = refusal.rejection.reason
        # A Bearer token that opens nothing may be a key too.
        names_key = reason is Reason.UNKNOWN_SOURCE or (
            reason is Reason.NO_WRITE_KEY and b"authorization" in request.headers
        )
        if request.looked_again or not names_key:
            return False
        request.looked_again = True
        self._second_look.then(lambda: self.receive(request, reply))
        return True

    def _entry_of_refused(self, request: Request, body: bytes) -> Entry | None:
        try:
            return self.sources.by_content(request, stated_key(body))
        except Refused:
            return None

    def _kept(self, request: Request, entry: Entry, rejection: Rejection, raw: bytes) -> KeptRejection:
        return KeptRejection(
            at=self._clock.now_ms(),
            source=entry.source.id,
            reason=rejection.reason.value,
            message=rejection.message,
            field=rejection.field,
            item=rejection.index,
            path=request.path[:_PATH_BYTES_MAX].decode("utf-8", "replace"),
            raw=raw[: self.settings.rejection_bytes_max],
            raw_bytes=len(raw),
        )

    def _elsewhere(self, request: Request, reply: Reply) -> None:
        """Every request that is not a POST of calls to a path written the usual way."""
        path = request.path
        if request.method == b"OPTIONS":
            reply(self.respond.preflight(preflight_headers(request)))
        elif (call := CALLS.get(path)) is not None:
            if request.method == b"POST":
                self._take(request, call, reply)
            else:
                reply(self.respond.method_not_allowed((*POST, b"OPTIONS")))
        elif (pixel := PIXELS.get(path)) is not None:
            if request.method in GET:
                self._pixel(request, pixel, reply)
            else:
                reply(self.respond.method_not_allowed((*GET, b"OPTIONS")))
        else:
            try:
                self._pages.serve(request, reply)
            except Refused as refusal:
                if not self._looks_again(request, refusal, reply):
                    reply(self.respond.refused([refusal.rejection]))

    def _pixel(self, request: Request, call: Call, reply: Reply) -> None:
        def reply_with_image(answer: Answer) -> None:
            reply(self.respond.pixel(answer.status))

        if request.method == b"HEAD":
            reply(self.respond.pixel(200))
            return
        try:
            request.body = pixel_body(request, self._limits)
        except Refused as refusal:
            self._refuse(request, call, None, refusal, request.url, reply_with_image)
        else:
            self._take(request, call, reply_with_image)


def _is_permissive(request: Request, call: Call, entry: Entry) -> bool:
    """Whether a refusal is answered with 200: what the request asks for, else what the source is set to."""
    if call.pixel:
        return True
    asked = request.header(b"x-strict-mode")
    if asked is not None and asked.strip() in _MODES:
        return _MODES[asked.strip()]
    return entry.source.permissive
