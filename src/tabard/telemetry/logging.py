"""Structured logs: JSON lines or readable text on standard error; event names are dotted
(`resolver.batch.committed`).
"""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

AGAIN_S: Final = 60.0
"""A problem that is told again and again, a full disk say, is written once in so long."""

_REMEMBERED_MAX: Final = 1_000


def configure(*, as_json: bool, level: str = "INFO", role: str = "") -> None:
    """Sets up structlog for this process; every line carries time, level, role and event."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            NotAgain(time.monotonic),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)


class NotAgain:
    """Drops a line with the `problem` that it told within the last minute; the next one says how many (`repeated`)."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._written: dict[str, tuple[float, int]] = {}

    def __call__(self, _: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The line, or `structlog.DropEvent`."""
        if "problem" not in line:
            return line
        key, now_s = repr(sorted(line.items())), self._now_s()
        until_s, repeated = self._written.get(key, (0.0, 0))
        if now_s < until_s:
            self._written[key] = (until_s, repeated + 1)
            raise structlog.DropEvent
        if len(self._written) >= _REMEMBERED_MAX:
            self._written.clear()
        self._written[key] = (now_s + AGAIN_S, 0)
        return {**line, "repeated": repeated} if repeated else line


class _StandardError:
    """Standard error, whose reader may go and whose disk may be full: a line is lost then, and the role goes on."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


class _FromLibraries(logging.Handler):
    """What a library logs by the standard way becomes a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logger().log(
            record.levelno, "library.said", library=record.name, text=record.getMessage(), exc_info=record.exc_info
        )


def logger() -> Any:
    """The structured logger: `logger().info("resolver.batch.committed", messages=64)`. Never pass a secret or a
    payload.
    """
    return structlog.get_logger()
