"""Real nginx and HAProxy in front: they end TLS, and hand on who calls and what certificate was shown."""

import json
import os
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from aldaba.model.networks import Network
from aldaba.web.exchange import App
from aldaba.web.peer import BadPeer, CertificateHeader, PeerReader
from tests.parts import needs
from tests.web.serving import Served, answer, read_answer, read_body, serving
from tests.web.test_tls import Places, chain_of

# The proxy calls from the first address of loopback, and the clients from others.
PROXY = "127.0.0.1"
CLIENT = "127.0.0.2"

NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_verify_client optional_no_ca;
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
        }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend front
    bind 127.0.0.1:{port} ssl crt {folder}/both.pem ca-file {folder}/ca.pem verify optional {errors}
    option forwardfor
    http-request del-header Client-Cert
    http-request set-header Client-Cert :%[ssl_c_der,base64]: if {{ ssl_c_used }}
    default_backend aldaba
backend aldaba
    server aldaba 127.0.0.1:{backend}
"""
# A proxy that lets certificates through without verifying them.
UNVERIFIED = "ca-ignore-err all crt-ignore-err all"


def who(reader: PeerReader) -> App:
    """Return an application that answers with what it knows of its caller."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        try:
            peer = reader.read(scope)
        except BadPeer as error:
            await answer(send, str(error).encode(), 400)
            return
        shown = None if peer.certificate is None else sha256(peer.certificate).hexdigest()
        said = {"address": str(peer.address), "certificate": shown, "body": len(body), "host": host_of(scope)}
        await answer(send, json.dumps(said).encode())

    return app


def host_of(scope: Any) -> str:
    return str(dict(scope["headers"])[b"host"].decode())


@dataclass
class Proxied:
    """A proxy in front of our listener."""

    port: int
    served: Served
    places: Places

    def call(
        self, *headers: str, certificate: Path | None = None, source: str = CLIENT, body: bytes = b""
    ) -> tuple[int, Any]:
        """Call through the proxy; return the status and what the application knows."""
        plain = socket.create_connection((PROXY, self.port), timeout=10, source_address=(source, 0))
        with self.places.caller(certificate).wrap_socket(plain, server_hostname="localhost") as connection:
            status, said = call(connection, *headers, body=body)
        return status, json.loads(said) if status == 200 else said


def call(connection: socket.socket, *headers: str, body: bytes = b"") -> tuple[int, bytes]:
    lines = ["POST / HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode() + body)
    status, _headers, said = read_answer(connection)
    return status, said


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a proxy until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 10
        while True:
            assert process.poll() is None, log.read_text()
            try:
                socket.create_connection((PROXY, port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((PROXY, 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx(folder: Path, style: CertificateHeader = "nginx") -> Iterator[Proxied]:
    program = needs("nginx")
    places = Places(folder)
    with serving(who(PeerReader([Network.parse(PROXY)], style))) as served:
        port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        settings = NGINX.format(folder=folder, port=port, backend=served.port, user=user)
        (folder / "nginx.conf").write_text(settings)
        with running([str(program), "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder / "log"):
            yield Proxied(port, served, places)


@contextmanager
def haproxy(folder: Path, style: CertificateHeader = "rfc9440", errors: str = "") -> Iterator[Proxied]:
    program = needs("haproxy")
    places = Places(folder)
    places.client_ca.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "both.pem").write_bytes(places.certificate.read_bytes() + places.key.read_bytes())
    with serving(who(PeerReader([Network.parse(PROXY)], style))) as served:
        port = free_port()
        (folder / "haproxy.cfg").write_text(
            HAPROXY.format(folder=folder, port=port, backend=served.port, errors=errors)
        )
        with running([str(program), "-db", "-f", str(folder / "haproxy.cfg")], port, folder / "log"):
            yield Proxied(port, served, places)


PROXIES = {"nginx": nginx, "haproxy": haproxy}


@pytest.fixture(params=PROXIES)
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    with PROXIES[request.param](tmp_path) as proxied:
        yield proxied


def known(file: Path | None, address: str = CLIENT) -> tuple[int, dict[str, Any]]:
    shown = None if file is None else sha256(chain_of(file)[0]).hexdigest()
    return 200, {"address": address, "certificate": shown, "body": 0, "host": "localhost"}


def test_d4_the_certificate_and_the_address_of_the_client_arrive(proxied: Proxied) -> None:
    file = proxied.places.client

    assert known(file) == proxied.call(certificate=file)


def test_without_a_certificate_none_arrives(proxied: Proxied) -> None:
    assert known(None) == proxied.call()


def test_d2_a_spoofed_hop_is_not_believed(proxied: Proxied) -> None:
    assert known(None) == proxied.call("X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: unknown, junk")


def test_d2_another_forwarding_header_of_the_client_contradicts_the_proxy(proxied: Proxied) -> None:
    """Neither of the two takes `Forwarded` away, so it arrives as the client sent it."""
    status, said = proxied.call("Forwarded: for=198.51.100.1")

    assert (400, b"X-Forwarded-For and Forwarded name different callers") == (status, said)


def test_d5_certificates_the_client_writes_into_headers_are_not_believed(proxied: Proxied) -> None:
    der = chain_of(proxied.places.stranger)[0]
    pem = ssl.DER_cert_to_PEM_cert(der)
    spoofed = [f"Client-Cert: :{b64encode(der).decode()}:", f"X-SSL-Client-Cert: {quote(pem, safe='')}"]

    assert known(None) == proxied.call(*spoofed)
    assert known(proxied.places.client) == proxied.call(*spoofed, certificate=proxied.places.client)


def test_a_caller_past_the_proxy_is_not_believed(proxied: Proxied) -> None:
    der = chain_of(proxied.places.stranger)[0]
    headers = ["X-Forwarded-For: 198.51.100.1", f"Client-Cert: :{b64encode(der).decode()}:"]
    address = (PROXY, proxied.served.port)
    with socket.create_connection(address, source_address=(CLIENT, 0)) as connection:
        status, said = call(connection, *headers)

    assert known(None) == (status, json.loads(said))


def test_a_body_arrives_through_the_proxy(proxied: Proxied) -> None:
    assert 50_000 == proxied.call(body=b"x" * 50_000)[1]["body"]


def test_d4_nginx_hands_on_what_it_has_not_verified(tmp_path: Path) -> None:
    """Which is why the application verifies it in full."""
    with nginx(tmp_path) as proxied:
        assert known(proxied.places.stranger) == proxied.call(certificate=proxied.places.stranger)


def test_d4_haproxy_hands_on_what_it_has_not_verified(tmp_path: Path) -> None:
    with haproxy(tmp_path, errors=UNVERIFIED) as proxied:
        assert known(proxied.places.stranger) == proxied.call(certificate=proxied.places.stranger)


def test_d5_the_underscore_spelling_that_haproxy_lets_through_is_refused(tmp_path: Path) -> None:
    with haproxy(tmp_path) as proxied:
        status, said = proxied.call("Client_Cert: :AAAA:")

    assert (400, b"header client_cert instead of client-cert") == (status, said)


def test_the_style_that_is_not_configured_is_ignored(tmp_path: Path) -> None:
    with haproxy(tmp_path, style="nginx") as proxied:
        assert known(None) == proxied.call(certificate=proxied.places.client)
