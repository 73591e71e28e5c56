"""Processes of their own that serve or administer an installation, for what one process cannot show.

They come from a fork server that has imported everything already, since the imports take longer than most tests.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import BinaryIO

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.installation"])


@contextmanager
def running(work: Callable[..., None], *args: object) -> Iterator[tuple[BaseProcess, BinaryIO]]:
    """Run `work(pipe, *args)` in a process; give the process, and what it writes to the pipe. It is killed at the end.

    What was written before it died can still be read.
    """
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
