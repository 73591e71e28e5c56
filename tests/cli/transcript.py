"""Transcripts: what an operator types and what comes back, as text files.

    # A comment.
    $ aldaba credential add acme > key.txt
    2> the API key of client 'acme', credential <id:first>: it is shown once and kept nowhere

    $ aldaba credential revoke <first>
    credential <first> of client 'acme' is revoked, with its tokens

A line after `2>` came on standard error, `? 3` is the exit status where it is not 0. `<id>` stands for any id, and
`<id:first>` for one that is called <first> from there on. `< file` and `> file` are as in a shell, and so are variables
before the command; `rm file` removes one. Runs of spaces are one space, since what stands for an id is shorter than it.
Files stand at the end, each after a line `-- its name --`.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.office import Answer, Office

PATTERNS = {
    "id": "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
    "instant": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?Z",
    "key": "aldk_[0-9A-Za-z]{49}",
    "hint": "aldk_…[0-9A-Za-z]{4}",
    "token": r"[\w-]+\.[\w-]+\.[\w-]+",
    "handle": "[0-9a-f]{64}",
    "pin": "[0-9a-f]{16}",
    "operator": r"[\w-]+@[\w.-]+",
    "number": "[0-9]+",
    "seconds": "[0-9]{10}",
    "folder": r"/\S+?",
    "any": ".*",
}
_PLACEHOLDER = re.compile(r"<(?:(?P<kind>[a-z]+):)?(?P<name>[a-z]+)>")


@dataclass
class Step:
    """One command and what is expected of it."""

    command: str
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    status: int = 0


@dataclass
class Transcript:
    """A transcript as it is written."""

    steps: list[Step]
    files: dict[str, str]


def parse(text: str) -> Transcript:
    """Read a transcript."""
    body, *files = re.split(r"^-- (.+) --\n", text, flags=re.MULTILINE)
    steps: list[Step] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        elif line.startswith("#"):
            continue
        elif line.startswith("2> "):
            steps[-1].stderr.append(line[3:])
        elif line.startswith("? "):
            steps[-1].status = int(line[2:])
        elif steps:
            steps[-1].stdout.append(line)
    for step in steps:
        while step.stdout and not step.stdout[-1]:
            step.stdout.pop()
    return Transcript(steps, dict(zip(files[::2], files[1::2], strict=True)))


class Player:
    """Plays a transcript in an operator's folder."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.names: dict[str, str] = {}

    def play(self, step: Step) -> Step:
        """Run a step; return what came back, in the words that were expected where these fit."""
        answer = self.run(step.command)
        return Step(
            step.command,
            list(self._worded(step.stdout, answer.stdout)),
            list(self._worded(step.stderr, answer.stderr)),
            answer.status,
        )

    def run(self, command: str) -> Answer:
        """Run a command as a shell would."""
        for name, text in self.names.items():
            command = command.replace(f"<{name}>", text)
        words = shlex.split(command)
        environ = {}
        while "=" in words[0]:
            name, _, text = words.pop(0).partition("=")
            environ[name] = text
        stdin, target = b"", None
        if "<" in words:
            stdin = self._file(words, "<").read_bytes()
        if ">" in words:
            target = self._file(words, ">")
        if words[0] == "rm":
            (self._office.folder / words[1]).unlink()
            return Answer(0, "", "")
        assert "aldaba" == words[0], command
        answer = self._office.run(*words[1:], stdin=stdin, environ=environ)
        if target is None:
            return answer
        target.write_text(answer.stdout)
        return answer._replace(stdout="")

    def _file(self, words: list[str], sign: str) -> Path:
        at = words.index(sign)
        _, name = words[at], words[at + 1]
        del words[at : at + 2]
        return self._office.folder / name

    def _worded(self, expected: list[str], text: str) -> Iterator[str]:
        lines = text.splitlines()
        for number, line in enumerate(lines):
            fits = number < len(expected) and self._fits(expected[number], line)
            yield expected[number] if fits else line

    def _fits(self, expected: str, line: str) -> bool:
        found = re.fullmatch(self._pattern(expected), _spaced(line))
        if found:
            self.names |= found.groupdict()
        return found is not None

    def _pattern(self, expected: str) -> str:
        expected, end, pattern = _spaced(expected), 0, ""
        for found in _PLACEHOLDER.finditer(expected):
            kind, name = found["kind"], found["name"]
            pattern += re.escape(expected[end : found.start()])
            end = found.end()
            if kind:
                pattern += f"(?P<{name}>{PATTERNS[kind]})"
            elif name in self.names:
                pattern += re.escape(self.names[name])
            elif name in PATTERNS:
                pattern += PATTERNS[name]
            else:
                pattern += re.escape(found[0])
        return pattern + re.escape(expected[end:])


def _spaced(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    return " " * indent + re.sub(" +", " ", line.strip())
