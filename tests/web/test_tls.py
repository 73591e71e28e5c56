"""TLS listeners: which certificates get through the handshake, what the application sees of them, and the reload."""

import datetime
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aldaba.errors import Impossible
from aldaba.web.tls import ReloadingContext, Version, mutual_context, server_context
from tests.web.serving import LOOPS, Seen, Served, echo, read_all, read_answer, serving

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Places:
    """A CA for servers, one for clients with an intermediate, and their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server_ca = trustme.CA()
        self.client_ca = trustme.CA()
        self.intermediate = self.client_ca.create_child_ca()
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        self.issue_server()
        self.client = self.save("client", self.intermediate.issue_cert("client@example.com"))
        self.stranger = self.save("stranger", trustme.CA().issue_cert("client@example.com"))

    def issue_server(self) -> bytes:
        """Write a new server certificate; return it in DER."""
        issued = self.server_ca.issue_cert("localhost", "127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        return der(issued.cert_chain_pems[0].bytes())

    def save(self, name: str, issued: trustme.LeafCert) -> Path:
        """Write a client certificate with its key and its chain."""
        file = self.folder / f"{name}.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(file)
        return file

    @property
    def anchors(self) -> list[bytes]:
        return [der(self.client_ca.cert_pem.bytes())]

    def mutual(self, minimum_version: Version = "1.3", anchors: list[bytes] | None = None) -> ReloadingContext:
        trusted = self.anchors if anchors is None else anchors
        return ReloadingContext(
            lambda: mutual_context(self.certificate, self.key, trusted, minimum_version), [self.certificate, self.key]
        )

    def caller(self, certificate: Path | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return the context of a client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.server_ca.configure_trust(context)
        if certificate is not None:
            context.load_cert_chain(certificate)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def chain_of(file: Path) -> list[bytes]:
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=sorted(LOOPS))
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def mutual(places: Places, seen: Seen, loop: str) -> Iterator[Served]:
    with serving(echo(seen), context=places.mutual(), loop=loop) as served:
        yield served


def call(served: Served, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """Send a request over a new TLS connection, read its answer, and return the connection."""
    connection = context.wrap_socket(served.connect(), server_hostname="localhost", session=session)
    connection.sendall(REQUEST)
    assert 200 == read_answer(connection)[0]
    return connection


def assert_refused(served: Served, context: ssl.SSLContext, reason: str) -> None:
    """Check that a handshake fails, and that the operator is told why."""
    said = b""
    # What the caller sees of it (an alert, a reset, an end) is a matter of timing.
    with suppress(OSError), context.wrap_socket(served.connect(), server_hostname="localhost") as connection:
        connection.sendall(REQUEST)
        said = connection.recv(1)
    wait_for(lambda: bool(served.handshakes_refused))

    assert b"" == said
    assert [("127.0.0.1", reason)] == served.handshakes_refused


# --- what the application sees ---


def test_the_application_sees_the_certificate_and_the_chain_without_it(
    places: Places, mutual: Served, seen: Seen
) -> None:
    call(mutual, places.caller(places.client)).close()
    leaf, *chain = chain_of(places.client)

    assert {"certificate": leaf, "chain": tuple(chain), "version": "TLSv1.3"} == seen.scopes[0]["extensions"]["tls"]
    assert "https" == seen.scopes[0]["scheme"]
    assert "127.0.0.1" == seen.scopes[0]["client"][0]


def test_c1_without_a_certificate_the_application_answers(places: Places, mutual: Served, seen: Seen) -> None:
    call(mutual, places.caller()).close()

    assert {"certificate": None, "chain": (), "version": "TLSv1.3"} == seen.scopes[0]["extensions"]["tls"]


def test_all_requests_of_a_connection_carry_the_certificate(places: Places, mutual: Served, seen: Seen) -> None:
    with call(mutual, places.caller(places.client)) as connection:
        connection.sendall(REQUEST)
        read_answer(connection)

    assert seen.scopes[0]["extensions"] == seen.scopes[1]["extensions"]


def test_the_public_listener_asks_for_no_certificate(places: Places, seen: Seen, loop: str) -> None:
    context = ReloadingContext(lambda: server_context(places.certificate, places.key), [])
    with serving(echo(seen), context=context, loop=loop) as served:
        call(served, places.caller(places.client)).close()

    assert None is seen.scopes[0]["extensions"]["tls"]["certificate"]


# --- resumption ---


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
@pytest.mark.parametrize("tickets", [True, False])
def test_c15_the_chain_is_there_on_every_connection_however_hard_a_caller_tries_to_resume(
    places: Places, seen: Seen, loop: str, version: ssl.TLSVersion, tickets: bool
) -> None:
    """A resumed TLS 1.3 session of stateless tickets shows the leaf without its chain, which nobody can verify."""
    caller = places.caller(places.client, version)
    if not tickets:
        caller.options |= ssl.OP_NO_TICKET
    session = None
    resumed = []
    with serving(echo(seen), context=places.mutual("1.2"), loop=loop) as served:
        for _ in range(3):
            connection = call(served, caller, session)
            resumed.append(connection.session_reused)
            session = connection.session
            connection.unwrap().close()
    leaf, *chain = chain_of(places.client)

    shown = [(scope["extensions"]["tls"]["certificate"], scope["extensions"]["tls"]["chain"]) for scope in seen.scopes]
    assert [(leaf, tuple(chain))] * 3 == shown
    # TLS 1.2 resumes by session id, which no option of Python's switches off, and then the server holds the chain.
    assert [False, *[version is ssl.TLSVersion.TLSv1_2] * 2] == resumed


def test_the_public_listener_resumes(places: Places, seen: Seen) -> None:
    caller = places.caller()
    context = ReloadingContext(lambda: server_context(places.certificate, places.key), [])
    with serving(echo(seen), context=context) as served:
        first = call(served, caller)
        second = call(served, caller, first.session)

        assert second.session_reused
        first.close()
        second.close()


# --- refusals in the handshake ---


def test_c3_a_certificate_of_another_authority_is_refused_with_the_reason(places: Places, mutual: Served) -> None:
    assert_refused(mutual, places.caller(places.stranger), "unable to get local issuer certificate")


def test_c1_an_expired_certificate_is_refused_with_the_reason(places: Places, mutual: Served) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired = places.save("expired", places.client_ca.issue_cert("client@example.com", not_after=yesterday))

    assert_refused(mutual, places.caller(expired), "certificate has expired")


def test_c2_a_certificate_for_servers_only_is_refused_with_the_reason(places: Places, mutual: Served) -> None:
    file = self_signed(places.folder / "serving.pem", ExtendedKeyUsageOID.SERVER_AUTH)

    with serving(echo(Seen()), context=places.mutual(anchors=chain_of(file))) as served:
        assert_refused(served, places.caller(file), "unsuitable certificate purpose")


def test_c3_the_authorities_of_the_system_are_never_used(
    places: Places, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    file = places.folder / "system.pem"
    places.client_ca.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(places.folder))
    with serving(echo(Seen()), context=places.mutual(anchors=[]), loop=loop) as served:
        assert_refused(served, places.caller(places.client), "unable to get local issuer certificate")


def test_without_anchors_a_caller_without_a_certificate_gets_through(places: Places, seen: Seen, loop: str) -> None:
    with serving(echo(seen), context=places.mutual(anchors=[]), loop=loop) as served:
        call(served, places.caller()).close()

    assert 1 == len(seen.requests)


def test_an_older_version_is_refused_with_the_reason(places: Places, mutual: Served) -> None:
    caller = places.caller(places.client, ssl.TLSVersion.TLSv1_2)

    assert_refused(mutual, caller, "unsupported protocol")


def test_tls_1_2_is_spoken_by_setting(places: Places, seen: Seen, loop: str) -> None:
    with serving(echo(seen), context=places.mutual("1.2"), loop=loop) as served:
        call(served, places.caller(places.client, ssl.TLSVersion.TLSv1_2)).close()

    assert "TLSv1.2" == seen.scopes[0]["extensions"]["tls"]["version"]


def test_a16_plain_http_on_the_tls_port_is_closed(mutual: Served, seen: Seen) -> None:
    with mutual.connect() as connection:
        connection.sendall(REQUEST)
        try:
            said = read_all(connection)
        except ConnectionResetError:
            said = b""

    assert b"HTTP" not in said
    assert [] == seen.requests


def test_a8_a_handshake_that_does_not_go_on_is_closed(mutual: Served) -> None:
    with mutual.connect() as connection:
        connection.sendall(b"\x16\x03\x01")
        try:
            said = read_all(connection)
        except ConnectionResetError:
            said = b""

    assert b"" == said
    assert [] == mutual.handshakes_refused


# --- anchors ---


def self_signed(file: Path, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH) -> Path:
    """Write a certificate that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    return file


