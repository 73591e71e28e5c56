"""docs/threats.md names tests for every row that concerns these dialects, and these tests exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "threats.md").read_text("utf-8")
# How many rows each letter has.
SECTIONS = {"A": 16, "B": 14, "C": 15, "D": 8, "E": 16, "K": 7, "L": 3}

_ROW = re.compile(r"^\| ([A-L][0-9]+) \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", re.MULTILINE)
_NAME = re.compile(r"^(?:async )?def test_((?:[a-l][0-9]+_)+)", re.MULTILINE)

rows = {
    row: (tried.strip(), answered.strip(), re.findall(r"`([^`]+)`", tests))
    for row, tried, answered, tests in _ROW.findall(DOCUMENT)
}
concerned = [row for row, (tried, _, _) in rows.items() if tried != "not in these dialects"]


def rows_tested_in(file: str) -> set[str]:
    """Return the rows that the names of a file's tests begin with."""
    names = _NAME.findall((TESTS / file).read_text("utf-8"))
    return {row.upper() for name in names for row in name.strip("_").split("_")}


def test_every_row_is_there_once_and_in_order() -> None:
    expected = [f"{letter}{number}" for letter, last in SECTIONS.items() for number in range(1, last + 1)]

    assert expected == [row for row, *_ in _ROW.findall(DOCUMENT)]


def test_the_headings_say_which_rows_follow() -> None:
    headings = re.findall(r"^## .* \(([A-L])1 to ([A-L])([0-9]+)\)$", DOCUMENT, re.MULTILINE)

    assert [(letter, letter, str(last)) for letter, last in SECTIONS.items()] == headings


@pytest.mark.parametrize("row", concerned)
def test_a_row_names_files_with_tests_of_it(row: str) -> None:
    _, _, files = rows[row]

    assert files
    assert [] == [file for file in files if not (TESTS / file).is_file() or row not in rows_tested_in(file)]


def test_a_row_that_does_not_concern_these_dialects_says_why_and_has_no_tests() -> None:
    for row in sorted(rows.keys() - set(concerned)):
        _, why, files = rows[row]

        assert why
        assert [] == files


def test_no_test_is_named_for_a_row_that_is_said_not_to_concern_us() -> None:
    tested = {row for file in TESTS.rglob("test_*.py") for row in rows_tested_in(str(file.relative_to(TESTS)))}

    assert set() == (rows.keys() - set(concerned)) & tested
