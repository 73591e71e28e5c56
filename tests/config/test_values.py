"""Each kind of value is read strictly, and refused with a text that says what would be right."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aldaba.config import ConfigError, load
from aldaba.config.addresses import Address
from aldaba.config.readers import span_text


def value(tmp_path: Path, setting: str, toml: str) -> Any:
    """Return a setting as a file with that TOML value sets it."""
    section, _, name = setting.rpartition(".")
    file = tmp_path / "aldaba.toml"
    file.write_text(f"[{section}]\n{name} = {toml}\n")
    config = load(file, {})
    if section.startswith("services."):
        return getattr(config.service(section.removeprefix("services.")), name)
    return getattr(getattr(config, section), name)


@pytest.mark.parametrize(
    "toml, expected",
    [
        ('"500ms"', timedelta(milliseconds=500)),
        ('"10s"', timedelta(seconds=10)),
        ('"2m"', timedelta(minutes=2)),
        ('"1m30s"', timedelta(seconds=90)),
        ('"1s500ms"', timedelta(milliseconds=1500)),
    ],
)
def test_durations(tmp_path: Path, toml: str, expected: timedelta) -> None:
    assert expected == value(tmp_path, "arrival.body_timeout", toml)


@pytest.mark.parametrize(
    "toml, expected",
    [('"1h30m"', timedelta(hours=1.5)), ('"2w"', timedelta(days=14)), ('"1d12h"', timedelta(days=1.5))],
)
def test_long_durations(tmp_path: Path, toml: str, expected: timedelta) -> None:
    assert expected == value(tmp_path, "services.fleet.token_lifetime", toml)


@pytest.mark.parametrize(
    "toml", ['""', '"10"', '"10 s"', '"s"', '"-1s"', '"1.5s"', '"10S"', '"30s1m"', '"1s1s"', '"\\u0661s"', "10", "1.5"]
)
def test_what_is_no_duration_is_refused(tmp_path: Path, toml: str) -> None:
    with pytest.raises(ConfigError, match=r"arrival\.body_timeout: "):
        value(tmp_path, "arrival.body_timeout", toml)


@pytest.mark.parametrize("toml", ['"99ms"', '"301s"', '"999999w"', '"0s"'])
def test_durations_have_bounds(tmp_path: Path, toml: str) -> None:
    with pytest.raises(ConfigError, match="must be from 100ms to 5m"):
        value(tmp_path, "arrival.body_timeout", toml)


@pytest.mark.parametrize("text", ["0s", "500ms", "10s", "1m", "1h30m", "1d", "1d12h", "7d", "366d"])
def test_durations_are_shown_as_they_are_written(tmp_path: Path, text: str) -> None:
    assert text == span_text(value(tmp_path, "services.fleet.overlap", f'"{text}"'))


@pytest.mark.parametrize("toml, expected", [('"1024B"', 1024), ('"32KiB"', 32768), ('"1MiB"', 1048576)])
def test_sizes(tmp_path: Path, toml: str, expected: int) -> None:
    assert expected == value(tmp_path, "arrival.max_body", toml)


@pytest.mark.parametrize("toml", ['""', '"64"', '"64KB"', '"64kib"', '"64 KiB"', '"-1KiB"', '"1.5KiB"', "65536"])
def test_what_is_no_size_is_refused(tmp_path: Path, toml: str) -> None:
    with pytest.raises(ConfigError, match=r"arrival\.max_body: "):
        value(tmp_path, "arrival.max_body", toml)


@pytest.mark.parametrize("toml", ["0", "-1", "201", "1.0", '"2"', "true", "[2]", "1979-05-27"])
def test_what_is_no_whole_number_within_bounds_is_refused(tmp_path: Path, toml: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.pool_size: must be "):
        value(tmp_path, "database.pool_size", toml)


@pytest.mark.parametrize("text", ["1_0", " 1", "0x1", "1e1", "+1", "\u0661", "9" * 30])
def test_whole_numbers_of_the_environment_are_plain_digits(text: str) -> None:
    with pytest.raises(ConfigError, match="ALDABA_SERVER_WORKERS: must be"):
        load(None, {"ALDABA_SERVER_WORKERS": text})


@pytest.mark.parametrize("text, expected", [("true", True), ("false", False)])
def test_switches_of_the_environment(text: str, expected: bool) -> None:
    assert expected is load(None, {"ALDABA_MTLS_ALLOW_MISSING_USAGE": text}).mtls.allow_missing_usage


@pytest.mark.parametrize("text", ["", "1", "yes", "True", "on"])
def test_what_is_no_switch_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be true or false"):
        load(None, {"ALDABA_MTLS_ALLOW_MISSING_USAGE": text})


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[2001:DB8:0:0::1]:1", Address("2001:db8::1", 1)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_addresses(tmp_path: Path, text: str, expected: Address) -> None:
    assert expected == value(tmp_path, "server.public", f'"{text}"')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:65536",
        "127.0.0.1:08080",
        "127.0.0.1:-1",
        "127.1:8080",
        "127.0.0.01:8080",
        "256.0.0.1:8080",
        "::1:8080",
        "[127.0.0.1:8080",
        "[::1%eth0]:8080",
        "http://127.0.0.1:8080",
        "example.com:8080",
        "127.0.0.1:8080 ",
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.public: "):
        value(tmp_path, "server.public", f'"{text}"')


@pytest.mark.parametrize(
    "text",
    [
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com/path",
        "https://api.example.com?a=b",
        "https://api.example.com#a",
        "https://user@api.example.com",
        "https://api.example.com:0443",
        "https://api.example.com:99999",
        "https://[::g]",
        "https://[1:2]",
        "https://api_1.example.com",
        "https://api.example.com\\\\@evil.example",
        "https://exámple.com",
    ],
)
def test_what_is_no_base_url_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.public_url: "):
        value(tmp_path, "server.public_url", f'"{text}"')


@pytest.mark.parametrize(
    "texts, expected",
    [
        (["192.0.2.0/24", "10.0.0.1"], ["192.0.2.0/24", "10.0.0.1/32"]),
        (["2001:DB8::/64"], ["2001:db8::/64"]),
        ([], []),
    ],
)
def test_networks(tmp_path: Path, texts: list[str], expected: list[str]) -> None:
    assert expected == [str(network) for network in value(tmp_path, "proxy.trusted", str(texts))]


@pytest.mark.parametrize("text", ["::ffff:192.0.2.0/120", "::ffff:c000:200/120"])
def test_d6_mapped_networks_are_unwrapped(tmp_path: Path, text: str) -> None:
    assert "192.0.2.0/24" == str(value(tmp_path, "proxy.trusted", str([text]))[0])


@pytest.mark.parametrize(
    "texts",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["10.0.0.0/8", "0.0.0.0/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["::/1", "8000::/1"],
        ["::ffff:0:0/96"],
    ],
)
def test_d3_trusting_every_address_is_refused(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"proxy\.trusted: trusts every address there is"):
        value(tmp_path, "proxy.trusted", str(texts))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "proxy.example.com",
        "192.0.2.1/24",
        "010.0.0.1",
        "10.0.0.0/08x",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0.255.255.255",
        "10/8",
        "fe80::1%eth0",
        "10.0.0.0/",
        " 10.0.0.1",
    ],
)
def test_what_is_no_network_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"proxy\.trusted: .*is no network"):
        value(tmp_path, "proxy.trusted", str([text]))


def test_lists_hold_texts_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a list of texts"):
        value(tmp_path, "proxy.trusted", '["10.0.0.1", 10]')


@pytest.mark.parametrize("text", ["", "X_SSL", "a b", "a:b", "é", "a" * 61])
def test_what_is_no_header_name_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"proxy\.nginx_header: "):
        value(tmp_path, "proxy.nginx_header", f'"{text}"')


def test_header_names_are_lower_case(tmp_path: Path) -> None:
    assert "x-client-cert" == value(tmp_path, "proxy.nginx_header", '"X-Client-Cert"')


@pytest.mark.parametrize("text", ["/a", "/use-case-17", "/partners/fleet/v1", "/a.b_c~d"])
def test_paths_of_services(tmp_path: Path, text: str) -> None:
    assert text == value(tmp_path, "services.fleet.path", f'"{text}"')


@pytest.mark.parametrize(
    "text",
    ["/", "a", "/a/", "//a", "/a//b", "/..", "/a/../b", "/.", "/.a", "/a b", "/a%20b", "/a?b", "/a#b", "/a;b", "/é"],
)
def test_what_is_no_path_of_a_service_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"services\.fleet\.path: "):
        value(tmp_path, "services.fleet.path", f'"{text}"')


def test_a_service_at_the_root_is_told_to_use_a_host(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write host instead of path"):
        value(tmp_path, "services.fleet.path", '"/"')


@pytest.mark.parametrize(
    "text", ["https://a.example", "a.example:443", "a.example/", "*.example", "a..b", "-a.example", "a.example.", "a_b"]
)
def test_what_is_no_host_of_a_service_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"services\.fleet\.host: "):
        value(tmp_path, "services.fleet.host", f'"{text}"')


@pytest.mark.parametrize("toml", ['""', '"a\\u0000b"', '"a\\nb"', "1"])
def test_what_is_no_path_of_a_file_is_refused(tmp_path: Path, toml: str) -> None:
    with pytest.raises(ConfigError, match=r"keys\.master_key_file: "):
        value(tmp_path, "keys.master_key_file", toml)
