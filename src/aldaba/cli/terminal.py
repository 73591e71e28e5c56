"""What a command reads and writes: the three streams, the environment, the working folder; all handed in."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import BinaryIO, TextIO

from rich.console import Console

# Wide enough for every table: what is piped into another program is not folded.
_UNBOUNDED = 10_000


@dataclass(frozen=True)
class Terminal:
    """Where a command runs."""

    stdin: BinaryIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]
    folder: Path

    @classmethod
    def of_this_process(cls) -> "Terminal":
        """Return the terminal of this process."""
        for stream in (sys.stdout, sys.stderr):
            # A terminal that knows no check mark shows its code instead of stopping the command.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        # Python has no stream where the process was started without one.
        stdin = sys.stdin.buffer if sys.stdin else io.BytesIO()
        return cls(stdin, sys.stdout or io.StringIO(), sys.stderr or io.StringIO(), os.environ, Path.cwd())

    def write(self, text: str) -> None:
        """Write a line of the result to standard output."""
        self.stdout.write(f"{text}\n")

    def note(self, text: str) -> None:
        """Write a line to standard error: for the person at the terminal, no part of the result."""
        self.stderr.write(f"{text}\n")

    def console(self, file: TextIO | None = None) -> Console:
        """Return what lays text out in the width of standard output, in colour where that is a terminal.

        Args:
            file: where to write; standard output when not given.
        """
        on_terminal = self.stdout.isatty()
        return Console(
            file=file or self.stdout,
            force_terminal=on_terminal,
            width=None if on_terminal else _UNBOUNDED,
            highlight=False,
            _environ=self.environ,
        )

    def read(self) -> bytes:
        """Return all of standard input."""
        with _interruptible():
            return self.stdin.read()

    def ask_secret(self, prompt: str) -> str | None:
        """Ask for a secret without showing it; None where nobody sits at standard input."""
        if not self.stdin.isatty():
            return None
        with _interruptible():
            return getpass(prompt, stream=self.stderr)

    def close(self) -> None:
        """Write out what is still held back; whoever has stopped reading misses nothing."""
        try:
            self.stdout.flush()
        except BrokenPipeError:
            # The interpreter flushes once more at its end, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end what waits for input: an event loop only makes a note of it, and the read would go on."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
