"""What `aldaba token inspect` says of tokens that time, or a look at the registry, has ended."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.cli.office import Office


@pytest.fixture
def token(office: Office) -> bytes:
    """Give a good token."""
    office.do("partner", "add", "Acme")
    office.do("client", "add", "acme", "--partner", "Acme", "--service", "fleet")
    key = office.do("credential", "add", "acme")
    return office.do("token", "issue", "--client", "acme", "--service", "fleet", stdin=key.encode()).encode()


@pytest.mark.parametrize(
    "change, reasons",
    [
        ("UPDATE client SET name = 'ACME'", ["token_subject_unknown"]),
        ("DELETE FROM credential", ["token_subject_unknown"]),
        ("UPDATE credential SET status = 'revoked'", ["credential_revoked"]),
        ("UPDATE credential SET not_after_at = $past", ["credential_expired"]),
        ("UPDATE credential SET not_before_at = $future", ["credential_not_yet_valid"]),
        ("UPDATE client SET services = '[\"mobility\"]'", ["service_not_allowed"]),
        ("UPDATE registry SET tokens_not_before_at = $future", ["token_revoked"]),
        ("UPDATE client SET tokens_not_before_at = $future", ["token_revoked"]),
        ("UPDATE signing_key SET state = 'retired', ends_at = $past", ["token_incorrect"]),
        # From which address it will be shown is not known here.
        ("UPDATE client SET networks = '[]'", []),
    ],
)
def test_every_reason_for_which_a_token_is_refused_is_named(
    office: Office, token: bytes, change: str, reasons: list[str]
) -> None:
    with closing(sqlite3.connect(office.folder / "aldaba.db")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM credential_use")
        connection.execute(change, {"past": 1, "future": 2**52})

    answer = office.run("token", "inspect", "--output", "json", stdin=token)

    found = json.loads(answer.stdout)
    assert (bool(reasons), "refused" if reasons else "good", reasons) == (
        bool(answer.status),
        found["state"],
        found["reasons"],
    )
