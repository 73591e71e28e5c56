"""`aldaba audit verify` finds what somebody did to the log behind our back, and says it with a status."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.cli.office import Office

CHANGED = {
    "an event changed": "UPDATE event SET client = 'somebody-else' WHERE seq = 4 AND writer = 'registry'",
    "an event removed": "DELETE FROM event WHERE seq = 4 AND writer = 'registry'",
    "the end cut off": "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",
    "an operator renamed": "UPDATE event SET detail = replace(detail, '@', '-')",
}


@pytest.fixture
def busy(office: Office) -> Office:
    """Give an installation with some events."""
    office.do("partner", "add", "Acme")
    for name in ("acme", "beta", "gamma"):
        office.do("client", "add", name, "--partner", "Acme", "--service", "fleet")
    return office


@pytest.mark.parametrize("statement", CHANGED.values(), ids=CHANGED)
def test_a_log_that_was_changed_is_not_whole(busy: Office, statement: str) -> None:
    with closing(sqlite3.connect(busy.folder / "aldaba.db")) as connection, connection:
        connection.execute(statement)

    answer = busy.run("audit", "verify", "--output", "json")

    report = json.loads(answer.stdout)
    assert (1, False) == (answer.status, report["whole"])
    assert [] != [fault for fault in report["faults"] if "registry" in fault]


def test_a_log_that_was_set_back_as_a_whole_shows_beside_checkpoints_kept_elsewhere(busy: Office) -> None:
    shutil.copy(busy.folder / "aldaba.db", busy.folder / "backup.db")
    busy.do("client", "disable", "acme")
    with closing(sqlite3.connect(busy.folder / "aldaba.db")) as connection:
        columns = ("writer", "seq", "at_us", "head", "signature")
        rows = connection.execute(f"SELECT {', '.join(columns)} FROM audit_checkpoint").fetchall()  # noqa: S608 - constants
    lines = [json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows]
    (busy.folder / "elsewhere.jsonl").write_text("".join(lines))
    for file in busy.folder.glob("aldaba.db-*"):
        file.unlink()
    shutil.copy(busy.folder / "backup.db", busy.folder / "aldaba.db")

    alone = busy.run("audit", "verify")
    beside = busy.run("audit", "verify", "--checkpoints", "elsewhere.jsonl")

    assert (0, 1) == (alone.status, beside.status), alone.stdout + beside.stdout
