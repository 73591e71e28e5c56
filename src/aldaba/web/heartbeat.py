"""What happens once a second in a serving process: deadlines are looked at, and the date of answers moves on.

One timer for all connections, instead of one or more for each request.
"""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from aldaba.web.protocol import HttpProtocol

log = structlog.get_logger()


class Heartbeat:
    """The timer of a process.

    Args:
        interval_s: between two beats.
        tasks: what else is to be done at each, such as looking for changed files; quick, and without waiting.
    """

    def __init__(self, interval_s: float, tasks: tuple[Callable[[], object], ...] = ()) -> None:
        self.connections: set[HttpProtocol] = set()
        self.date_line = _date_line()
        self._interval_s = interval_s
        self._tasks = tasks
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Beat on the running loop until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._interval_s, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._timer = self._loop.call_later(self._interval_s, self._beat)
        self.date_line = _date_line()
        now_s = self._loop.time()
        for connection in tuple(self.connections):
            _guarded(partial(connection.keep_deadline, now_s))
        for task in self._tasks:
            _guarded(task)


def _guarded(work: Callable[[], object]) -> None:
    """Do one thing; whatever is wrong with it must not keep the others from being done."""
    try:
        work()
    except Exception:
        log.exception("a task of the heartbeat failed")


def _date_line() -> bytes:
    return b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode("ascii")
