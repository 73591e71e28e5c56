"""Runs the `aldaba` command, and counts where its time goes when `BENCH_PROFILE` names a file for that.

The loop is counted from SIGUSR1 on, so that the start is left out; the ledger's thread from its first moment, by its
own processor time, since most of its life it waits.
"""

import cProfile
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from aldaba.cli import main

PROFILE = "BENCH_PROFILE"
LEDGER = "ledger"


def profiled(file: Path) -> None:
    """Run the command under a profiler; the counts are written to `file`, those of the ledger beside it."""
    run, loop = threading.Thread.run, cProfile.Profile()

    def counted_run(self: threading.Thread) -> None:
        if self.name != LEDGER:
            run(self)
            return
        thread = cProfile.Profile(time.thread_time)
        thread.runcall(run, self)
        thread.dump_stats(file.with_suffix(f".{LEDGER}"))

    def begin(_number: int, _frame: FrameType | None) -> None:
        loop.enable()

    threading.Thread.run = counted_run  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, begin)
    try:
        main()
    finally:
        loop.disable()
        loop.dump_stats(file)


if __name__ == "__main__":
    if PROFILE in os.environ:
        profiled(Path(os.environ[PROFILE]))
    else:
        main()
