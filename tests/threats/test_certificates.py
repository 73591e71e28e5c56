"""Client certificates that must open nothing (threats C1 to C15), shown to the port that asks for them."""

import socket
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ObjectIdentifier

from aldaba.core.credentials import add_certificate, revoke_credential
from aldaba.crypto.certificates.authority import Authority, key_usage, self_signed_client
from aldaba.crypto.certificates.issued import Issued, Validity
from aldaba.errors import Impossible
from tests.served import Answer, Connection, MobilityClient, NoAnswer, Served, load_certificate, request
from tests.threats.conftest import REVOKED_SERIAL
from tests.threats.forms import M1, M5, Said, said

TOKEN, PING = "/mobility/v1/token", "/mobility/v1/ping"
HANDSHAKE = "refused in the handshake"


def shown(served: Served, certificate: Issued | None, path: str = TOKEN, **headers: str) -> Said | str:
    """Show a certificate and return what is said, or that the handshake was refused."""
    try:
        with served.connect_tls(certificate) as connection:
            return said(connection.send(request("GET", path, b"", **headers)))
    except (ssl.SSLError, NoAnswer, ConnectionError):
        return HANDSHAKE


def issue(served: Served, client: MobilityClient, **settings: object) -> Issued:
    """Issue a certificate over the registered name and key, so that only what is changed can be refused."""
    return served.authority.client(client.name, key=client.certificate.key, **settings)  # type: ignore[arg-type]


def opens_nothing(served: Served, client: MobilityClient, certificate: Issued | None) -> None:
    """Check that a certificate buys no token and uses none, while the good one still does."""
    token = served.mobility_token(client)

    assert shown(served, certificate) in (M1, HANDSHAKE)
    assert shown(served, certificate, PING, authorization=token) in (M5, HANDSHAKE)
    assert 200 == served.ask_tls(client.certificate, "GET", PING, authorization=token).status


@pytest.fixture(scope="module")
def client(served: Served) -> MobilityClient:
    """Give a registered client."""
    return served.mobility_client()


# -- C1: none, dates --------------------------------------------------------------------------------------------------


def test_c1_without_a_certificate_there_is_no_token(served: Served, client: MobilityClient) -> None:
    assert M1 == shown(served, None)
    opens_nothing(served, client, None)


@pytest.mark.parametrize(
    "start, end",
    [(timedelta(days=-30), timedelta(seconds=-2)), (timedelta(days=1), timedelta(days=30))],
    ids=["expired", "not yet valid"],
)
def test_c1_outside_its_dates_a_certificate_opens_nothing(
    served: Served, client: MobilityClient, start: timedelta, end: timedelta
) -> None:
    now = datetime.now(UTC)

    opens_nothing(served, client, issue(served, client, validity=Validity(now + start, now + end)))


def test_c1_a_certificate_that_expires_on_a_connection_that_lives_opens_nothing_any_more(served: Served) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    name = served.fresh_name("vialtis")
    ends_at = now + timedelta(seconds=2)
    short = served.authority.client(name, validity=Validity(now - timedelta(hours=1), ends_at))
    served.mobility_client(name, certificate=short)
    with served.connect_tls(short) as connection:
        answer = connection.send(request("GET", TOKEN))
        token = answer.json["token"]
        # The second in which it ends belongs to it (RFC 5280, section 4.1.2.5).
        time.sleep(max(0.0, ends_at.timestamp() + 1.01 - time.time()))

        assert M1 == said(connection.send(request("GET", TOKEN)))
        assert M5 == said(connection.send(request("GET", PING, authorization=token)))


# -- C2: what it is for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"extended_key_usage": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"extended_key_usage": None},
        {"extended_key_usage": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"extended_key_usage": (ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION)},
        {"usage": None},
        {"usage": key_usage("key_encipherment")},
        {"usage": key_usage("key_cert_sign", "crl_sign")},
        {"is_ca": True},
    ],
    ids=["server only", "absent", "any", "others", "no key usage", "encipherment", "signs certificates", "a CA"],
)
def test_c2_a_certificate_for_something_else_opens_nothing(
    served: Served, client: MobilityClient, settings: dict[str, object]
) -> None:
    opens_nothing(served, client, issue(served, client, **settings))


# -- C3, C4: whose it is ----------------------------------------------------------------------------------------------


def test_c3_the_same_name_and_key_from_another_ca_opens_nothing(served: Served, client: MobilityClient) -> None:
    other = Authority.create("Authority of somebody else")

    opens_nothing(served, client, other.client(client.name, key=client.certificate.key))


def test_c3_a_ca_of_the_same_name_with_another_key_opens_nothing(served: Served, client: MobilityClient) -> None:
    twin = Authority.create("Authority of the tests")

    opens_nothing(served, client, twin.client(client.name, key=client.certificate.key))


