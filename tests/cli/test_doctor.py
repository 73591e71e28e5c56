"""What `aldaba doctor` finds, one thing wrong at a time."""

import json
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aldaba.cli.doctor import registry, surroundings
from aldaba.crypto.certificates import Authority, Validity
from aldaba.crypto.master_key import create_master_key
from tests.cli.office import Office
from tests.parts import needs


def findings(office: Office, *level: str, settings: str = "") -> list[str]:
    """Return what the doctor finds on these levels, with some further settings."""
    file = office.folder / "doctor.toml"
    file.write_text((office.folder / "aldaba.toml").read_text() + settings)
    answer = office.run("doctor", "--config", "doctor.toml", "--output", "json")
    found = json.loads(answer.stdout)
    assert (answer.status, "") == (int(any(each["level"] == "wrong" for each in found)), answer.stderr)
    assert [] == [each for each in found if each["level"] != "good" and not each["todo"]]
    return [each["what"] for each in found if each["level"] in level]


def has(texts: list[str], *words: str) -> bool:
    """Tell whether one of the texts has all of these words."""
    return any(all(word in text for word in words) for text in texts)


@pytest.fixture
def fleet(office: Office) -> Office:
    """Give an installation with the fleet service alone, and nothing wrong."""
    file = office.folder / "aldaba.toml"
    file.write_text(file.read_text().replace("[services.mobility]\n", ""))
    return office


