"""Real nginx and HAProxy in front of the real server: a mobility token through each, and the same verdicts as without.

How the headers of a proxy are read is tested in `tests/web`; here is what becomes of a caller in the end.
"""

import os
import shutil
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from aldaba.core.clients import disable_client, set_networks
from aldaba.core.credentials import revoke_credential
from aldaba.crypto.certificates.issued import Issued
from tests.parts import needs
from tests.served import Answer, Connection, MobilityClient, NoAnswer, Served, request, serving_installation
from tests.threats.forms import M1, M5, Said
from tests.web.test_proxies import HAPROXY, NGINX, free_port, running

PROXY, CLIENT, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
TOKEN, PING = "/mobility/v1/token", "/mobility/v1/ping"
# What a proxy must leave as it is.
KEPT = ("content-type", "cache-control", "www-authenticate", "x-content-type-options")


@dataclass(frozen=True)
class Proxied:
    """An installation with a proxy in front of its public port."""

    served: Served
    port: int

    def through(self, certificate: Issued | None, path: str = TOKEN, *lines: str, source: str = CLIENT) -> Said:
        """Ask through the proxy."""
        raw = socket.create_connection((PROXY, self.port), timeout=10, source_address=(source, 0))
        tls = self.served.context(certificate).wrap_socket(raw, server_hostname="localhost")
        return _asked(Connection(tls), path, lines)

    def directly(self, certificate: Issued | None, path: str = TOKEN, *lines: str, source: str = CLIENT) -> Said:
        """Ask at our own port for client certificates."""
        return _asked(self.served.connect_tls(certificate, source=source), path, lines)


def _asked(connection: Connection, path: str, lines: tuple[str, ...]) -> Said:
    head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""])
    with connection:
        answer = connection.send(head.encode())
    _check_kept(answer)
    return answer.status, answer.body


def _check_kept(answer: Answer) -> None:
    expected = ["application/json", "no-store", "Bearer" if answer.status == 401 else None, "nosniff"]
    assert expected == [answer.header(name) for name in KEPT]
    assert answer.request_id


@contextmanager
def _nginx(served: Served) -> Iterator[int]:
    folder, port = served.directory, free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, backend=served.public, user=user))
    command = [str(needs("nginx")), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, port, folder / "proxy.log"):
        yield port


@contextmanager
def _haproxy(served: Served) -> Iterator[int]:
    folder, port = served.directory, free_port()
    (folder / "both.pem").write_bytes((folder / "server.pem").read_bytes() + (folder / "server.key").read_bytes())
    (folder / "haproxy.cfg").write_text(HAPROXY.format(folder=folder, port=port, backend=served.public, errors=""))
    with running([str(needs("haproxy")), "-db", "-f", str(folder / "haproxy.cfg")], port, folder / "proxy.log"):
        yield port


STYLES: Mapping[str, tuple[str, Callable[[Served], AbstractContextManager[int]]]] = {
    "nginx": ("nginx", _nginx),
    "haproxy": ("rfc9440", _haproxy),
}


