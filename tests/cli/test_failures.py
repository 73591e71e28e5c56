"""How a command that failed says so."""

import io
import re
from pathlib import Path

import pytest

from aldaba.cli import run as running
from aldaba.cli.failures import Misuse, Status, tell
from aldaba.cli.run import run_command
from aldaba.cli.terminal import Terminal
from aldaba.config import ConfigError, Problem
from aldaba.crypto.master_key import MasterKeyError
from aldaba.crypto.sealing import CannotUnseal
from aldaba.errors import Damaged, Impossible, Overloaded, StoreUnavailable
from tests.cli.office import Office
from tests.cli.transcript import parse

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.mark.parametrize(
    "error, status, words",
    [
        (Impossible("there is no client 'x'; 'aldaba client list' shows them"), Status.FAILED, "client list"),
        (Overloaded(), Status.FAILED, "try again"),
        (FileNotFoundError(2, "No such file or directory", "keys.csv"), Status.FAILED, "keys.csv cannot be used"),
        (PermissionError(13, "Permission denied", Path("keys.csv")), Status.FAILED, "permission denied"),
        (OSError("odd"), Status.FAILED, "odd"),
        (Misuse("give one of them"), Status.MISUSED, "give one of them"),
        (ConfigError([Problem("a: b", "is wrong")]), Status.MISCONFIGURED, "\n  a: b: is wrong"),
        (MasterKeyError("master.key has mode 0644"), Status.MISCONFIGURED, "0644"),
        (CannotUnseal(), Status.MISCONFIGURED, "another master key"),
        (Damaged("the database is damaged; restore a backup"), Status.NO_DATABASE, "restore"),
        (StoreUnavailable("connection failed:\n\tis it running?"), Status.NO_DATABASE, "failed: is it running?"),
    ],
)
def test_an_error_has_its_status_and_says_what_to_do(error: Exception, status: Status, words: str) -> None:
    told = tell(error)

    assert told is not None
    assert (status, True) == (told[0], words in told[1])


def test_a_fault_of_the_program_is_not_explained_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(_terminal: object, _words: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(running, "read", fail)

    with pytest.raises(RuntimeError):
        run_command(Terminal(io.BytesIO(), io.StringIO(), io.StringIO(), {}, tmp_path), ["partner", "list"])


@pytest.mark.parametrize("error, status", [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_who_interrupts_or_stops_reading_gets_no_text(
    error: type[BaseException], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(_terminal: object, _words: object) -> None:
        raise error

    monkeypatch.setattr(running, "read", stop)
    terminal = Terminal(io.BytesIO(), io.StringIO(), io.StringIO(), {}, tmp_path)

    assert (status, "") == (run_command(terminal, ["partner", "list"]), terminal.stderr.getvalue())  # type: ignore[attr-defined]


def told() -> list[str]:
    """Return every error of the transcripts."""
    steps = [step for file in TRANSCRIPTS.rglob("*.txt") for step in parse(file.read_text()).steps]
    return sorted({line for step in steps if step.status for line in step.stderr if line.startswith("aldaba: ")})


@pytest.mark.parametrize("line", told())
def test_every_error_of_the_transcripts_is_in_one_form(line: str) -> None:
    text = line.removeprefix("aldaba: ")

    # Lower case, or what was written; no full stop.
    assert re.match(r"[a-z'<\-]|NAME ", text)
    assert not text.endswith(".")


def test_k3_a_database_that_goes_away_is_told_without_a_trace(office: Office) -> None:
    (office.folder / "aldaba.db").write_bytes(b"nothing of a database" * 500)

    answer = office.run("partner", "list")

    assert (4, "") == (answer.status, answer.stdout)
    assert "Traceback" not in answer.stderr


def test_k4_a_postgresql_that_is_away_is_told_in_one_line(office: Office) -> None:
    answer = Office(office.folder, {"ALDABA_DATABASE_URL": "postgresql://127.0.0.1:1/aldaba"}).run("partner", "list")

    assert (4, 1) == (answer.status, len(answer.stderr.splitlines()))
    assert answer.stderr.startswith("aldaba: the database is not available: ")