def test_c3_a_self_signed_certificate_opens_nothing(served: Served, client: MobilityClient) -> None:
    opens_nothing(served, client, self_signed_client(client.name, key=client.certificate.key))


def test_c3_a_certificate_signed_by_a_client_opens_nothing(served: Served, client: MobilityClient) -> None:
    as_authority = Authority(client.certificate.certificate, client.certificate.key)

    opens_nothing(served, client, as_authority.client(client.name, key=client.certificate.key))


def test_c3_a_stranger_who_sends_his_own_root_along_opens_nothing(served: Served, client: MobilityClient) -> None:
    other = Authority.create("Authority of somebody else")
    issued = other.client(client.name, key=client.certificate.key)

    opens_nothing(served, client, Issued(issued.certificate, issued.key, (other.certificate,)))


def test_c4_the_same_serial_and_key_identifier_with_another_key_opens_nothing(
    served: Served, client: MobilityClient
) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    good = client.certificate.certificate
    identifier = good.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder(good.issuer, good.subject, other.public_key(), good.serial_number)
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(good.not_valid_after_utc)
    )
    for extension in good.extensions:
        value = identifier if isinstance(extension.value, x509.SubjectKeyIdentifier) else extension.value
        builder = builder.add_extension(value, extension.critical)
    hashed = good.signature_hash_algorithm

    opens_nothing(served, client, Issued(builder.sign(served.authority.key, hashed), other))  # type: ignore[arg-type]


# -- C5, C6: odd ones -------------------------------------------------------------------------------------------------


def test_c5_a_chain_that_is_too_long_opens_nothing_and_costs_little(served: Served, client: MobilityClient) -> None:
    authority = served.authority
    for number in range(5):
        authority = authority.intermediate(f"Intermediate {number}")
    began = time.perf_counter()

    opens_nothing(served, client, authority.client(client.name, key=client.certificate.key))
    assert 2 > time.perf_counter() - began


def test_c5_a_chain_of_two_intermediates_is_good(served: Served, client: MobilityClient) -> None:
    authority = served.authority.intermediate("One").intermediate("Two")

    answer = shown(served, authority.client(client.name, key=client.certificate.key))

    assert 200 == answer[0]


def test_c5_a_certificate_of_more_than_16_kib_opens_nothing(served: Served, client: MobilityClient) -> None:
    names = [x509.DNSName(f"host-{number}.an-example-with-a-long-name.example") for number in range(400)]

    opens_nothing(served, client, issue(served, client, alternative_names=names))


def test_c5_a_chain_that_goes_in_circles_opens_nothing(served: Served, client: MobilityClient) -> None:
    one, two = Authority.create("One"), Authority.create("Two")
    first = one.intermediate("Two", key=two.key)
    second = two.intermediate("One", key=one.key)
    leaf = one.client(client.name, key=client.certificate.key)

    opens_nothing(served, client, Issued(leaf.certificate, leaf.key, (second.certificate, first.certificate)))


UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")


@pytest.mark.parametrize("key", [ec.SECP224R1(), ec.SECP256K1(), 1024], ids=["P-224", "secp256k1", "RSA 1024"])
def test_c6_a_weak_or_unusual_key_opens_nothing(served: Served, key: ec.EllipticCurve | int) -> None:
    name = served.fresh_name("vialtis")
    private = rsa.generate_private_key(65537, key) if isinstance(key, int) else ec.generate_private_key(key)
    weak = served.authority.client(name, key=private)
    client = served.mobility_client(name, certificate=served.authority.client(name))
    context = ssl.create_default_context(cadata=served.authority.pem.decode())
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    load_certificate(context, weak, served.directory)

    with pytest.raises((ssl.SSLError, NoAnswer, AssertionError)), served.connect_tls(context=context) as connection:
        assert 200 == connection.send(request("GET", TOKEN)).status
    assert 200 == served.ask_tls(client.certificate, "GET", TOKEN).status


def test_c6_an_unknown_critical_extension_opens_nothing(served: Served, client: MobilityClient) -> None:
    opens_nothing(served, client, issue(served, client, extra=[(UNKNOWN, True)]))


# -- C7 to C10: revocation lists --------------------------------------------------------------------------------------


