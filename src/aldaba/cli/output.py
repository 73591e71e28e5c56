"""What commands print: records as a table for people, or as JSON with stable field names for programs.

Names and details may come from strangers, so nothing reaches the terminal that it would act upon (threats J4).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from aldaba.cli.terminal import Terminal

Record = Mapping[str, Any]

NOTHING = "-"


def text_of(value: Any) -> str:
    """Return a value as people read it."""
    match value:
        case None | "" | () | []:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        case Mapping():
            return ", ".join(f"{name}={text_of(item)}" for name, item in value.items()) or NOTHING
        case list() | tuple():
            return ", ".join(text_of(item) for item in value)
        case _:
            return str(value)


def counted(number: int, what: str) -> str:
    """Return a number of things, which have their plural in s."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class Field(NamedTuple):
    """One field of a record: its name in JSON, how people read it, and whether lists show it."""

    name: str
    text: Callable[[Any], str] = text_of
    listed: bool = True

    @property
    def label(self) -> str:
        """Return the name for people, who need no hint at the type."""
        return self.name.removesuffix("_at").removesuffix("_s").replace("_", " ")


def printable(text: str) -> str:
    """Return a text in which characters that a terminal would act upon, or hide, are shown by their codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_records(terminal: Terminal, records: Iterable[Record], fields: Sequence[Field]) -> None:
    """Write records as a table with the listed fields; nothing where there are none."""
    listed = [field for field in fields if field.listed]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for field in listed:
        table.add_column(field.label.upper(), overflow="fold")
    for record in records:
        table.add_row(*(Text(printable(field.text(record[field.name]))) for field in listed))
    if table.row_count:
        _write_table(terminal, table)


def write_record(terminal: Terminal, record: Record, fields: Sequence[Field]) -> None:
    """Write one record, a line for each field."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for field in fields:
        table.add_row(field.label, Text(printable(field.text(record[field.name]))))
    _write_table(terminal, table)


def _write_table(terminal: Terminal, table: Table) -> None:
    console = terminal.console()
    with console.capture() as capture:
        console.print(table)
    # Columns are filled up to their width; at the end of a line that is only in the way.
    for line in capture.get().splitlines():
        terminal.write(line.rstrip())


def write_json(terminal: Terminal, value: Any) -> None:
    """Write a value as one JSON document."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=2)
    # Outside of texts the document has printable characters and line ends only, so what is escaped is in a text.
    terminal.write("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        case Enum():
            return value.value
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")
