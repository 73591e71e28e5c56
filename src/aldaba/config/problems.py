"""What is wrong with a configuration: every mistake with its place, all of them together."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    `place` is where to correct it: `aldaba.toml: server.public`, `environment: ALDABA_SERVER_PUBLIC`.
    `text` says what is wrong and what would be right, and never holds a secret.
    """

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used. Its text has one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, and which known one it resembles."""
    close = get_close_matches(name, list(known), n=1)
    return f"unknown {what}" + (f"; did you mean {close[0]}?" if close else "")


def printable(name: str) -> str:
    """Return a name that nobody checked yet as it may stand on a terminal and in one line of a log."""
    return name if re.fullmatch(r"[\w.-]{1,80}", name, re.ASCII) else f"{name!r:.80}"
