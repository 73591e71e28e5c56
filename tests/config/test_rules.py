"""Settings that are good in themselves and do not go together are refused before anything serves."""

from pathlib import Path

import pytest

from aldaba.config import ConfigError, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()
    return tmp_path / "aldaba.toml"


POSTGRESQL = '[database]\nurl = "postgresql://aldaba@db/aldaba"\n'
REDIS = '[limits]\nstorage = "redis://counters:6379/0"\n'
MTLS = '[mtls]\ncertificate = "cert.pem"\nkey = "key.pem"\nanchors = ["ca.pem"]\n'
PAIR = 'certificate = "cert.pem"\nkey = "key.pem"\n'


@pytest.mark.parametrize(
    "text",
    [
        f"[server]\nworkers = 4\n{POSTGRESQL}{REDIS}",
        f'[server]\nmtls = "127.0.0.1:8443"\n{MTLS}',
        f"[tls]\n{PAIR}",
        f'{MTLS}[proxy]\ntrusted = ["10.0.0.1"]\ncertificate_header = "nginx"\n',
        "[ledger]\ncapacity = 10\nmax_batch = 10\n",
        '[server]\npublic = "127.0.0.1:0"\nmanagement = "127.0.0.1:0"\n',
        '[server]\npublic = "127.0.0.1:9080"\nmanagement = "127.0.0.2:9080"\n',
        '[services.fleet]\npath = "/a"\n[services.mobility]\npath = "/ab"\n',
        '[services.fleet]\nhost = "a.example"\n[services.mobility]\nhost = "b.example"\n',
        '[services.fleet]\npath = "/healthy"\n',
    ],
)
def test_what_goes_together_is_accepted(file: Path, text: str) -> None:
    file.write_text(text)

    load(file, {})


@pytest.mark.parametrize(
    "text, place, words",
    [
        (f"[server]\nworkers = 2\n{REDIS}", "server.workers", "SQLite has one writer"),
        (f"[server]\nworkers = 2\n{POSTGRESQL}", "server.workers", "needs counters they share"),
        ('[server]\nmtls = "127.0.0.1:8080"\n', "server.mtls", "127.0.0.1:8080 is already taken by server.public"),
        ('[server]\npublic = "0.0.0.0:9080"\n', "server.management", "already taken by server.public"),
        ('[server]\npublic = "[::]:9080"\n', "server.management", "already taken by server.public"),
        ('[tls]\ncertificate = "cert.pem"\n', "tls.key", "is missing"),
        ('[tls]\nkey = "key.pem"\n', "tls.certificate", "is missing"),
        ('[mtls]\nkey = "key.pem"\n', "mtls.certificate", "is missing"),
        ('[server]\nmtls = "127.0.0.1:1"\n[mtls]\nanchors = ["ca.pem"]\n', "mtls.certificate", "is missing"),
        (f'[server]\nmtls = "127.0.0.1:1"\n[mtls]\n{PAIR}', "mtls.anchors", "is empty"),
        ('[proxy]\ntrusted = ["10.0.0.1"]\ncertificate_header = "rfc9440"\n', "mtls.anchors", "is empty"),
        (f'{MTLS}[proxy]\ncertificate_header = "rfc9440"\n', "proxy.trusted", "is empty"),
        (f"{MTLS}crl_required = true\n", "mtls.crls", "is empty"),
        ('[tls]\ncertificate = "nothing.pem"\nkey = "key.pem"\n', "tls.certificate", "No such file or directory"),
        ('[mtls]\nanchors = ["ca.pem", "nothing.pem"]\n', "mtls.anchors", "nothing.pem cannot be read"),
        ('[mtls]\ncrls = ["."]\n', "mtls.crls", "Is a directory"),
        ("[ledger]\ncapacity = 10\n", "ledger.max_batch", "more than ledger.capacity"),
        ("[arrival]\nconnections = 10\n", "arrival.connections_per_address", "more than arrival.connections"),
        ('[services.fleet]\npath = "/a"\nhost = "a.example"\n', "services.fleet.host", "not both"),
        ('[services.fleet]\npath = "/a"\n[services.mobility]\npath = "/a"\n', "services.mobility.path", "inside"),
        ('[services.fleet]\npath = "/a"\n[services.mobility]\npath = "/a/b"\n', "services.mobility.path", "inside"),
        ('[services.fleet]\npath = "/a/b"\n[services.mobility]\npath = "/A"\n', "services.mobility.path", "inside"),
        (
            '[services.fleet]\nhost = "a.example"\n[services.mobility]\nhost = "A.EXAMPLE"\n',
            "services.mobility.host",
            "is the host of services.fleet already",
        ),
        ('[services.docs]\ndialect = "fleet"\n', "services.docs.path", "Aldaba's own"),
        ('[services.fleet]\npath = "/health/live"\n', "services.fleet.path", "Aldaba's own"),
        ('[services.fleet]\npath = "/Metrics"\n', "services.fleet.path", "Aldaba's own"),
    ],
)
def test_what_does_not_go_together_is_refused(file: Path, text: str, place: str, words: str) -> None:
    file.write_text(text)

    with pytest.raises(ConfigError) as raised:
        load(file, {})

    assert [f"{file}: {place}"] == [problem.place for problem in raised.value.problems]
    assert words in raised.value.problems[0].text


def test_a_rule_names_the_variable_that_broke_it(file: Path) -> None:
    file.write_text("")

    with pytest.raises(ConfigError) as raised:
        load(file, {"ALDABA_SERVER_MANAGEMENT": "127.0.0.1:8080"})

    assert "environment: ALDABA_SERVER_MANAGEMENT" == raised.value.problems[0].place


def test_without_a_file_a_rule_names_the_variable_to_set() -> None:
    with pytest.raises(ConfigError) as raised:
        load(None, {"ALDABA_MTLS_CRL_REQUIRED": "true"})

    assert "environment: ALDABA_MTLS_CRLS" == raised.value.problems[0].place


def test_a_mistake_brings_no_second_one_that_follows_from_it(file: Path) -> None:
    file.write_text('[server]\nworkers = 2\n[database]\nurl = "postgres:"\n[limits]\nstorage = "redis"\n')

    with pytest.raises(ConfigError) as raised:
        load(file, {})

    assert ["database.url", "limits.storage"] == [
        problem.place.removeprefix(f"{file}: ") for problem in raised.value.problems
    ]
