"""The configuration is one value from the file, the environment and the defaults, or all of its mistakes."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from aldaba.config import Config, ConfigError, Dialect, load, locate
from aldaba.config.settings import Service

Loads = Callable[..., Config]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "aldaba.toml"


@pytest.fixture
def loads(file: Path) -> Loads:
    """Give a function that loads the text of a configuration file."""

    def loads(text: str, environ: Mapping[str, str] | None = None) -> Config:
        file.write_text(text)
        return load(file, environ or {})

    return loads


def problems(loads: Loads, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        loads(text, environ)
    return [str(problem) for problem in raised.value.problems]


def test_without_file_and_environment_everything_has_a_default_that_works() -> None:
    config = load(None, {})

    assert "127.0.0.1:8080" == str(config.server.public)
    assert "http://127.0.0.1:8080" == config.server.public_url
    assert config.server.mtls is None
    assert ["/fleet", "/mobility"] == [service.path for service in config.services]


def test_the_file_sets_and_the_environment_overrides(loads: Loads) -> None:
    text = '[database]\npool_size = 7\ntimeout = "3s"\n[log]\nformat = "console"\n'

    config = loads(text, {"ALDABA_DATABASE_POOL_SIZE": "9", "HOME": "/home/a", "ALDABA_CONFIG": "x"})

    assert 9 == config.database.pool_size
    assert timedelta(seconds=3) == config.database.timeout
    assert "console" == config.log.format


def test_relative_paths_are_taken_from_the_folder_of_the_file(loads: Loads, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()

    config = loads('[mtls]\nanchors = ["ca.pem"]\n[database]\nurl = "sqlite:///data/a.db"\n')

    assert (tmp_path / "ca.pem",) == config.mtls.anchors
    assert f"sqlite:///{tmp_path}/data/a.db" == config.database.url.reveal()
    assert tmp_path / "var/master.key" == config.keys.master_key_file


def test_absolute_paths_stay(loads: Loads) -> None:
    config = loads('[keys]\nmaster_key_file = "/etc/aldaba/key"\n[database]\nurl = "sqlite:////srv/a.db"\n')

    assert Path("/etc/aldaba/key") == config.keys.master_key_file
    assert "sqlite:////srv/a.db" == config.database.url.reveal()


def test_a_variable_with_file_reads_the_value_from_a_file(loads: Loads, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://aldaba:correct-horse@db/aldaba\n")

    config = loads("", {"ALDABA_DATABASE_URL_FILE": str(tmp_path / "url")})

    assert "postgresql://aldaba:correct-horse@db/aldaba" == config.database.url.reveal()


def test_a_variable_with_file_of_a_number_and_of_a_list(loads: Loads, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("12")
    (tmp_path / "list").write_text("192.0.2.1, 2001:db8::/64\n")

    config = loads(
        "",
        {
            "ALDABA_DATABASE_POOL_SIZE_FILE": str(tmp_path / "number"),
            "ALDABA_PROXY_TRUSTED_FILE": str(tmp_path / "list"),
        },
    )

    assert 12 == config.database.pool_size
    assert ["192.0.2.1/32", "2001:db8::/64"] == [str(network) for network in config.proxy.trusted]


def test_the_master_key_file_has_a_short_name(loads: Loads) -> None:
    config = loads("", {"ALDABA_MASTER_KEY_FILE": "/run/secrets/key"})

    assert Path("/run/secrets/key") == config.keys.master_key_file


def test_a_variable_and_its_file_together_are_a_mistake(loads: Loads, tmp_path: Path) -> None:
    (tmp_path / "level").write_text("debug")

    found = problems(loads, "", {"ALDABA_LOG_LEVEL": "info", "ALDABA_LOG_LEVEL_FILE": str(tmp_path / "level")})

    assert ["environment: ALDABA_LOG_LEVEL_FILE: log.level is set by ALDABA_LOG_LEVEL as well"] == found


def test_a_file_of_a_variable_that_is_missing_or_binary_or_huge_is_a_mistake(loads: Loads, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "huge").write_bytes(b"a" * 70_000)

    found = problems(
        loads,
        "",
        {
            "ALDABA_LOG_LEVEL_FILE": str(tmp_path / "missing"),
            "ALDABA_LOG_FORMAT_FILE": str(tmp_path / "binary"),
            "ALDABA_DATABASE_URL_FILE": str(tmp_path / "huge"),
            "ALDABA_SERVER_PUBLIC_FILE": "",
        },
    )

    assert [
        "environment: ALDABA_DATABASE_URL_FILE: the file is too large for a setting",
        "environment: ALDABA_LOG_FORMAT_FILE: the file is not UTF-8",
        "environment: ALDABA_LOG_LEVEL_FILE: the file cannot be read: No such file or directory",
        "environment: ALDABA_SERVER_PUBLIC_FILE: must name a file",
    ] == found


def test_all_mistakes_are_reported_together_with_their_places(loads: Loads, file: Path) -> None:
    text = """
