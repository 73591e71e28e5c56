"""Passwords in settings are used to connect, refused when weak, and shown nowhere."""

import pickle
import tomllib
from pathlib import Path

import pytest

from aldaba.config import Config, ConfigError, load, show

SECRET = "correct-horse-battery"
DATABASE = f"postgresql://aldaba:{SECRET}@db.internal:5433/aldaba?sslmode=require&connect_timeout=3"
COUNTERS = f"rediss://aldaba:{SECRET}@counters:6380/2"


@pytest.fixture
def config() -> Config:
    return load(None, {"ALDABA_DATABASE_URL": DATABASE, "ALDABA_LIMITS_STORAGE": COUNTERS})


def test_urls_reveal_what_connects(config: Config) -> None:
    assert DATABASE == config.database.url.reveal()
    assert COUNTERS == config.limits.storage.reveal()


def test_show_masks_passwords_and_keeps_the_rest(config: Config) -> None:
    shown = show(config)

    assert (
        "postgresql://aldaba:***@db.internal:5433/aldaba?sslmode=require&connect_timeout=3" == shown["database"]["url"]
    )
    assert "rediss://aldaba:***@counters:6380/2" == shown["limits"]["storage"]


@pytest.mark.parametrize(
    "url",
    [
        DATABASE,
        f"postgresql+psycopg://aldaba:{SECRET}@/aldaba?host=/run/postgresql",
        f"postgresql://aldaba@db/aldaba?password={SECRET}",
        f"postgresql://aldaba@db/aldaba?sslpassword={SECRET}",
        f"postgresql://:{SECRET}@db/aldaba",
    ],
)
def test_no_password_of_a_database_shows(url: str) -> None:
    config = load(None, {"ALDABA_DATABASE_URL": url})

    assert url == config.database.url.reveal()
    for text in (str(config), repr(config), str(show(config)), f"{config.database.url}"):
        assert SECRET not in text
        assert "***" in text


def test_the_configuration_can_be_handed_to_another_process(config: Config) -> None:
    assert config == pickle.loads(pickle.dumps(config))  # noqa: S301 - our own bytes


def test_what_show_says_loads_again_to_the_same(tmp_path: Path) -> None:
    config = load(None, {"ALDABA_SERVICES_FLEET_HOST": "api.example.com", "ALDABA_PROXY_TRUSTED": "10.0.0.0/8"})

    tables = {name: table for name, table in show(config).items() if name != "services"}
    tables |= {f"services.{service.name}": show(config)["services"][service.name] for service in config.services}
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
    (tmp_path / "aldaba.toml").write_text(text)

    assert tomllib.loads(text) == show(config)
    assert config == load(tmp_path / "aldaba.toml", {})


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.parametrize("password", ["", "short", "postgres", "Password", "changeme", "aaaaaaaaaaaa", "1234567890"])
@pytest.mark.parametrize("url", ["postgresql://aldaba:{}@db/aldaba", "redis://:{}@db"])
def test_b14_empty_short_and_default_passwords_are_refused_by_the_name_of_the_setting(url: str, password: str) -> None:
    name = "ALDABA_DATABASE_URL" if url.startswith("postgresql") else "ALDABA_LIMITS_STORAGE"

    with pytest.raises(ConfigError, match=rf"environment: {name}: the password") as raised:
        load(None, {name: url.format(password)})

    assert not password or f":{password}" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "aldaba.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://aldaba.db",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a\x00b",
        "postgres://aldaba@db/aldaba",
        "postgresql+asyncpg://aldaba@db/aldaba",
        "postgresql:",
        "postgresql://",
        "postgresql://db",
        "postgresql://db/",
        f"postgresql://aldaba:{SECRET}@db:port/aldaba",
        f"postgresql://aldaba:{SECRET}%zz@db/aldaba",
        f"postgresql://aldaba:{SECRET}@db/aldaba?sslmod=require",
        f"postgresql://aldaba:{SECRET}@db/aldaba?sslmode",
        f"postgresql://aldaba:{SECRET}@[::1/aldaba",
        f"postgresql://aldaba:{SECRET}%00@db/aldaba",
        f"mysql://aldaba:{SECRET}@db/aldaba",
    ],
)
def test_what_is_no_url_of_a_database_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="environment: ALDABA_DATABASE_URL: ") as raised:
        load(None, {"ALDABA_DATABASE_URL": url})

    assert 1 == len(raised.value.problems)
    assert SECRET not in str(raised.value)


def test_a_wrong_option_of_a_database_url_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'sslmod' in the URL; did you mean sslmode\?"):
        load(None, {"ALDABA_DATABASE_URL": "postgresql://db/aldaba?sslmod=require"})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "Memory",
        "redis:",
        "redis://",
        "redis://:6379",
        "redis://counters:port",
        "redis://counters:99999",
        "redis://counters/a",
        f"redis://:{SECRET}@counters?db=1",
        f"redis://:{SECRET}@[::1",
        f"memcached://:{SECRET}@counters",
    ],
)
def test_what_is_no_storage_of_counters_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="environment: ALDABA_LIMITS_STORAGE: must be memory") as raised:
        load(None, {"ALDABA_LIMITS_STORAGE": url})

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["memory", "redis://h", "redis://h:1/", "valkey://h/3", "valkeys://u@h", "redis://[::1]:1"]
)
def test_storages_of_counters(url: str) -> None:
    assert url == load(None, {"ALDABA_LIMITS_STORAGE": url}).limits.storage.reveal()