def change(office: Office, *statements: str) -> None:
    """Change the database behind everybody's back."""
    with closing(sqlite3.connect(office.folder / "aldaba.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_nothing_is_wrong_with_a_new_installation(fleet: Office) -> None:
    assert [] == findings(fleet, "wrong")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_j5_a_database_that_others_may_use_is_wrong(fleet: Office, mode: int) -> None:
    (fleet.folder / "aldaba.db").chmod(mode)

    assert [f"{fleet.folder / 'aldaba.db'} can be used by others of this machine"] == findings(fleet, "wrong")


def test_j5_a_configuration_with_a_password_that_others_may_read_is_wrong(fleet: Office) -> None:
    settings = '\n[limits]\nstorage = "redis://:correct-horse-battery@127.0.0.1:1/0"\n'
    (fleet.folder / "doctor.toml").touch(0o644)

    found = findings(fleet, "wrong", settings=settings)

    assert has(found, "doctor.toml", "used by others")
    assert not has(found, "correct-horse")


def test_counters_that_do_not_answer_are_wrong(fleet: Office) -> None:
    found = findings(fleet, "wrong", settings='\n[limits]\nstorage = "redis://127.0.0.1:1/0"\n')

    assert ["the counters against guessing do not answer: redis://127.0.0.1:1/0 (ConnectionError)"] == found


def test_counters_that_answer_are_good(fleet: Office) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [str(needs("redis-server")), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as redis:
        assert redis.stdout is not None
        while "Ready to accept connections" not in redis.stdout.readline():
            assert redis.poll() is None
        found = findings(fleet, "good", settings=f'\n[limits]\nstorage = "redis://127.0.0.1:{port}/0"\n')
        redis.terminate()

    assert has(found, "counters", f"redis://127.0.0.1:{port}/0")


def test_j5_a_master_key_that_others_may_read_is_wrong(fleet: Office) -> None:
    (fleet.folder / "master.key").chmod(0o644)

    assert has(findings(fleet, "wrong"), "master key cannot be used", "chmod 600")


def test_another_master_key_opens_no_signing_key_and_no_seal_of_the_log(fleet: Office) -> None:
    (fleet.folder / "master.key").unlink()
    create_master_key(fleet.folder / "master.key")

    found = findings(fleet, "wrong")

    assert has(found, "does not open the signing keys")
    assert has(found, "audit log", "registry")


def test_a_service_without_an_active_key_is_wrong_and_one_without_a_next_key_worth_a_word(fleet: Office) -> None:
    change(fleet, "DELETE FROM signing_key WHERE service = 'fleet' AND state = 'next'")
    assert has(findings(fleet, "advice"), "service fleet has no announced next key")

    change(fleet, "DELETE FROM signing_key WHERE service = 'fleet'")
    assert ["service fleet has no active signing key"] == findings(fleet, "wrong")


# --- the database ----------------------------------------------------------------------------------------------------


def test_k3_a_missing_database_is_wrong(fleet: Office) -> None:
    (fleet.folder / "aldaba.db").unlink()

    assert has(findings(fleet, "wrong"), "missing or empty")


def test_k3_a_damaged_database_is_wrong(fleet: Office) -> None:
    file = fleet.folder / "aldaba.db"
    content = bytearray(file.read_bytes())
    content[8192:60000] = b"\xa5" * (60000 - 8192)
    file.write_bytes(content)

    assert has(findings(fleet, "wrong"), "damaged")


def test_j6_a_schema_of_a_newer_program_is_wrong(fleet: Office) -> None:
    change(fleet, "UPDATE alembic_version SET version_num = 'next-year'")

    assert has(findings(fleet, "wrong"), "next-year", "newer")


def test_k4_a_database_that_does_not_answer_is_wrong(fleet: Office) -> None:
    file = fleet.folder / "aldaba.toml"
    file.write_text(
        file.read_text().replace("sqlite", "#sqlite").replace("url = ", 'url = "postgresql://127.0.0.1:1/x"#')
    )

    assert has(findings(fleet, "wrong"), "does not answer")


def test_k6_the_clocks_of_this_machine_and_of_postgresql_are_compared(
    postgresql_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert has(findings(postgresql_office, "good"), "clocks", "agree")

    monkeypatch.setattr(registry, "CLOCKS_APART", timedelta(seconds=-1))
    assert has(findings(postgresql_office, "wrong"), "clocks", "apart")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET mac = 'changed' WHERE seq = 3 AND writer = 'registry'",
        "DELETE FROM event WHERE seq = 3 AND writer = 'registry'",
        "UPDATE audit_chain SET length = 2",
        "DELETE FROM audit_chain",
    ],
)
def test_an_end_of_the_audit_log_that_was_changed_is_wrong(fleet: Office, statement: str) -> None:
    fleet.do("partner", "add", "Acme")
    change(fleet, statement)

    assert has(findings(fleet, "wrong"), "end of the audit log", "registry")


# --- who is registered -----------------------------------------------------------------------------------------------


def test_clients_that_nothing_can_prove_are_worth_a_word(fleet: Office) -> None:
    fleet.do("partner", "add", "Acme")
    for name in ("proven", "ended", "off", "bare"):
        fleet.do("client", "add", name, "--partner", "Acme", "--service", "fleet")
    fleet.do("credential", "add", "proven")
    fleet.do("credential", "add", "ended", "--not-after", "2020-01-01")
    fleet.do("client", "disable", "off")

    assert has(findings(fleet, "advice"), "clients have no credential that is good: bare, ended")


def test_a_registered_certificate_that_ends_soon_is_worth_a_word(fleet: Office) -> None:
    now = datetime.now(UTC)
    soon = Validity(now - timedelta(days=9), now + timedelta(days=9))
    authority = Authority.create("Their CA")
    fleet.do("partner", "add", "Acme")
    for name, validity in (("soon", soon), ("later", None)):
        issued = authority.client(name, validity=validity)
        (fleet.folder / f"{name}.pem").write_bytes(issued.pem)
        fleet.do("client", "add", name, "--partner", "Acme", "--service", "fleet")
        fleet.do("credential", "add", name, "--certificate", f"{name}.pem")

    assert has(findings(fleet, "advice"), "certificates end within 30 days, or have ended: soon")


# --- files and what is around ----------------------------------------------------------------------------------------


def with_certificates(folder: Path, validity: Validity | None = None) -> str:
    """Make certificates for the mutual-TLS listener; return the settings that name them."""
    authority = Authority.create("Their CA")
    (folder / "ca.pem").write_bytes(authority.pem)
    authority.server(["localhost"], validity=validity).write(folder / "server.pem", folder / "server.key")
    (folder / "list.crl").write_bytes(authority.crl([], number=1))
    return """
[server]
mtls = "127.0.0.1:0"

[mtls]
certificate = "server.pem"
key = "server.key"
anchors = ["ca.pem"]
crls = ["list.crl"]
"""


def test_good_certificates_are_good(fleet: Office) -> None:
    settings = with_certificates(fleet.folder)

    assert [] == findings(fleet, "wrong", settings=settings)
    good = findings(fleet, "good", settings=settings)
    assert has(good, "mtls.certificate", "is good until")
    assert has(good, "mtls.anchors", "is good until")


@pytest.mark.parametrize(
    "ends_in, level, words", [(timedelta(days=9), "advice", "ends at"), (-timedelta(days=1), "wrong", "ended at")]
)
def test_a_server_certificate_that_ends_is_told(fleet: Office, ends_in: timedelta, level: str, words: str) -> None:
    now = datetime.now(UTC)
    settings = with_certificates(fleet.folder, Validity(now - timedelta(days=90), now + ends_in))

    assert has(findings(fleet, level, settings=settings), "mtls.certificate", words)


def test_a_certificate_with_another_key_is_wrong(fleet: Office) -> None:
    settings = with_certificates(fleet.folder)
    (fleet.folder / "other").mkdir()
    with_certificates(fleet.folder / "other")
    shutil.copy(fleet.folder / "other" / "server.key", fleet.folder / "server.key")

    assert has(findings(fleet, "wrong", settings=settings), "do not serve together")


def test_c15_a_file_of_anchors_without_certificates_is_wrong(fleet: Office) -> None:
    settings = with_certificates(fleet.folder)
    (fleet.folder / "ca.pem").write_text("nothing")

    assert has(findings(fleet, "wrong", settings=settings), "ca.pem")


def test_c9_a_revocation_list_past_its_next_update_is_wrong(fleet: Office) -> None:
    settings = with_certificates(fleet.folder)
    authority = Authority.create("Their CA")
    (fleet.folder / "ca.pem").write_bytes(authority.pem)
    ended = authority.crl([], number=1, at=datetime.now(UTC) - timedelta(days=9))
    (fleet.folder / "list.crl").write_bytes(ended)

    assert has(findings(fleet, "wrong", settings=settings), "ends at")


def test_no_revocation_list_is_worth_a_word(fleet: Office) -> None:
    settings = with_certificates(fleet.folder).replace('crls = ["list.crl"]', "")

    assert has(findings(fleet, "advice", settings=settings), "no revocation list")


def test_a_service_that_wants_certificates_nobody_asks_for_is_wrong(office: Office) -> None:
    assert ["service mobility wants client certificates, and nothing asks for them"] == findings(office, "wrong")
    assert [] == findings(office, "wrong", settings=with_certificates(office.folder))


def test_keys_in_clear_over_the_network_are_worth_a_word(fleet: Office) -> None:
    settings = '\n[server]\npublic = "0.0.0.0:8080"\nmanagement = "0.0.0.0:9080"\n'

    found = findings(fleet, "advice", settings=settings)

    assert has(found, "0.0.0.0:8080", "without TLS")
    assert has(found, "0.0.0.0:9080", "metrics")


def test_a_checkpoint_file_that_cannot_be_written_is_wrong(fleet: Office) -> None:
    assert has(
        findings(fleet, "wrong", settings='\n[audit]\ncheckpoint_file = "nowhere/checkpoints"\n'), "cannot be written"
    )
    assert has(
        findings(fleet, "good", settings='\n[audit]\ncheckpoint_file = "checkpoints"\n'), "checkpoints", "are kept in"
    )


def test_k2_a_disk_that_gets_full_is_told(fleet: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "GETTING_SHORT", 1 << 62)
    assert has(findings(fleet, "advice"), "MiB are free")

    monkeypatch.setattr(surroundings, "SHORT_OF_SPACE", 1 << 62)
    assert has(findings(fleet, "wrong"), "MiB are free")


def test_every_mistake_in_the_configuration_is_a_finding(fleet: Office) -> None:
    settings = '\n[server]\npublic = "nowhere"\nworkers = 0\n'

    found = findings(fleet, "wrong", settings=settings)

    assert has(found, "server.public")
    assert has(found, "server.workers")
    assert 2 == len(found)
