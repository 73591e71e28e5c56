"""Runs one command line: finds the command, gives it its context, and turns what it raises into text and status."""

import inspect
from collections.abc import Sequence

from aldaba.cli.commands import Invocation, read
from aldaba.cli.failures import Status, Told, tell
from aldaba.cli.terminal import Terminal


def run_command(terminal: Terminal, words: Sequence[str]) -> int:
    """Run a command and return its exit status; only a fault of the program itself raises."""
    try:
        invocation = read(terminal, words)
        if invocation is not None:
            _call(terminal, invocation)
        terminal.stdout.flush()
    except BrokenPipeError:
        return Status.PIPE_CLOSED
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except Told:
        return Status.FAILED
    except Exception as error:
        told = tell(error)
        if told is None:
            raise
        status, text = told
        terminal.note(f"aldaba: {text}")
        return status
    return Status.DONE


def _call(terminal: Terminal, invocation: Invocation) -> None:
    result = invocation.call(terminal)
    if inspect.iscoroutine(result):
        # A third of the time that help takes.
        import asyncio  # noqa: PLC0415

        asyncio.run(result)
