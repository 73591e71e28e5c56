"""Runs serving processes: one, or several behind the same sockets."""

import asyncio
import gc
import signal
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
import uvloop
from cryptography.utils import CryptographyDeprecationWarning

from aldaba.config import Config
from aldaba.logs import set_up_logs
from aldaba.server.build import open_core
from aldaba.server.listeners import Bound, Sockets, bind_all, listeners_of
from aldaba.server.workers import supervise
from aldaba.web.metrics import Metrics

__all__ = ["Bound", "serve", "serve_in_process"]

log = structlog.get_logger()

Ready = Callable[[Bound], None]


def serve(config: Config, *, ready: Ready | None = None) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; then answer what was accepted, flush the ledger, and return.

    Args:
        ready: called once the listeners of a single process listen.

    Raises:
        Impossible, Damaged, StoreUnavailable, MasterKeyError: with what to do.
    """
    bound = bind_all(config)
    try:
        if config.server.workers == 1:
            _serve_bound(config, bound, ready)
            return
        with TemporaryDirectory(prefix="aldaba-metrics-") as folder:
            supervise(partial(_serve_bound, metrics=Metrics(Path(folder))), config, bound)
    finally:
        bound.close()


def _serve_bound(config: Config, bound: Bound, ready: Ready | None = None, metrics: Metrics | None = None) -> None:
    # Strangers' certificates may be odd without being refused; they must not write to our standard error.
    warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning)
    uvloop.run(serve_in_process(config, bound, ready, metrics=metrics))


async def serve_in_process(
    config: Config,
    bound: Bound,
    ready: Ready | None = None,
    stop: asyncio.Event | None = None,
    *,
    metrics: Metrics | None = None,
) -> None:
    """Serve on bound sockets until told to stop.

    Args:
        stop: set to stop; without it, the signals do.
    """
    set_up_logs(config.log.format, config.log.level)
    async with open_core(config) as core:
        listeners = listeners_of(config, core, bound, metrics or Metrics())
        stop = stop or _stop_by_signal()
        # What is there now stays; looking through it again and again would take one part in thirty of the time.
        gc.freeze()
        await listeners.start()
        log.info("listening", **{name: _addresses(sockets) for name, sockets in bound._asdict().items() if sockets})
        if ready is not None:
            ready(bound)
        await stop.wait()
        # The ledger's last flush is part of closing the core, when the last answer is out.
        await listeners.stop(config.server.grace.total_seconds())


def _addresses(sockets: Sockets) -> list[str]:
    return [f"{host}:{port}" for host, port, *_ in (each.getsockname() for each in sockets)]


def _stop_by_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A terminal that is closed hangs up; files are followed without being told.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, partial(stop.set))
    return stop
