"""What a process says of itself on its standard error: one event, one line, in JSON or for people."""

import logging
import sys

import structlog


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(least, logging.WARNING), stream=sys.stderr, format="%(message)s", force=True)