@pytest.fixture(scope="module", params=STYLES)
def proxied(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """Give an installation behind each proxy in turn."""
    style, start = STYLES[request.param]
    needs(request.param)
    directory = tmp_path_factory.mktemp(request.param)
    shutil.copy(migrated_file, directory / "aldaba.db")
    tables = f'[proxy]\ntrusted = ["{PROXY}"]\ncertificate_header = "{style}"\n[services.fleet]\n[services.mobility]\n'
    with serving_installation(directory, "sqlite:///aldaba.db", tables) as served, start(served) as port:
        yield Proxied(served, port)


def client_of(proxied: Proxied) -> MobilityClient:
    return proxied.served.mobility_client(networks=(CLIENT,))


def token_of(proxied: Proxied, client: MobilityClient) -> str:
    with proxied.served.connect_tls(client.certificate, source=CLIENT) as connection:
        token: str = connection.send(request("GET", TOKEN)).json["token"]
    return token


def test_d4_a_token_bought_through_the_proxy_is_good_through_it_and_without_it(proxied: Proxied) -> None:
    client = client_of(proxied)

    status, body = proxied.through(client.certificate)

    assert 200 == status
    token = body.decode().split('"token":"')[1].removesuffix('"}')
    pong = (200, f'{{"user":"{client.name}","authorities":["ROLE_USER"]}}'.encode())
    assert pong == proxied.through(client.certificate, PING, f"Authorization: {token}")
    assert pong == proxied.directly(client.certificate, PING, f"Authorization: {token}")


def test_d4_without_a_certificate_nobody_is_known_on_either_way(proxied: Proxied) -> None:
    assert [M1, M1] == [proxied.through(None), proxied.directly(None)]


def test_d4_unregistered_certificates_are_refused_on_either_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    authority = proxied.served.authority
    for certificate in (authority.client(client.name), authority.client("nobody")):
        assert [M1, M1] == [proxied.through(certificate), proxied.directly(certificate)]


def test_d4_a_certificate_for_something_else_is_refused_on_either_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    odd = proxied.served.authority.client(client.name, key=client.certificate.key, extended_key_usage=None)

    assert [M1, M1] == [proxied.through(odd), proxied.directly(odd)]


def test_d4_a_certificate_of_another_ca_opens_nothing_on_either_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    stranger = proxied.served.authority.create("Somebody else").client(client.name, key=client.certificate.key)
    for ask in (proxied.through, proxied.directly):
        try:
            assert M1 == ask(stranger)
        except (ssl.SSLError, NoAnswer, ConnectionError):
            continue


def test_d4_a_revoked_certificate_and_its_token_are_refused_on_either_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    token = token_of(proxied, client)
    proxied.served.operate(lambda registrar: revoke_credential(registrar, client.credential))

    assert [M1, M1] == [proxied.through(client.certificate), proxied.directly(client.certificate)]
    shown = (client.certificate, PING, f"Authorization: {token}")
    assert [M5, M5] == [proxied.through(*shown), proxied.directly(*shown)]


def test_d4_a_disabled_client_is_refused_on_either_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    proxied.served.operate(lambda registrar: disable_client(registrar, client.name))

    assert [M1, M1] == [proxied.through(client.certificate), proxied.directly(client.certificate)]


def test_d8_from_another_network_a_client_is_refused_on_either_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    token = token_of(proxied, client)

    for ask in (proxied.through, proxied.directly):
        assert M1 == ask(client.certificate, source=STRANGER)
        assert M1 == ask(client.certificate, PING, f"Authorization: {token}", source=STRANGER)
        assert 200 == ask(client.certificate)[0]
    proxied.served.operate(lambda registrar: set_networks(registrar, client.name, ["192.0.2.0/24"]))
    assert [M1, M1] == [proxied.through(client.certificate), proxied.directly(client.certificate)]


def test_d1_what_a_client_writes_of_himself_is_believed_on_neither_way(proxied: Proxied) -> None:
    client = client_of(proxied)
    spoofed = (
        f"X-Forwarded-For: {CLIENT}",
        f"Client-Cert: :{b64encode(client.certificate.der).decode()}:",
        f"X-SSL-Client-Cert: {quote(client.certificate.pem.decode(), safe='')}",
    )

    # Without a certificate; with one's own; and past the proxy, to our port behind it.
    assert [M1, M1] == [proxied.through(None, TOKEN, *spoofed), proxied.directly(None, TOKEN, *spoofed)]
    other = proxied.served.mobility_client(networks=(STRANGER,))
    assert [M1, M1] == [ask(other.certificate, TOKEN, *spoofed) for ask in (proxied.through, proxied.directly)]
    behind = proxied.served.connect(source=STRANGER)
    assert M1 == _asked(behind, TOKEN, spoofed)


def test_d5_a_token_is_bound_to_the_certificate_that_the_proxy_saw(proxied: Proxied) -> None:
    client, other = client_of(proxied), client_of(proxied)
    token = token_of(proxied, client)
    shown = f"Authorization: {token}"

    assert [M5, M5] == [
        proxied.through(other.certificate, PING, shown),
        proxied.directly(other.certificate, PING, shown),
    ]
    assert [M5, M5] == [proxied.through(None, PING, shown), proxied.directly(None, PING, shown)]
