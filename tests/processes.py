"""Processes of their own that serve or administer an installation, for what one process cannot show.

They come from a fork server that has imported everything already, since the imports take longer than most tests.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import BinaryIO

_ROOT = Path(__file__).parents[1]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.installation"])


@contextmanager
def running(work: Callable[..., None], *args: object) -> Iterator[tuple[BaseProcess, BinaryIO]]:
    """Run `work(pipe, *args)` in a process; give the process, and what it writes to the pipe. It is killed at the end.

    What was written before it died can still be read.
    """
    _start_fork_server()
    reader, writer = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=work, args=(writer, *args))
    process.start()
    writer.close()
    try:
        with os.fdopen(os.dup(reader.fileno()), "rb") as lines:
            reader.close()
            yield process, lines
    finally:
        process.kill()
        process.join()
        process.close()


def _start_fork_server() -> None:
    # Before Python 3.13 it does not know where we import from, and what it cannot import it leaves out silently.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
