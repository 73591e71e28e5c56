"""Commands beside a running server, on the same database: it sees every change at the next request."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.office import Office
from tests.cli.test_process import aldaba
from tests.served import Served, serving_installation


@pytest.fixture
def served(migrated_sqlite: str, tmp_path: Path) -> Iterator[Served]:
    """Give a server on SQLite."""
    with serving_installation(tmp_path, migrated_sqlite) as server:
        yield server


@pytest.fixture
def beside(served: Served) -> Office:
    """Give the operator's folder, which is the server's."""
    return Office(served.directory)


def devices(served: Served, token: str) -> int:
    """Return the status of a protected call."""
    return served.ask("GET", "/fleet/api/devices", authorization=f"Bearer {token}").status


def test_a_key_made_at_the_terminal_gets_a_token_and_a_stopped_client_loses_it(served: Served, beside: Office) -> None:
    beside.do("partner", "add", "Acme")
    beside.do("client", "add", "acme", "--partner", "Acme", "--service", "fleet")
    key = beside.do("credential", "add", "acme").strip()
    beside.do("device", "add", "acme", "van-17")
    answer = served.ask(
        "POST",
        "/fleet/api/Auth/Token",
        json.dumps({"userName": "acme", "apiKey": key}).encode(),
        content_type="application/json",
    )
    token = answer.json["token"]
    assert 200 == devices(served, token)

    for stop, go in (
        (["partner", "suspend", "Acme"], ["partner", "resume", "Acme"]),
        (["client", "disable", "acme"], ["client", "enable", "acme"]),
        (["client", "networks", "acme", "192.0.2.0/24"], ["client", "networks", "acme", "--anywhere"]),
    ):
        beside.do(*stop)
        assert 403 == devices(served, token)
        beside.do(*go)
        assert 200 == devices(served, token)

    beside.do("token", "revoke", stdin=token.encode())
    assert 401 == devices(served, token)


def test_a_command_in_a_process_of_its_own_is_seen_at_the_next_request(served: Served, beside: Office) -> None:
    client = served.fleet_client()
    token = served.fleet_token(client)
    assert 200 == devices(served, token)

    answer = aldaba(beside.folder, "credential", "revoke", client.credential)

    assert 0 == answer.returncode, answer.stderr
    assert 401 == devices(served, token)


def test_a_token_issued_at_the_terminal_is_good_at_the_server(served: Served, beside: Office) -> None:
    client = served.fleet_client()

    token = beside.do("token", "issue", "--client", client.name, "--service", "fleet", stdin=client.key.encode())

    assert 200 == devices(served, token.strip())


def test_a_refusal_of_the_server_is_explained_at_the_terminal(served: Served, beside: Office) -> None:
    refused = served.ask("GET", "/fleet/api/devices", authorization="Bearer nothing")

    explained = beside.do("explain", refused.request_id)

    assert "✗ the token can be read" in explained or "✗ the token is signed by this service" in explained


def test_j6_changes_and_requests_at_the_same_time_all_succeed(served: Served, beside: Office) -> None:
    client = served.fleet_client()
    beside.do("partner", "add", "Acme")

    for number in range(20):
        token = served.fleet_token(client)
        beside.do("client", "add", f"client-{number}", "--partner", "Acme", "--service", "fleet")
        assert 200 == devices(served, token)

    assert 21 == len(json.loads(beside.do("client", "list", "--output", "json")))
    beside.do("audit", "verify")
