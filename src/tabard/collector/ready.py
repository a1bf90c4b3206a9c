"""`/ready`: can a commit be made now? Asked of the disk itself, through the queue that calls wait in."""

from collections.abc import Sequence

from tabard.collector.rejections import KeptRejection
from tabard.collector.request import Reply
from tabard.collector.respond import Responder
from tabard.log.interface import LogUnavailable


class ReadyQuestion:
    """A submission without values: the batcher makes a commit for it, or shares one."""

    __slots__ = ("_reply", "_respond", "rejections", "values")

    def __init__(self, respond: Responder, reply: Reply) -> None:
        self._respond = respond
        self._reply = reply
        self.values: list[bytes] = []
        self.rejections: Sequence[KeptRejection] = ()

    def settle(self, _first_offset: int, problem: LogUnavailable | None, _rejections_kept: bool) -> None:
        """Answers 200 or 503; see `Submission.settle`."""
        if problem is None:
            self._reply(self._respond.json(200, b'{"status":"ready"}'))
        else:
            self._reply(self._respond.log_unavailable(problem))
