"""What a process says of itself on its standard error: one event, one line, in JSON or for people."""

import logging
import sys
from contextlib import suppress
from io import TextIOBase
from typing import TextIO, cast

import structlog


class _StandardError(TextIOBase):
    """Standard error, as it is at each message. What it does not take is lost: nobody's answer may depend on it."""

    def write(self, text: str) -> int:
        """Write, if that can be done: the disk may be full, or whoever read it gone (threats K2)."""
        with suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, if that can be done."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def set_up_logs(form: str, level: str) -> None:
    """Send structlog's and the libraries' messages to standard error.

    Args:
        form: `json` or `console`.
        level: the least level that is written.
    """
    least = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        # The library's own way shows the local variables of a traceback, and these may be secrets.
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(least, logging.WARNING), stream=sys.stderr, format="%(message)s", force=True)
