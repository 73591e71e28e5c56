"""What the doctor says: one finding for each thing looked at."""

from typing import Literal, NamedTuple

Level = Literal["good", "advice", "wrong"]

SIGNS: dict[Level, str] = {"good": "✓", "advice": "!", "wrong": "✗"}


class Finding(NamedTuple):
    """Something that was looked at: how it is, and what to do about it."""

    level: Level
    what: str
    todo: str = ""


def good(what: str) -> Finding:
    """Return a finding of something as it should be."""
    return Finding("good", what)


def advice(what: str, todo: str) -> Finding:
    """Return a finding of something that works, and should be looked at."""
    return Finding("advice", what, todo)


def wrong(what: str, todo: str) -> Finding:
    """Return a finding of something that does not work, or not safely."""
    return Finding("wrong", what, todo)


def some(names: list[str]) -> str:
    """Return the first few of many names."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
