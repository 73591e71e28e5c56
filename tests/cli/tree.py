"""The commands as their own help shows them."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cyclopts import App

from aldaba.cli.commands import command_line
from aldaba.cli.run import run_command
from aldaba.cli.terminal import Terminal


class Command(NamedTuple):
    """What the help of one command says."""

    name: str
    summary: str
    arguments: dict[str, str]
    options: dict[str, str]
    everywhere: dict[str, str]
    examples: list[str]


def command_names() -> list[str]:
    """Return every command that does something, as it is typed."""
    return sorted(_leaves(command_line(), ()))


def _leaves(app: App, path: tuple[str, ...]) -> Iterator[str]:
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield " ".join(path)
    for name in names:
        yield from _leaves(app[name], (*path, name))


def help_of(name: str) -> Command:
    """Return what the help of a command says."""
    stdout, stderr = io.StringIO(), io.StringIO()
    status = run_command(Terminal(io.BytesIO(), stdout, stderr, {}, Path()), [*name.split(), "--help"])
    assert (0, "") == (status, stderr.getvalue())
    text = stdout.getvalue()
    _usage, summary, *_ = text.split("\n\n")
    return Command(
        name,
        summary,
        _rows(text, "Arguments"),
        _rows(text, "Options"),
        _rows(text, "Everywhere"),
        [line.strip() for line in text.partition("\nExample:\n")[2].splitlines() if line.startswith("  aldaba ")],
    )


def _rows(text: str, heading: str) -> dict[str, str]:
    lines = text.partition(f"\n{heading}:\n")[2].split("\n\n")[0].splitlines()
    return dict(re.split(" {2,}", line.strip(), maxsplit=1) for line in lines if line)
