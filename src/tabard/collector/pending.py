"""A request that waits for its commit, and the answer it gets: the one place where strict and permissive part."""

from collections.abc import Sequence
from typing import Final

from tabard.collector.counts import Counts
from tabard.collector.rejections import KeptRejection
from tabard.collector.request import Answer, Reply
from tabard.collector.respond import Responder
from tabard.log.interface import LogUnavailable
from tabard.message.rejection import Rejection

_KEEP_RETRY_S: Final = 5


class Pending:
    """The calls of one request on their way to the disk.

    Strict: at least one item kept is 200, none is 400. `permissive`: 200 all the same, once the rejections are on
    disk, as Customer.io answers by default (wire.md §1.6).
    """

    __slots__ = (
        "counts", "in_batch", "origin", "permissive", "refused", "rejections", "reply", "respond", "source", "types",
        "values",
    )  # fmt: skip

    def __init__(self, respond: Responder, counts: Counts, reply: Reply, source: str) -> None:
        self.respond = respond
        self.counts = counts
        self.reply = reply
        self.source = source
        self.values: list[bytes] = []
        self.types: list[str] = []
        self.rejections: Sequence[KeptRejection] = ()
        self.refused: Sequence[Rejection] = ()
        self.origin: bytes | None = None
        self.permissive = False
        self.in_batch = False

    def settle(self, first_offset: int, problem: LogUnavailable | None, rejections_kept: bool) -> None:
        """Answers and counts; see `Submission.settle`."""
        if problem is not None and self.values:
            self.counts.unavailable(problem.code)
            self.reply(self.respond.log_unavailable(problem, self.origin))
            return
        if self.permissive and not rejections_kept:
            self.counts.unavailable("rejections_failed")
            self.reply(
                self.respond.unavailable(
                    "rejections_failed", "what was refused could not be kept: send it again", _KEEP_RETRY_S, self.origin
                )
            )
            return
        self.counts.accepted(self.source, self.types)
        for rejection in self.refused:
            self.counts.rejected(self.source, rejection.reason)
        self.reply(self._answer(first_offset + len(self.values) - 1))

    def _answer(self, last_offset: int) -> Answer:
        if not self.refused:
            return self.respond.accepted(last_offset, self.origin)
        if not self.values and not self.permissive:
            return self.respond.refused(self.refused, self.origin)
        if not self.in_batch:
            return self.respond.success(self.origin)
        return self.respond.partly_accepted(
            len(self.values), self.refused, last_offset if self.values else None, self.origin
        )
