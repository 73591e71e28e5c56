"""A folder in which an operator works, and commands run in it: in this process, on real files and a real database."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import structlog

from aldaba.cli.run import run_command
from aldaba.cli.terminal import Terminal
from aldaba.crypto.master_key import create_master_key

SETTINGS = """\
[database]
url = "{url}"

[keys]
master_key_file = "master.key"

[services.fleet]
[services.mobility]
"""


class Answer(NamedTuple):
    """What a command ended with."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Office:
    """Where commands run, and the variables they see."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> Answer:
        """Run `aldaba` with these words."""
        stdout, stderr = io.StringIO(), io.StringIO()
        seen = {"PATH": os.defpath, **self.environ, **(environ or {})}
        try:
            status = run_command(Terminal(io.BytesIO(stdin), stdout, stderr, seen, self.folder), words)
        finally:
            # Commands send the log to their own standard error.
            structlog.reset_defaults()
        return Answer(int(status), stdout.getvalue(), stderr.getvalue())

    def do(self, *words: str, stdin: bytes = b"") -> str:
        """Run a command that must succeed; return its standard output."""
        answer = self.run(*words, stdin=stdin)
        assert (0, words) == (answer.status, words), answer.stderr
        return answer.stdout


def open_office(folder: Path, url: str) -> Office:
    """Set up an installation with an empty registry in a folder, over a database that has the schema."""
    (folder / "aldaba.toml").write_text(SETTINGS.format(url=url))
    for file in folder.glob("aldaba.db"):
        # As the command itself makes it.
        file.chmod(0o600)
    create_master_key(folder / "master.key")
    office = Office(folder)
    # Makes the signing keys.
    office.do("init")
    return office
