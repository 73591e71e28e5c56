"""From what TOML or the environment holds to a typed value, and back to text.

A reader is strict: it converts no type into another, and says in words what would have been right.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
Kind = Literal["text", "whole number", "true or false", "list of texts"]
Shown = str | int | bool | list[str]

_TYPES: dict[type, Kind] = {str: "text", int: "whole number", bool: "true or false", list: "list of texts"}
# The longest units first, as they are written: 1d12h.
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,6}}){unit})?" for unit in _UNITS))
_SIZE = re.compile(r"([0-9]{1,9})(B|KiB|MiB|GiB)")
_SIZES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """How one setting is read and shown.

    `parse` gets a value of the kind, and raises ValueError with the reason when it is not good.
    """

    kind: Kind
    parse: Callable[[Any], T]
    show: Callable[[T], Shown]

    def from_toml(self, raw: object) -> T:
        """Read a TOML value; booleans are no numbers, and numbers are no texts."""
        found = _TYPES.get(type(raw))
        if found != self.kind:
            raise ValueError(f"must be a {self.kind}, and is {_named(found, raw)}")
        if isinstance(raw, list) and not all(type(item) is str for item in raw):
            raise ValueError("must be a list of texts")
        return self.parse(raw)

    def from_text(self, text: str) -> T:
        """Read a value of the environment or of a `*_FILE`; lists are separated by commas."""
        match self.kind:
            case "text":
                return self.parse(text)
            case "whole number":
                return self.parse(_whole_number(text))
            case "true or false":
                return self.parse(_true_or_false(text))
            case "list of texts":
                return self.parse([item.strip() for item in text.split(",") if item.strip()])


def _named(kind: Kind | None, raw: object) -> str:
    return f"a {kind}" if kind else f"a {type(raw).__name__}"


def _whole_number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("must be a whole number")
    return int(text)


def _true_or_false(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def switch() -> Reader[bool]:
    """Read true or false."""
    return Reader("true or false", bool, bool)


def integer(least: int, most: int) -> Reader[int]:
    """Read a whole number within bounds."""

    def parse(number: int) -> int:
        if not least <= number <= most:
            raise ValueError(f"must be from {least} to {most}")
        return number

    return Reader("whole number", parse, int)


def choice(*names: str) -> Reader[Any]:
    """Read one of a few words."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r:.60} is none of {', '.join(names)}")
        return text

    return Reader("text", parse, str)


def duration(least: str, most: str) -> Reader[timedelta]:
    """Read a span with its units, such as 10s, 24h, 7d or 1h30m, within bounds."""
    shortest, longest = _span(least), _span(most)

    def parse(text: str) -> timedelta:
        span = _span(text)
        if not shortest <= span <= longest:
            raise ValueError(f"must be from {least} to {most}")
        return span

    return Reader("text", parse, span_text)


def _span(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found or not text:
        raise ValueError(f"{text!r:.60} is no duration: write numbers with units, such as 500ms, 10s, 1h30m or 7d")
    counts = (int(count or 0) for count in found.groups())
    return sum((count * unit for count, unit in zip(counts, _UNITS.values(), strict=True)), timedelta())


def span_text(span: timedelta) -> str:
    """Write a span as settings do."""
    parts = []
    for name, unit in list(_UNITS.items())[1:]:
        count, span = divmod(span, unit)
        parts.append(f"{count}{name}" if count else "")
    return "".join(parts) or "0s"


def size(least: str, most: str) -> Reader[int]:
    """Read a size with its unit, such as 32KiB, within bounds, as bytes."""
    smallest, largest = _octets(least), _octets(most)

    def parse(text: str) -> int:
        octets = _octets(text)
        if not smallest <= octets <= largest:
            raise ValueError(f"must be from {least} to {most}")
        return octets

    return Reader("text", parse, _size_text)


def _octets(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r:.60} is no size: write a number and a unit, such as 512B, 64KiB or 1MiB")
    return int(found[1]) * _SIZES[found[2]]


def _size_text(octets: int) -> str:
    unit = next(name for name, factor in _SIZES.items() if octets % factor == 0)
    return f"{octets // _SIZES[unit]}{unit}"


def path() -> Reader[Path]:
    """Read the path of a file."""
    return Reader("text", _path, str)


def _path(text: str) -> Path:
    if not text:
        raise ValueError("must name a file")
    if _CONTROL.search(text):
        raise ValueError("a path has no control characters")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("no file has such a name on this machine") from None
    return Path(text)


def optional(reader: Reader[T]) -> Reader[T | None]:
    """Read what may be left empty: an empty text is None."""

    def parse(text: str) -> T | None:
        return reader.parse(text) if text else None

    def show(value: T | None) -> Shown:
        return "" if value is None else reader.show(value)

    return Reader("text", parse, show)


def many(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """Read a list, each item with the reader."""

    def parse(texts: list[str]) -> tuple[T, ...]:
        return tuple(reader.parse(text) for text in texts)

    def show(values: tuple[T, ...]) -> Shown:
        return [str(reader.show(value)) for value in values]

    return Reader("list of texts", parse, show)
