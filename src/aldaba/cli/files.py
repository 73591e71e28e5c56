"""What is read from a file or from standard input: secrets, and the rows of an import with their line numbers."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aldaba.cli.arguments import Format
from aldaba.cli.context import Context
from aldaba.crypto import strict_json
from aldaba.errors import Impossible

_LARGEST_SECRET = 64 * 1024


class Row(dict[str, Any]):
    """The members of one row that are there, and where it stands: `line 3` of a CSV file, `item 3` of a JSON one."""

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        super().__init__({name: value for name, value in values.items() if value not in (None, "")})
        self.place = place


@dataclass
class Reading:
    """What an import file has: the rows that are good so far, and why the others are refused."""

    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, place: str, why: str) -> None:
        """Note a row that cannot be taken over."""
        self.refused.append((place, why))


def read_bytes(cli: Context, file: Path | None) -> bytes:
    """Return what is in a file, or on standard input where none is named."""
    return cli.terminal.read() if file is None or str(file) == "-" else (cli.terminal.folder / file).read_bytes()


def read_secret(cli: Context, file: Path | None, what: str) -> str:
    """Return a secret from a file or standard input, without the space around it; it never is an argument.

    Raises:
        Impossible: there is none, or it cannot be one.
    """
    asked = cli.terminal.ask_secret(f"{what}: ") if file is None else None
    data = read_bytes(cli, file) if asked is None else asked.encode("utf-8", "replace")
    if len(data) > _LARGEST_SECRET:
        raise Impossible(f"this is too long for the {what}; give nothing else with it")
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        # The original holds the input: it is not chained.
        raise Impossible(f"this is not the {what}: it has characters outside of ASCII") from None
    if not text:
        raise Impossible(f"the {what} is missing; write it to standard input, or name its file")
    return text


def read_rows(cli: Context, file: Path | None, form: Format | None, columns: Sequence[str]) -> Reading:
    """Return the rows of an import.

    Raises:
        Impossible: the file as a whole cannot be read.
    """
    data = read_bytes(cli, file)
    if form is None:
        form = "json" if file is not None and file.suffix.lower() == ".json" else "csv"
    reading = Reading()
    rows = _json_rows(data, reading) if form == "json" else _csv_rows(data, columns, reading)
    for row in rows:
        unknown = sorted(set(row) - set(columns))
        if unknown:
            reading.refuse(row.place, f"there is no member {unknown[0]!r:.40}; there are {', '.join(columns)}")
        else:
            reading.rows.append(row)
    return reading


def _csv_rows(data: bytes, columns: Sequence[str], reading: Reading) -> Iterator[Row]:
    try:
        # Spreadsheets begin their files with a mark.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Impossible(f"line {line}: not UTF-8; save the file as CSV in UTF-8") from None
    header = text.partition("\n")[0]
    # And where the comma is in numbers, they separate with semicolons.
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",", strict=True)
    names = [name.strip() for name in next(rows, [])]
    unknown = [name for name in names if name not in columns]
    if unknown or not names or len(set(names)) < len(names):
        raise Impossible(f"line 1: the first line names the columns, each once; there are {', '.join(columns)}")
    yield from _csv_body(rows, names, reading)


def _csv_body(rows: Any, names: Sequence[str], reading: Reading) -> Iterator[Row]:
    while True:
        # A quoted field may go over several lines: a row stands where it begins.
        place = f"line {rows.line_num + 1}"
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            reading.refuse(place, f"not CSV: {error}")
            return
        if not values:
            continue
        if len(values) != len(names):
            reading.refuse(place, f"{len(values)} fields, and the first line names {len(names)}")
            continue
        yield Row(place, {name: value.strip() for name, value in zip(names, values, strict=True)})


def _json_rows(data: bytes, reading: Reading) -> Iterator[Row]:
    try:
        items = strict_json.loads(data)
    except strict_json.MalformedJson as error:
        raise Impossible(f"the file is not JSON: {error}; correct it, or name its form with --format") from error
    if not isinstance(items, list):
        raise Impossible("the file holds no list of objects; write [{...}, ...]")
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield Row(f"item {number}", item)
        else:
            reading.refuse(f"item {number}", "not an object")