sever = 1
[server]
public = "8080"
wokers = 2
workers = true
[services.fleet]
path = "fleet"
[services.partners]
path = "/partners"
[audit]
checks = "most"
"""

    found = problems(loads, text, {"ALDABA_DATABASE_URL": "mysql://db/a", "ALDABA_DATABSE_TIMEOUT": "1s"})

    assert [
        f"{file}: sever: unknown section; did you mean server?",
        f"{file}: server.wokers: unknown setting; did you mean workers?",
        "environment: ALDABA_DATABSE_TIMEOUT: unknown setting; did you mean ALDABA_DATABASE_TIMEOUT?",
        f"{file}: server.public: '8080' is no address and port: write 127.0.0.1:8080 or [::1]:8080",
        f"{file}: server.workers: must be a whole number, and is a true or false",
        "environment: ALDABA_DATABASE_URL: must be sqlite:///path/of/file or postgresql://user:password@host/database",
        f"{file}: audit.checks: 'most' is none of refused, all",
        f"{file}: services.fleet.path: 'fleet' is no path prefix: write it with a slash in front, as /fleet",
        f"{file}: services.partners.dialect: is missing: one of fleet, mobility",
    ] == found


def test_the_error_has_one_line_for_each_mistake(loads: Loads) -> None:
    with pytest.raises(ConfigError) as raised:
        loads("a = 1\nb = 2\n")

    assert 2 == len(str(raised.value).splitlines())


@pytest.mark.parametrize(
    "text, expected",
    [
        ("server = 3", "server: must be a table: [server]"),
        ("[[server]]\nworkers = 1", "server: must be a table: [server]"),
        ("services = []", "services: must hold tables, as [services.fleet]"),
        ("[services]\nfleet = true", "services.fleet: must be a table: [services.fleet]"),
        ("[services.Fleet]", "services.Fleet: a name has letters a to z, digits and hyphens"),
        ("[services.fleet_2]", "services.fleet_2: a name has letters a to z, digits and hyphens"),
        ("[services.'-']", "services.-: a name has letters a to z, digits and hyphens"),
        ('["a\\u001b[31m"]', "'a\\x1b[31m': unknown section"),
    ],
)
def test_tables_of_another_form_are_mistakes(loads: Loads, file: Path, text: str, expected: str) -> None:
    assert f"{file}: {expected}" == problems(loads, text)[0]


def test_a_file_that_is_no_toml_is_one_mistake_and_the_environment_is_still_judged(loads: Loads, file: Path) -> None:
    environ = {"ALDABA_LOG_LEVEL": "loud", "ALDABA_SERVICES_PARTNERS_PATH": "/p", "ALDABA_SERVER_MTLS": "127.0.0.1:1"}

    found = problems(loads, "[server\n", environ)

    assert 2 == len(found)
    assert found[0].startswith(f"{file}: is not TOML: ")
    assert "environment: ALDABA_LOG_LEVEL: 'loud' is none of debug, info, warning, error" == found[1]


def test_a_named_file_that_is_missing_or_not_utf8_or_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"# caf\xe9")
    expected = {
        "missing": "cannot be read: No such file or directory",
        "latin": "is not UTF-8",
        ".": "cannot be read: Is a directory",
    }

    for name, text in expected.items():
        with pytest.raises(ConfigError) as raised:
            load(tmp_path / name, {})
        assert f"{tmp_path / name}: {text}" == str(raised.value)


def test_an_empty_variable_is_the_empty_value_and_not_the_default(loads: Loads) -> None:
    assert loads('[audit]\ncheckpoint_file = "a"\n', {"ALDABA_AUDIT_CHECKPOINT_FILE": ""}).audit.checkpoint_file is None
    assert ["environment: ALDABA_SERVER_WORKERS: must be a whole number"] == problems(
        loads, "", {"ALDABA_SERVER_WORKERS": ""}
    )


def test_what_kubernetes_says_of_a_service_called_aldaba_is_passed_over(loads: Loads) -> None:
    environ = {
        "ALDABA_SERVICE_HOST": "10.0.0.9",
        "ALDABA_SERVICE_PORT": "80",
        "ALDABA_SERVICE_PORT_HTTP": "80",
        "ALDABA_PORT": "tcp://10.0.0.9:80",
        "ALDABA_PORT_80_TCP": "tcp://10.0.0.9:80",
        "ALDABA_PORT_80_TCP_PROTO": "tcp",
        "ALDABA_PORT_80_TCP_PORT": "80",
        "ALDABA_PORT_80_TCP_ADDR": "10.0.0.9",
        "ALDABA_PUBLIC_PORT_80_TCP_ADDR": "10.0.0.9",
    }

    assert loads("") == loads("", environ)


def test_a_port_that_somebody_means_is_not_passed_over(loads: Loads) -> None:
    found = problems(loads, "", {"ALDABA_SERVER_PORT": "9000", "ALDABA_PORT": "9000"})

    assert 2 == len(found)


def test_services_take_the_place_of_the_default_ones(loads: Loads) -> None:
    config = loads('[services.use-case-17]\ndialect = "mobility"\n[services.fleet]\nhost = "API.Plaspy.example"\n')

    assert (
        Service(name="use-case-17", dialect="mobility", path="/use-case-17"),
        Service(name="fleet", dialect="fleet", host="api.plaspy.example", rotation="immediate"),
    ) == config.services
    assert "mobility" == config.service("use-case-17").dialect
    with pytest.raises(LookupError):
        config.service("mobility")


def test_a_setting_of_a_service_comes_before_the_default_of_its_dialect(loads: Loads) -> None:
    config = loads('[services.fleet]\nrotation = "overlap"\ntoken_lifetime = "1h"\n')

    assert "overlap" == config.service("fleet").rotation
    assert timedelta(hours=1) == config.service("fleet").token_lifetime


def test_the_environment_changes_services_that_exist(loads: Loads) -> None:
    text = '[services.use-case-17]\ndialect = "mobility"\n'

    config = loads(text, {"ALDABA_SERVICES_USE_CASE_17_PATH": "/uc17"})

    assert "/uc17" == config.service("use-case-17").path
    (found,) = problems(loads, text, {"ALDABA_SERVICES_USE_CASE_71_PATH": "/uc17"})
    assert found.startswith("environment: ALDABA_SERVICES_USE_CASE_71_PATH: unknown setting or service; ")
    assert found.endswith("; did you mean ALDABA_SERVICES_USE_CASE_17_PATH?")


def test_the_environment_changes_default_services() -> None:
    config = load(None, {"ALDABA_SERVICES_FLEET_HOST": "api.plaspy.example"})

    assert [("api.plaspy.example", None), (None, "/mobility")] == [(s.host, s.path) for s in config.services]


def test_an_unknown_dialect_is_refused(loads: Loads, file: Path) -> None:
    found = problems(loads, '[services.a]\ndialect = "fleets"\n')

    assert [
        f"{file}: services.a.dialect: unknown dialect 'fleets'; did you mean fleet? (there are fleet, mobility)"
    ] == found


def test_the_dialects_are_handed_in(file: Path) -> None:
    file.write_text("[services.doors]\n")

    config = load(file, {}, dialects={"doors": Dialect(token_lifetime=timedelta(minutes=5))})

    assert (
        Service(name="doors", dialect="doors", path="/doors", token_lifetime=timedelta(minutes=5)),
    ) == config.services


def test_base_urls_follow_from_the_listeners(loads: Loads, tmp_path: Path) -> None:
    for name in ("c", "k", "a"):
        (tmp_path / name).touch()
    mtls = '[mtls]\ncertificate = "c"\nkey = "k"\nanchors = ["a"]\n[tls]\ncertificate = "c"\nkey = "k"\n'

    config = loads(f'{mtls}[server]\npublic = "0.0.0.0:443"\nmtls = "[::]:8443"\n')

    assert "https://127.0.0.1:443" == config.server.public_url
    assert "https://[::1]:8443" == config.server.mtls_url


def test_base_urls_that_are_set_stay(loads: Loads) -> None:
    config = loads('[server]\npublic_url = "https://API.example.com/"\nmtls_url = "https://mtls.example.com:8443"\n')

    assert "https://api.example.com" == config.server.public_url
    assert "https://mtls.example.com:8443" == config.server.mtls_url


def test_the_file_is_located_by_the_environment_or_in_the_folder(tmp_path: Path) -> None:
    assert locate({}, tmp_path) is None
    (tmp_path / "aldaba.toml").touch()
    assert tmp_path / "aldaba.toml" == locate({}, tmp_path)
    assert Path("/etc/a.toml") == locate({"ALDABA_CONFIG": "/etc/a.toml"}, tmp_path)
