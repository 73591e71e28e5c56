"""Recorded exchanges: the text files that say, byte for byte, what a dialect answers to what.

A file reads from top to bottom:

    A title.

    Prose for the reader.

    given: a sentence of `steps.py` that prepares something
    > a line of a request; after an empty one, its body
    < a line of the answer to it; after an empty one, its body
    reason: under which the audit log and the counters have a refusal
    decoded: header and claims of the token in the answer, each in a line of its own

`given:`, `then:` and `over:` (how the request is sent) may stand before every request. Where a value differs from run
to run there is a placeholder such as `<token>`: in a request the value is filled in, in an answer its form is checked,
and what is found is kept for the requests below.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.served import Answer

STEP_WORDS = ("given", "then", "over")

# By the last word of a placeholder; any other one stands for a value that is known.
FORMS = {
    "token": r"[\w-]+\.[\w-]+\.[\w-]{86}",
    "id": r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "date": r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    "seconds": r"[1-9]\d{0,4}",
    "epoch": r"1[0-9]{9}",
    # The name of 413 has changed with the edition of HTTP, and with it in Python.
    "phrase": r"(?:Request Entity|Payload|Content) Too Large",
    "thumbprint": r"[\w-]{43}",
}
INSTANTS = {
    "fleet": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "mobility": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}

_PLACEHOLDER = re.compile(r"<([a-z][a-z ]*)>")


@dataclass
class Exchange:
    """A request, its answer, and what is known of both."""

    request: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    reason: str | None = None
    decoded: list[str] = field(default_factory=list)


@dataclass
class Recording:
    """One file."""

    title: str
    parts: list[str | Exchange]

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges without the steps between them."""
        return [part for part in self.parts if isinstance(part, Exchange)]


def read(file: Path) -> Recording:
    """Read a file; a line that is none of the kinds above is prose."""
    title, *lines = file.read_text("utf-8").splitlines()
    recording = Recording(title, [])
    for line in lines:
        mark, _, rest = line.partition(" ")
        if mark == ">":
            if not recording.parts or not isinstance(recording.parts[-1], Exchange) or recording.exchanges[-1].answer:
                recording.parts.append(Exchange())
            recording.exchanges[-1].request.append(rest)
        elif mark == "<":
            recording.exchanges[-1].answer.append(rest)
        elif mark == "reason:":
            recording.exchanges[-1].reason = rest
        elif mark == "decoded:":
            recording.exchanges[-1].decoded.append(rest)
        elif mark.removesuffix(":") in STEP_WORDS and mark.endswith(":"):
            recording.parts.append(rest)
    return recording


def reasons(folder: Path) -> set[str]:
    """Return every reason for which a folder has an exchange."""
    return {exchange.reason for file in folder.glob("*.txt") for exchange in read(file).exchanges if exchange.reason}


def request_bytes(lines: list[str], values: dict[str, str]) -> bytes:
    """Return a request as it is sent; `<length>` is that of its body."""
    end = lines.index("") if "" in lines else len(lines)
    body = _filled("\n".join(lines[end + 1 :]), values).encode()
    head = "\r\n".join([*lines[:end], "", ""])
    return _filled(head, {**values, "length": str(len(body))}).encode() + body


def _filled(text: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def answer_lines(answer: Answer) -> list[str]:
    """Return an answer as the files have it."""
    head = [answer.line, *(f"{name}: {value}" for name, value in answer.headers)]
    return [*head, "", *answer.body.decode().split("\n")]


def token_lines(token: str) -> list[str]:
    """Return header and claims of a token as they stand in it, byte for byte."""
    parts = token.removeprefix("Bearer ").split(".")[:2]
    return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode() for part in parts]


def with_placeholders(expected: list[str], seen: list[str], dialect: str, values: dict[str, str]) -> list[str]:
    """Return what was seen, with the placeholders of the expected lines wherever their form fits.

    What the placeholders stand for is put into `values`.
    """
    forms = {**FORMS, "instant": INSTANTS[dialect]}
    shown = []
    for index, line in enumerate(seen):
        pattern = expected[index] if index < len(expected) else ""
        found = re.fullmatch("".join(_pieces(pattern, forms, values)), line)
        if found is not None:
            values |= {name.replace("_", " "): text for name, text in found.groupdict().items()}
        shown.append(line if found is None else pattern)
    return shown


def _pieces(pattern: str, forms: dict[str, str], values: dict[str, str]) -> Iterator[str]:
    named: set[str] = set()
    for index, piece in enumerate(_PLACEHOLDER.split(pattern)):
        if index % 2 == 0:
            yield re.escape(piece)
            continue
        form = forms.get(piece.rpartition(" ")[2])
        if form is None:
            yield re.escape(values[piece])
        elif piece in named:
            yield f"(?:{form})"
        else:
            named.add(piece)
            yield f"(?P<{piece.replace(' ', '_')}>{form})"
