"""Log lines of commands: warnings and errors only, on standard error, so that they never mix with a result."""

import logging
from typing import TextIO

import structlog


def log_to(stream: TextIO) -> None:
    """Send what the use cases log to a stream."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