def test_a_registered_self_signed_certificate_is_its_own_anchor(places: Places, seen: Seen, loop: str) -> None:
    file = self_signed(places.folder / "self.pem")
    with serving(echo(seen), context=places.mutual(anchors=chain_of(file)), loop=loop) as served:
        call(served, places.caller(file)).close()

    assert chain_of(file)[0] == seen.scopes[0]["extensions"]["tls"]["certificate"]


def test_a_registered_certificate_is_an_anchor_whoever_issued_it(places: Places, seen: Seen, loop: str) -> None:
    leaf = chain_of(places.stranger)[0]
    with serving(echo(seen), context=places.mutual(anchors=[leaf]), loop=loop) as served:
        call(served, places.caller(places.stranger)).close()

    assert leaf == seen.scopes[0]["extensions"]["tls"]["certificate"]


def test_the_same_anchor_twice_is_one(places: Places) -> None:
    context = mutual_context(places.certificate, places.key, places.anchors * 2)

    assert 1 == len(context.get_ca_certs())


@pytest.mark.parametrize("anchor", [b"junk", b"\x30\x03\x02\x01\x07"])
def test_an_anchor_that_is_no_certificate_is_said_so(places: Places, anchor: bytes) -> None:
    with pytest.raises(Impossible, match="an anchor is no certificate"):
        mutual_context(places.certificate, places.key, [anchor])


