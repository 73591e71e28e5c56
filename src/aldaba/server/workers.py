"""Several serving processes behind the same sockets: starts them, starts again those that end, and stops them all."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog

from aldaba.config import Config
from aldaba.server.listeners import Bound

log = structlog.get_logger()

Serve = Callable[[Config, Bound], None]

# A process that ends at once is not started again more often than this.
PAUSE_S = 1.0


def supervise(serve: Serve, config: Config, bound: Bound) -> None:
    """Run `config.server.workers` processes of `serve(config, bound)` until SIGTERM, SIGINT or SIGHUP.

    The sockets are bound here once and shared, so that the kernel spreads connections and none is lost while a process
    is started again.
    """
    _Supervisor(serve, config, bound).run()


class _Supervisor:
    def __init__(self, serve: Serve, config: Config, bound: Bound) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._serve = serve
        self._config = config
        self._bound = bound
        self._processes: list[BaseProcess] = []
        self._stop = threading.Event()

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        self._processes = [self._start() for _ in range(self._config.server.workers)]
        while not self._stop.wait(0.2):
            self._replace_ended()
        self._stop_all()

    def _start(self) -> BaseProcess:
        process = self._context.Process(target=self._serve, args=(self._config, self._bound))
        process.start()
        return process

    def _replace_ended(self) -> None:
        for index, process in enumerate(self._processes):
            if not process.is_alive():
                log.error("a serving process ended and is started again", code=process.exitcode)
                time.sleep(PAUSE_S)
                self._processes[index] = self._start()

    def _stop_all(self) -> None:
        for process in self._processes:
            if process.is_alive():
                process.terminate()
        # Each process keeps the grace itself; a moment more, for the ledger's last flush.
        deadline = time.monotonic() + self._config.server.grace.total_seconds() + 5
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.error("a serving process did not stop in time and is killed", process=process.pid)
                process.kill()
                process.join()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()