class Lists:
    """The revocation list of an installation, which a test replaces as an operator's job does."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._file = served.directory / "ca.crl"

    def replace(self, crl: bytes) -> None:
        """Put another list in place."""
        new = self._file.with_suffix(".new")
        new.write_bytes(crl)
        new.replace(self._file)

    def replace_in_vain(self, crl: bytes) -> None:
        """Put a bad list in place, and wait until it was surely looked at."""
        self.replace(crl)
        time.sleep(1.4)


def becomes(expected: int, connection: Connection) -> Answer:
    """Ask for a token until the status is the expected one: files are looked at every second."""
    until_s = time.monotonic() + 5
    answer = connection.send(request("GET", TOKEN))
    while answer.status != expected and time.monotonic() < until_s:
        time.sleep(0.05)
        answer = connection.send(request("GET", TOKEN))
    assert expected == answer.status
    return answer


def test_c7_c8_c9_lists_are_followed_while_connections_live(listed: Served) -> None:
    authority, lists = listed.authority, Lists(listed)
    client, other = listed.mobility_client(), listed.mobility_client()
    serial = client.certificate.certificate.serial_number
    with listed.connect_tls(client.certificate) as connection:
        token = connection.send(request("GET", TOKEN)).json["token"]

        lists.replace(authority.crl([serial], number=2))
        assert M1 == said(becomes(401, connection))
        assert M5 == said(connection.send(request("GET", PING, authorization=token)))
        assert 200 == listed.ask_tls(other.certificate, "GET", TOKEN).status

        # C8: a list by a twin of the authority is not taken over; the one in force stays.
        lists.replace_in_vain(Authority.create("Authority of the tests").crl([], number=9))
        assert M1 == said(connection.send(request("GET", TOKEN)))

        # C9: past its next update, nobody is let in, and a newer one lets in again.
        past = datetime.now(UTC) - timedelta(minutes=1)
        lists.replace(authority.crl([], number=4, at=past - timedelta(days=1), next_update_at=past))
        with listed.connect_tls(other.certificate) as others:
            assert M1 == said(becomes(401, others))
        assert M1 == said(connection.send(request("GET", TOKEN)))
        lists.replace(authority.crl([], number=5))
        assert 200 == becomes(200, connection).status

        # C7: on hold is as good as revoked.
        lists.replace(authority.crl({serial: x509.ReasonFlags.certificate_hold}, number=6))
        assert M1 == said(becomes(401, connection))


def test_c7_the_same_serial_of_another_issuer_is_not_revoked(listed: Served) -> None:
    second = listed.authority.intermediate("Another issuer")
    name = listed.fresh_name("vialtis")
    issued = second.client(name, serial=REVOKED_SERIAL)
    listed.mobility_client(name, certificate=issued)

    answer = shown(listed, issued)

    assert 200 == answer[0]


def test_c10_a_list_is_in_force_at_the_first_request_after_a_start(listed: Served) -> None:
    revoked = listed.authority.client("vialtis", serial=REVOKED_SERIAL)
    listed.mobility_client("vialtis", certificate=revoked)

    assert M1 == shown(listed, revoked)


# -- C11: addresses inside --------------------------------------------------------------------------------------------


def test_c11_no_address_inside_a_certificate_is_contacted(served: Served, client: MobilityClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.3)
        url = x509.UniformResourceIdentifier(f"http://127.0.0.1:{listening.getsockname()[1]}/it")
        point = x509.DistributionPoint([url], None, None, None)
        access = [
            x509.AccessDescription(oid, url)
            for oid in (AuthorityInformationAccessOID.OCSP, AuthorityInformationAccessOID.CA_ISSUERS)
        ]
        extra = [(x509.CRLDistributionPoints([point]), False), (x509.AuthorityInformationAccess(access), False)]
        answer = shown(served, issue(served, client, extra=extra))

        with pytest.raises(TimeoutError):
            listening.accept()
    assert 200 == answer[0]


# -- C12: names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        lambda name: [name, name],
        lambda name: [name, "another"],
        lambda name: ["another", name],
        lambda _name: [],
        lambda name: [name.upper()],
        lambda name: [f"{name} "],
        lambda name: [f" {name}"],
        lambda name: [f"{name}\0.example"],
        lambda name: [f"{name}\n"],
        lambda name: [f"CN={name}"],
        lambda name: [f"{name},CN=another"],
        lambda name: [name.replace("a", "\u0430")],
        lambda name: [name.replace("l", "\u2160")],
    ],
    ids=["twice", "first", "second", "none", "upper case", "space after", "space before", "NUL", "line", "rendered",
         "comma", "cyrillic", "roman numeral"],
)  # fmt: skip
def test_c12_exactly_one_common_name_counts_and_to_the_letter(
    served: Served, client: MobilityClient, names: Callable[[str], list[str]]
) -> None:
    certificate = served.authority.client(names(client.name), key=client.certificate.key)

    opens_nothing(served, client, certificate)


@pytest.mark.parametrize("name", ["Vialtis, S.A.", "a=b+c", "Señales Móviles", "two  spaces", 'quoted "name"'])
def test_c12_an_odd_name_that_is_registered_is_good(served: Served, name: str) -> None:
    client = served.mobility_client(name)

    answer = served.ask_tls(client.certificate, "GET", TOKEN)

    assert 200 == answer.status
    token = answer.json["token"]
    assert name == served.ask_tls(client.certificate, "GET", PING, authorization=token).json["user"]


# -- C13, C14: registered, bound --------------------------------------------------------------------------------------


def test_c13_another_certificate_of_the_same_ca_and_name_opens_nothing_until_it_is_registered(served: Served) -> None:
    client = served.mobility_client()
    other = served.authority.client(client.name)

    opens_nothing(served, client, other)
    served.operate(lambda registrar: add_certificate(registrar, client.name, other.pem))
    assert 200 == served.ask_tls(other, "GET", TOKEN).status


def test_c13_a_registered_issuer_vouches_for_the_name_and_for_no_other(served: Served) -> None:
    issuer = served.authority.intermediate("The partner's own CA")
    client, other = served.mobility_client(), served.mobility_client()

    served.operate(lambda registrar: add_certificate(registrar, client.name, _pem(issuer), by_issuer=True))

    assert 200 == served.ask_tls(issuer.client(client.name), "GET", TOKEN).status
    assert M1 == shown(served, issuer.client(other.name))
    assert shown(served, Authority.create("The partner's own CA").client(client.name)) in (M1, HANDSHAKE)


def _pem(authority: Authority) -> bytes:
    return Issued(authority.certificate, authority.key).pem


def test_c14_a_token_is_good_only_with_its_certificate_and_from_its_networks(served: Served) -> None:
    client, other = served.mobility_client(networks=("127.0.0.1",)), served.mobility_client()
    token = served.mobility_token(client)

    assert M5 == shown(served, other.certificate, PING, authorization=token)
    assert M5 == shown(served, None, PING, authorization=token)
    assert M5 == said(served.ask("GET", PING, authorization=token))
    with served.connect_tls(client.certificate, source="127.0.0.2") as connection:
        # The sheet has code 1 for an address (mobility, section 8, row 13).
        assert M1 == said(connection.send(request("GET", PING, authorization=token)))


def test_c14_a_token_does_not_pass_to_a_renewed_certificate_over_the_same_key(served: Served) -> None:
    client = served.mobility_client()
    token = served.mobility_token(client)
    renewed = issue(served, client)

    assert 200 == served.ask_tls(renewed, "GET", TOKEN).status
    assert M5 == shown(served, renewed, PING, authorization=token)


# -- C15: while it lives ----------------------------------------------------------------------------------------------


def test_c15_a_certificate_revoked_while_its_connection_lives_is_refused_at_the_next_request(served: Served) -> None:
    client = served.mobility_client()
    with served.connect_tls(client.certificate) as connection:
        token = connection.send(request("GET", TOKEN)).json["token"]
        assert 200 == connection.send(request("GET", PING, authorization=token)).status
        served.operate(lambda registrar: revoke_credential(registrar, client.credential))

        assert M1 == said(connection.send(request("GET", TOKEN)))
        assert M5 == said(connection.send(request("GET", PING, authorization=token)))


@pytest.mark.parametrize(
    "upload",
    [
        lambda issued: issued.key_pem,
        lambda issued: issued.pem + issued.key_pem,
        lambda issued: issued.pem + issued.pem,
        lambda issued: issued.pem + b"trailing",
        lambda _issued: b"<html><script>alert(1)</script></html>",
        lambda _issued: b"",
    ],
    ids=["key", "certificate and key", "bundle", "trailing", "HTML", "nothing"],
)
def test_c15_an_upload_that_is_not_one_certificate_is_refused_with_the_cause(
    served: Served, client: MobilityClient, upload: Callable[[Issued], bytes]
) -> None:
    issued = served.authority.client(client.name)

    with pytest.raises(Impossible) as refused:
        served.operate(lambda registrar: add_certificate(registrar, client.name, upload(issued)))

    assert "PRIVATE" not in str(refused.value)
    written = b"".join(file.read_bytes() for file in served.directory.glob("aldaba.db*"))
    assert issued.key_pem.split(b"\n")[1] not in written


# -- what the operator sees -------------------------------------------------------------------------------------------


def test_c1_a_refused_handshake_is_recorded_with_its_reason(served: Served, client: MobilityClient) -> None:
    now = datetime.now(UTC)
    expired = issue(served, client, validity=Validity(now - timedelta(days=30), now - timedelta(days=1)))

    assert HANDSHAKE == shown(served, expired)

    assert "certificate has expired" in "".join(_handshakes(served, "127.0.0.1"))


def _handshakes(served: Served, address: str) -> Iterator[str]:
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s:
        connection = sqlite3.connect(served.directory / "aldaba.db")
        rows = connection.execute(
            "SELECT detail FROM event WHERE action = 'handshake' AND reason = 'certificate_refused' AND address = ?",
            (address,),
        ).fetchall()
        connection.close()
        if any("expired" in detail for (detail,) in rows):
            yield from (detail for (detail,) in rows)
            return
        time.sleep(0.05)