# --- files ---


def test_a_missing_file_is_named(places: Places) -> None:
    with pytest.raises(Impossible, match=r"missing\.pem cannot be read: No such file"):
        server_context(places.folder / "missing.pem", places.key)


def test_a_key_of_another_certificate_is_said_so(places: Places, tmp_path: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(tmp_path / "other.key")

    with pytest.raises(Impossible, match="no certificate and its key"):
        server_context(places.certificate, tmp_path / "other.key")


def test_an_encrypted_key_is_refused_instead_of_asked_for(places: Places, tmp_path: Path) -> None:
    key = load_pem_private_key(places.key.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "encrypted.key").write_bytes(encrypted)

    with pytest.raises(Impossible, match="encrypted"):
        server_context(places.certificate, tmp_path / "encrypted.key")


# --- reload ---


def served_certificate(served: Served, places: Places) -> bytes:
    with call(served, places.caller()) as connection:
        shown = connection.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def test_a_new_certificate_is_used_without_a_restart(tmp_path: Path, loop: str) -> None:
    places = Places(tmp_path)
    with serving(echo(Seen()), context=places.mutual(), loop=loop) as served:
        before = served_certificate(served, places)
        with call(served, places.caller()) as older:
            issued = places.issue_server()
            wait_for(lambda: served_certificate(served, places) == issued)
            older.sendall(REQUEST)

            assert 200 == read_answer(older)[0]
    assert before != issued


def test_a_broken_certificate_leaves_the_old_one_in_force(tmp_path: Path, loop: str) -> None:
    places = Places(tmp_path)
    context = places.mutual()
    before = context.current
    places.certificate.write_text("-----BEGIN CERTIFICATE-----\njunk\n")

    assert not context.follow()
    assert before is context.current


def test_a_certificate_without_its_key_waits_for_it(tmp_path: Path) -> None:
    places = Places(tmp_path)
    context = places.mutual()
    before = context.current
    issued = places.server_ca.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(places.certificate)

    assert not context.follow()
    assert before is context.current
    issued.private_key_pem.write_to_path(places.key)
    assert context.follow()
    assert before is not context.current


def test_a_file_that_is_gone_leaves_the_old_context_in_force(tmp_path: Path) -> None:
    places = Places(tmp_path)
    context = places.mutual()
    before = context.current
    places.key.unlink()

    assert not context.follow()
    assert before is context.current


def test_files_that_have_not_changed_are_not_read_again(tmp_path: Path) -> None:
    places = Places(tmp_path)
    context = places.mutual()

    assert not context.follow()


def test_an_anchor_that_was_removed_is_no_longer_one(places: Places, seen: Seen, loop: str) -> None:
    anchors = places.anchors
    context = ReloadingContext(lambda: mutual_context(places.certificate, places.key, anchors), [])
    with serving(echo(seen), context=context, loop=loop) as served:
        call(served, places.caller(places.client)).close()
        anchors.clear()
        context.reload()
        assert_refused(served, places.caller(places.client), "unable to get local issuer certificate")


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until, "it has not happened"
        time.sleep(0.01)


# --- answers over TLS ---


def test_a7_a_refusal_reaches_a_caller_who_is_still_sending(places: Places, loop: str) -> None:
    async def app(_scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    with (
        serving(app, context=places.mutual(), loop=loop) as served,
        places.caller().wrap_socket(served.connect(), server_hostname="localhost") as connection,
    ):
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)

        assert 413 == read_answer(connection)[0]


def test_a_large_answer_arrives_whole(places: Places, loop: str) -> None:
    async def app(_scope: Any, _receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 5_000_000})

    with (
        serving(app, context=places.mutual(), loop=loop) as served,
        places.caller().wrap_socket(
            served.connect(), server_hostname="localhost", suppress_ragged_eofs=False
        ) as connection,
    ):
        connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        head, _, body = read_all(connection).partition(b"\r\n\r\n")

    assert 5_000_000 == len(body)
    assert b"connection: close" in head
