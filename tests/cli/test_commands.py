"""What holds for every command: help with an example, a page in docs/commands.md, a transcript, and no secret in it."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from aldaba.cli.output import Field
from tests.cli.transcript import parse
from tests.cli.tree import Command, command_names, help_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
TRANSCRIPTS = Path(__file__).parent / "transcripts"
NAMES = command_names()

# They serve until they are stopped; tests of processes run them.
SERVING = {"serve", "demo"}
# Where a record of a command is listed field by field.
RECORDS = {
    "partner": ("partner", "FIELDS"),
    "client": ("client", "FIELDS"),
    "credential": ("credential", "FIELDS"),
    "device": ("device", "FIELDS"),
    "keys": ("keys", "FIELDS"),
    "audit": ("audit", "FIELDS"),
    "token issue": ("token", "ISSUED"),
    "token inspect": ("token", "FIELDS"),
}


@cache
def helped(name: str) -> Command:
    """Return what the help of a command says."""
    return help_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_a_command_does_and_gives_an_example_of_it(name: str) -> None:
    command = helped(name)

    assert command.summary.endswith(".")
    assert [] != [example for example in command.examples if f" {name}" in example]


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_argument_and_option(name: str) -> None:
    command = helped(name)

    assert [] == [label for label, about in (command.arguments | command.options).items() if len(about) < 8]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_takes_the_options_of_all_commands(name: str) -> None:
    labels = set(helped(name).everywhere)

    assert labels >= {"--config PATH", "--output CHOICE"}


@pytest.mark.parametrize("name", NAMES)
def test_j5_no_argument_and_no_option_takes_a_secret(name: str) -> None:
    command = helped(name)
    secretive = re.compile("key|secret|token|pass|sha256|digest", re.IGNORECASE)

    # The path of a file and a span are none.
    found = {label for label in command.arguments | command.options if secretive.search(label)}
    assert set() == found - {"--key-file PATH", "--token-lifetime SPAN"}


# --- the transcripts -------------------------------------------------------------------------------------------------


def played() -> set[str]:
    """Return the first words of every command in the transcripts."""
    commands = [step.command for file in TRANSCRIPTS.rglob("*.txt") for step in parse(file.read_text()).steps]
    words = [re.sub(r"^.*?aldaba (?:--config \S+ )?", "", command).split() for command in commands]
    return {" ".join(some[:length]) for some in words for length in (1, 2)}


@pytest.mark.parametrize("name", sorted(set(NAMES) - SERVING))
def test_every_command_is_in_a_transcript(name: str) -> None:
    assert name in played()


# --- the document ----------------------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """Return the sections of the document by what they are about."""
    parts = re.split(r"^###+ `aldaba (.+)`\n", DOCUMENT.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.split("\n## ")[0] for part in parts[2::2]), strict=True))


PAGES = pages()


def test_the_document_has_a_page_for_every_command_and_no_other() -> None:
    nouns = {name.split()[0] for name in NAMES}

    assert sorted({*NAMES, *nouns}) == sorted(PAGES)


@pytest.mark.parametrize("name", NAMES)
def test_the_document_says_of_a_command_what_its_help_says(name: str) -> None:
    command, page = helped(name), PAGES[name]

    rows = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", page, re.MULTILINE))
    examples = page.partition("```\n")[2].partition("\n```")[0].splitlines()
    assert command._replace(everywhere={}) == Command(
        name,
        page.strip().splitlines()[0],
        {label: about for label, about in rows.items() if label in command.arguments},
        {label: about for label, about in rows.items() if label not in command.arguments},
        {},
        examples,
    )


def test_the_document_gives_the_options_of_all_commands() -> None:
    introduction = DOCUMENT.read_text().partition("\n### ")[0]

    assert helped("init").everywhere == dict(re.findall(r"^\| `(--.+?)` \| (.+) \|$", introduction, re.MULTILINE))


@pytest.mark.parametrize("page", RECORDS)
def test_the_document_lists_the_fields_of_a_record(page: str) -> None:
    module, name = RECORDS[page]
    fields: tuple[Field, ...] = getattr(import_module(f"aldaba.cli.{module}"), name)
    line = next(line for line in PAGES[page].splitlines() if line.startswith("In JSON: "))

    assert [field.name for field in fields] == re.findall(r"`(\w+)`", line)
