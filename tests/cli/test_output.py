"""What reaches a terminal or a program: laid out, complete, and harmless whoever wrote the names in it."""

import io
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aldaba.cli.output import Field, printable, text_of, write_json, write_record, write_records
from aldaba.cli.terminal import Terminal
from tests.cli.office import Office

# Colour, clear screen, move up, a title in C1, text from right to left, a line of its own, what is not seen at all.
HOSTILE = "acme\x1b[31m\x1b[2J\x1b[1A\x9b1m\u202egnp.exe\r\nroot granted\x00\u200b\u2028"
NAMES = (Field("name"), Field("note"), Field("id", listed=False))


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Say that somebody looks at it."""
        return True


def terminal(stdout: io.StringIO, **environ: str) -> Terminal:
    """Return a terminal over a stream."""
    return Terminal(io.BytesIO(), stdout, io.StringIO(), {"TERM": "xterm", **environ}, Path())


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (0, "0"),
        (True, "yes"),
        (False, "no"),
        ("text", "text"),
        (("a", "b"), "a, b"),
        ({"plate": "1234KLM", "seen": None}, "plate=1234KLM, seen=-"),
        (datetime(2026, 11, 22, 8, 0, 0, 999_999, UTC), "2026-11-22T08:00:00Z"),
    ],
)
def test_a_value_has_one_form_for_people(value: Any, expected: str) -> None:
    assert expected == text_of(value)


@pytest.mark.parametrize("text", ["acme", "Muñoz y Cía. — 東京", "a b"])
def test_text_that_can_be_printed_stays_as_it_is(text: str) -> None:
    assert text == printable(text)


def test_j4_no_character_of_a_name_reaches_the_terminal_that_it_acts_upon() -> None:
    stdout = io.StringIO()

    write_records(terminal(stdout), [{"name": HOSTILE, "note": [HOSTILE], "id": 1}], NAMES)
    write_record(terminal(stdout), {"name": HOSTILE, "note": {HOSTILE: HOSTILE}, "id": 1}, NAMES)

    assert all(line.isprintable() for line in stdout.getvalue().splitlines())
    assert "acme\\x1b[31m" in stdout.getvalue()
    assert 2 + 3 == len(stdout.getvalue().splitlines())


def test_j4_json_escapes_what_a_terminal_acts_upon_and_loses_nothing() -> None:
    stdout = io.StringIO()
    value = {HOSTILE: [HOSTILE, "Muñoz", "\U000e0001"]}

    write_json(terminal(stdout), value)

    assert value == json.loads(stdout.getvalue())
    assert all(line.isprintable() for line in stdout.getvalue().splitlines())
    assert "Muñoz" in stdout.getvalue()


def test_j4_markup_in_a_name_is_text() -> None:
    stdout = Screen()

    write_records(terminal(stdout), [{"name": "[bold red]acme[/]", "note": ":smile:", "id": 1}], NAMES)

    assert "[bold red]acme[/]" in stdout.getvalue()
    assert ":smile:" in stdout.getvalue()


def test_a_table_fits_into_a_narrow_terminal_and_loses_nothing() -> None:
    stdout = Screen()
    words = " ".join(f"word-{number}" for number in range(20))

    write_records(terminal(stdout, COLUMNS="40", NO_COLOR="1"), [{"name": words, "note": "x" * 50, "id": 1}], NAMES)

    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in stdout.getvalue().splitlines()]
    assert max(map(len, lines)) <= 40
    assert 50 == sum(line.count("x") for line in lines)
    assert set(words.split()) <= set(" ".join(lines).split())


def test_what_is_piped_on_is_not_folded() -> None:
    stdout = io.StringIO()

    write_records(terminal(stdout, COLUMNS="40"), [{"name": "n" * 500, "note": None, "id": 1}], NAMES)

    assert [f"NAME{' ' * 496}  NOTE", f"{'n' * 500}  -"] == stdout.getvalue().splitlines()


def test_colour_is_for_terminals_alone() -> None:
    piped, seen = io.StringIO(), Screen()
    for stream in (piped, seen):
        write_records(terminal(stream), [{"name": "acme", "note": None, "id": 1}], NAMES)

    assert "\x1b" not in piped.getvalue()
    assert "\x1b" in seen.getvalue()


def test_json_instants_are_exact_and_end_in_z() -> None:
    stdout = io.StringIO()

    write_json(terminal(stdout), {"at": datetime(2026, 11, 22, 8, 0, 0, 1, UTC)})

    assert '{\n  "at": "2026-11-22T08:00:00.000001Z"\n}\n' == stdout.getvalue()


def test_a_value_without_a_json_form_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError):
        write_json(terminal(io.StringIO()), {"what": object()})


@pytest.mark.parametrize("output", ["table", "json"])
def test_j4_a_name_that_a_stranger_claimed_is_shown_harmlessly(office: Office, output: str) -> None:
    refused = office.run("token", "issue", "--client", HOSTILE, "--service", "fleet", stdin=b"not-the-key")
    request_id = re.search("explain (.+?)'", refused.stderr)
    assert request_id is not None

    listed = office.do("audit", "list", "--output", output)
    explained = office.do("explain", request_id[1], "--output", output)

    assert "acme" in listed
    assert all(line.isprintable() for line in (listed + explained + refused.stderr).splitlines())


def test_j4_what_an_import_brings_is_shown_harmlessly(office: Office) -> None:
    office.do("partner", "add", "Acme")
    office.do("client", "add", "acme", "--partner", "Acme", "--service", "fleet")
    rows = json.dumps([{"id": "van", "name": HOSTILE.replace("\x00", ""), "tags": {"=HYPERLINK()": "\x1b]0;x\x07"}}])
    office.do("device", "import", "acme", "--format", "json", stdin=rows.encode())

    assert all(line.isprintable() for line in office.do("device", "list", "acme").splitlines())


def test_a_terminal_without_check_marks_shows_their_codes(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii", errors="backslashreplace") as stream:
        Terminal(io.BytesIO(), stream, stream, os.environ, tmp_path).write("✓")

    assert "\\u2713\n" == (tmp_path / "out").read_text()
