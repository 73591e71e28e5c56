"""Paths and methods that nobody should use (threats A4, A6, A15), and that secrets in them are not written down."""

from pathlib import Path

import pytest

from tests.served import JSON, NoAnswer, Served, login
from tests.threats.forms import M4, said

PATHS = [
    "/fleet/api/devices%00",
    "/fleet/api/devices/%00",
    "/fleet/api/%2e%2e/devices",
    "/fleet/api/../api/devices",
    "/fleet/../fleet/api/devices",
    "/fleet/api/./devices",
    "/fleet//api/devices",
    "//fleet/api/devices",
    "/fleet/api/devices;x=1",
    "/fleet;x/api/devices",
    "/fleet/api/devices%2f",
    "/fleet/api%2fdevices",
    "/fleet%2fapi/devices",
    "/fleet/api/device%73",
    "/%66leet/api/devices",
    "/fleet/api/devices/%c0%af",
    "/fleet/api/devices/%ff",
    "/fleet/api/devices/%ED%A0%80",
    "/fleet/api/devices/%",
    "/fleet/api/devices/%zz",
    "/fleet/api/devices/a%0d%0aSet-Cookie:x",
    "/fleet/api/devices/..",
    "/fleet/api/devices/%2e%2e",
    "/fleet/api/devices/a\\..\\b",
    "/fleet/api/devices/",
    "/fleet/api/devices%20",
    "/fleet/api/device\u017f",
]


@pytest.mark.parametrize("path", PATHS)
def test_a6_no_spelling_of_a_path_is_another_route(served: Served, path: str) -> None:
    token = served.fleet_token(served.fleet_client())

    answer = served.ask("GET", path, authorization=f"Bearer {token}")

    assert answer.status in (400, 404)
    assert b"devices" not in answer.body
    assert answer.header("location") is None
    assert answer.header("set-cookie") is None


def test_a6_a_kelvin_sign_is_not_a_k_and_a_long_s_is_not_an_s(served: Served) -> None:
    # Matching without regard to case must not reach beyond ASCII.
    for path in ("/fleet/api/Auth/To\u212aen", "/fleet/api/Auth/To%E2%84%AAen"):
        assert served.ask("POST", path, login(served.fresh_name("nobody"), "x"), content_type=JSON).status in (400, 404)


@pytest.mark.parametrize(
    "path", ["/mobility/v1/token/", "/mobility/v1//token", "/mobility/v1/%74oken", "/mobility/V1/token"]
)
def test_a6_nor_of_the_other_dialect(served: Served, path: str) -> None:
    client = served.mobility_client()

    assert 404 == served.ask_tls(client.certificate, "GET", path).status


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "[::1]"])
def test_a4_a_foreign_host_changes_nothing_in_an_answer(served: Served, host: str) -> None:
    with served.connect() as connection:
        answer = connection.send(f"GET /fleet/openapi.json HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    assert 200 == answer.status
    assert b"evil.example" not in answer.body


METHODS = ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "SEARCH"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path, allow",
    [("/fleet/api/Auth/Token", "POST"), ("/fleet/api/devices", "GET"), ("/mobility/v1/token", "GET, POST")],
)
def test_a15_other_methods_are_answered_405_with_those_allowed(
    served: Served, method: str, path: str, allow: str
) -> None:
    answer = served.ask(method, path)

    assert 405 == answer.status
    assert allow == answer.header("allow")
    # TRACE would give back what was sent, cookies and tokens included.
    assert "application/json" == answer.header("content-type")


@pytest.mark.parametrize("method", ["BREW", "get", "GETT", "P\u00d6ST"])
def test_a15_what_is_no_method_is_no_http(served: Served, method: str) -> None:
    try:
        assert 400 == served.ask(method, "/fleet/api/devices").status
    except NoAnswer:
        return


def test_a15_connect_is_not_served(served: Served) -> None:
    with served.connect() as connection:
        answer = connection.send(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")

    assert answer.status in (400, 405)


@pytest.mark.parametrize("header", ["x_http_method_override", "x_http_method", "x_method_override"])
def test_a15_a_method_override_is_ignored(served: Served, header: str) -> None:
    body = login(served.fresh_name("nobody"), "x")

    assert 405 == served.ask("PUT", "/fleet/api/Auth/Token", body, content_type=JSON, **{header: "POST"}).status
    assert 405 == served.ask("GET", "/fleet/api/Auth/Token?_method=POST").status


def test_a15_a_get_with_secrets_is_refused(served: Served) -> None:
    client = served.fleet_client()

    answer = served.ask("GET", f"/fleet/api/Auth/Token?userName={client.name}&apiKey={client.key}")

    assert 405 == answer.status


def test_a15_secrets_are_written_down_from_no_part_of_a_request(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    client = served.fleet_client()
    token = served.fleet_token(client)
    for secret in (client.key, token):
        _show_everywhere(served, secret, token)

    written = b"".join(file.read_bytes() for file in _files(served.directory))
    logged = "".join(capfd.readouterr())

    for secret in (client.key, token):
        # Cut in the middle it would be as good as whole to somebody who has the rest.
        piece = secret[10:45]
        assert piece.encode() not in written
        assert piece not in logged


def _show_everywhere(served: Served, secret: str, token: str) -> None:
    path, name = "/fleet/api/Auth/Token", served.fresh_name("nobody")
    served.ask("GET", f"/fleet/api/{secret}")
    served.ask("GET", f"/fleet/api/devices/{secret}", authorization=f"Bearer {token}")
    served.ask("GET", f"/fleet/api/devices?access_token={secret}", x_forwarded_for=secret, client_cert=secret)
    served.ask("GET", f"/{secret}")
    served.ask("GET", "/mobility/v1/ping", authorization=f"Bearer {secret}", forwarded=f"for={secret}")
    served.ask(f"X{secret[-20:]}", "/fleet/api/devices")
    served.ask("POST", path, login(secret, "x"), content_type=JSON)
    served.ask("POST", path, login(name, secret), content_type=f"text/{secret}"[:90])
    served.ask("POST", path, login(name, "x"), content_type=JSON, content_encoding=secret[:60])
    with served.connect() as connection:
        connection.send(f"GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n".encode())


def _files(directory: Path) -> list[Path]:
    return [file for file in directory.iterdir() if file.name.startswith("aldaba.db")]


def test_a16_what_a_proxy_would_not_let_through_is_one_request_or_none(served: Served) -> None:
    client = served.mobility_client()
    head = b"GET /mobility/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    inner = b"GET /mobility/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n"
    with served.connect_tls(client.certificate) as connection:
        answer = connection.send(head + b"0\r\n\r\n" + inner)

        assert 400 == answer.status
        assert connection.is_closed()


def test_a16_a_body_that_looks_like_a_request_is_a_body(served: Served) -> None:
    client = served.mobility_client()
    inner = b"GET /mobility/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n"
    with served.connect_tls(client.certificate) as connection:
        head = f"POST /mobility/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: {len(inner)}\r\n\r\n".encode()
        first = connection.send(head + inner)
        second = connection.send(b"GET /mobility/v1/token HTTP/1.1\r\nHost: x\r\n\r\n")

    assert M4 == said(first)
    assert 200 == second.status
