"""Structured logs: JSON lines or readable text on standard error; event names are dotted
(`resolver.batch.committed`).
"""

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

import structlog


def configure(*, as_json: bool, level: str = "INFO", role: str = "") -> None:
    """Sets up structlog for this process; every line carries time, level, role and event."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)


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
