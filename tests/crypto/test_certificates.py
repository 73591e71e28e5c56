"""Client certificates, threats section 4: who vouches for it, when, for what use and under which name."""

import base64
import hashlib
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto.certificates import (
    Authority,
    Cause,
    CertificateRefused,
    Issued,
    Policy,
    Validity,
    VerifiedCertificate,
    Verifier,
    check_anchor,
    common_name,
    key_sha256,
    key_usage,
    parse_anchors,
    self_signed_client,
)
from tests.crypto.made_certificates import named, replaced

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STRICT = Policy()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("Test root", at=NOW)


@pytest.fixture(scope="module")
def verifier(authority: Authority) -> Verifier:
    return Verifier([authority.certificate], policy=STRICT)


def cause_of(verifier: Verifier, issued: Issued, at: datetime = NOW) -> Cause:
    with pytest.raises(CertificateRefused) as refused:
        verifier.verify(issued.der, issued.chain_der, at)
    return refused.value.cause


def test_a_good_certificate_is_verified_with_everything_that_is_compared_later(
    authority: Authority, verifier: Verifier
) -> None:
    issued = authority.client("acme", at=NOW, serial=4711)

    verified = verifier.verify(issued.der, [], NOW)

    spki = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = VerifiedCertificate(
        common_name="acme",
        key_sha256=hashlib.sha256(spki).digest(),
        issuer_key_sha256=key_sha256(authority.certificate),
        thumbprint=hashlib.sha256(issued.der).digest(),
        serial=4711,
        not_before_at=NOW - timedelta(minutes=5),
        not_after_at=NOW + timedelta(days=365),
        subject="CN=acme",
        issuer="CN=Test root",
        anchor_thumbprint=hashlib.sha256(authority.certificate.public_bytes(Encoding.DER)).digest(),
        chain_not_before_at=NOW - timedelta(minutes=5),
        chain_not_after_at=NOW + timedelta(days=365),
        revocable=((key_sha256(authority.certificate), 4711),),
    )
    assert expected == verified


def test_the_thumbprint_is_spelt_as_the_confirmation_claim_of_rfc_8705_wants_it(
    authority: Authority, verifier: Verifier
) -> None:
    issued = authority.client("acme", at=NOW)

    verified = verifier.verify(issued.der, [], NOW)

    assert base64.urlsafe_b64encode(hashlib.sha256(issued.der).digest()).decode().rstrip("=") == verified.x5t_s256


@pytest.mark.parametrize("make", [ed25519.Ed25519PrivateKey.generate, ed448.Ed448PrivateKey.generate])
def test_edwards_curve_keys_of_clients_are_accepted(
    authority: Authority, verifier: Verifier, make: Callable[[], ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey]
) -> None:
    issued = authority.client("acme", at=NOW, key=make())

    assert "acme" == verifier.verify(issued.der, [], NOW).common_name


def key_identifier(issued: Issued) -> bytes:
    return issued.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


# Dates: row C1.


@pytest.mark.parametrize(
    "at, cause",
    [
        (NOW - timedelta(microseconds=1), Cause.NOT_YET_VALID),
        (NOW, None),
        (NOW + timedelta(hours=1), None),
        (NOW + timedelta(hours=1, microseconds=999_999), None),
        (NOW + timedelta(hours=1, seconds=1), Cause.EXPIRED),
    ],
)
def test_c1_a_certificate_is_valid_through_the_very_second_of_not_after(
    authority: Authority, verifier: Verifier, at: datetime, cause: Cause | None
) -> None:
    issued = authority.client("acme", validity=Validity(NOW, NOW + timedelta(hours=1)))

    if cause is None:
        assert "acme" == verifier.verify(issued.der, [], at).common_name
    else:
        assert cause == cause_of(verifier, issued, at)


def test_c1_a_certificate_without_end_is_accepted() -> None:
    """Year 9999 means "no well-defined expiration" (RFC 5280, 4.1.2.5); a second later does not exist."""
    forever = Validity(NOW, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    authority = Authority.create("Test root", validity=forever)
    issued = authority.client("acme", validity=forever)

    assert "acme" == Verifier([authority.certificate], policy=STRICT).verify(issued.der, [], NOW).common_name


@pytest.mark.parametrize(
    "validity, cause",
    [
        (Validity(NOW - timedelta(days=9), NOW - SECOND), Cause.EXPIRED),
        (Validity(NOW + SECOND, NOW + timedelta(days=9)), Cause.NOT_YET_VALID),
    ],
)
def test_c1_an_issuer_out_of_its_dates_refuses_and_is_named_as_the_cause(
    authority: Authority, verifier: Verifier, validity: Validity, cause: Cause
) -> None:
    issued = authority.intermediate("Out of date", validity=validity).client("acme", at=NOW)

    assert cause == cause_of(verifier, issued)


def test_c1_an_anchor_out_of_its_dates_refuses_and_is_named_as_the_cause(authority: Authority) -> None:
    old = Authority.create("Old root", validity=Validity(NOW - timedelta(days=9), NOW - SECOND))

    assert Cause.EXPIRED == cause_of(Verifier([old.certificate], policy=STRICT), old.client("acme", at=NOW))


def test_c1_dates_are_checked_again_without_building_the_chain_again(authority: Authority, verifier: Verifier) -> None:
    issuing = authority.intermediate("Issuing", validity=Validity(NOW, NOW + timedelta(hours=1)))
    issued = issuing.client("acme", at=NOW, validity=Validity(NOW, NOW + timedelta(days=1)))
    verified = verifier.verify_chain(issued.der, issued.chain_der, NOW)

    assert verified is verifier.check_now(verified, NOW + timedelta(minutes=59))
    with pytest.raises(CertificateRefused) as early:
        verifier.check_now(verified, NOW - SECOND)
    with pytest.raises(CertificateRefused) as late:
        verifier.check_now(verified, NOW + timedelta(hours=2))
    assert [Cause.NOT_YET_VALID, Cause.EXPIRED] == [early.value.cause, late.value.cause]


# Usage: row C2.

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


@pytest.mark.parametrize("purposes", [None, [SERVER_AUTH], [ANY_USAGE], [SERVER_AUTH, ANY_USAGE]])
def test_c2_without_client_auth_is_refused(
    authority: Authority, verifier: Verifier, purposes: list[x509.ObjectIdentifier] | None
) -> None:
    assert Cause.USAGE == cause_of(verifier, authority.client("acme", at=NOW, extended_key_usage=purposes))


@pytest.mark.parametrize(
    "policy, purposes, accepted",
    [
        (Policy(accept_absent_extended_key_usage=True), None, True),
        (Policy(accept_absent_extended_key_usage=True), [ANY_USAGE], False),
        (Policy(accept_absent_extended_key_usage=True), [SERVER_AUTH], False),
        (Policy(accept_any_extended_key_usage=True), [ANY_USAGE], True),
        (Policy(accept_any_extended_key_usage=True), None, False),
        (Policy(accept_any_extended_key_usage=True), [SERVER_AUTH], False),
        (STRICT, [SERVER_AUTH, CLIENT_AUTH], True),
    ],
)
def test_c2_each_switch_accepts_what_it_names_and_no_more(
    authority: Authority, policy: Policy, purposes: list[x509.ObjectIdentifier] | None, *, accepted: bool
) -> None:
    issued = authority.client("acme", at=NOW, extended_key_usage=purposes)
    verifier = Verifier([authority.certificate], policy=policy)

    if accepted:
        assert "acme" == verifier.verify(issued.der, [], NOW).common_name
    else:
        assert Cause.USAGE == cause_of(verifier, issued)


@pytest.mark.parametrize("usage", [None, key_usage("key_encipherment"), key_usage("key_agreement")])
def test_c2_without_digital_signature_is_refused(
    authority: Authority, verifier: Verifier, usage: x509.KeyUsage | None
) -> None:
    assert Cause.USAGE == cause_of(verifier, authority.client("acme", at=NOW, usage=usage))


def test_c2_an_absent_key_usage_is_accepted_by_its_switch_only(authority: Authority) -> None:
    verifier = Verifier([authority.certificate], policy=Policy(accept_absent_key_usage=True))
    without = authority.client("acme", at=NOW, usage=None)
    other = authority.client("acme", at=NOW, usage=key_usage("key_encipherment"))

    assert "acme" == verifier.verify(without.der, [], NOW).common_name
    assert Cause.USAGE == cause_of(verifier, other)


@pytest.mark.parametrize(
    "changes",
    [{"is_ca": True}, {"is_ca": True, "usage": None}, {"usage": key_usage("digital_signature", "key_cert_sign")}],
)
def test_c2_a_ca_certificate_is_not_a_clients(authority: Authority, changes: dict[str, bool]) -> None:
    lenient = Policy(accept_absent_key_usage=True, accept_absent_extended_key_usage=True)
    issued = authority.client("acme", at=NOW, **changes)  # type: ignore[arg-type]  # one table for two types

    assert Cause.CA_CERTIFICATE == cause_of(Verifier([authority.certificate], policy=lenient), issued)


def test_c2_the_anchor_itself_is_not_a_clients(authority: Authority) -> None:
    lenient = Policy(accept_absent_key_usage=True, accept_absent_extended_key_usage=True)

    assert Cause.CA_CERTIFICATE == cause_of(Verifier([authority.certificate], policy=lenient), authority)


# Whose signature: rows C3, C4, C11.


def test_c3_another_ca_is_refused(verifier: Verifier) -> None:
    stranger = Authority.create("Stranger", at=NOW)

    assert Cause.UNTRUSTED == cause_of(verifier, stranger.client("acme", at=NOW))


def test_c3_the_same_names_under_another_key_are_refused(authority: Authority, verifier: Verifier) -> None:
    impostor = Authority.create("Test root", at=NOW)

    assert authority.certificate.subject == impostor.certificate.subject
    assert Cause.UNTRUSTED == cause_of(verifier, impostor.client("acme", at=NOW))


def test_c3_sending_its_own_root_along_does_not_help_a_stranger(verifier: Verifier) -> None:
    impostor = Authority.create("Test root", at=NOW)
    issued = replace(impostor.client("acme", at=NOW), intermediates=(impostor.certificate,))

    assert Cause.UNTRUSTED == cause_of(verifier, issued)


def test_c3_the_trust_store_of_the_system_is_never_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verifier: Verifier
) -> None:
    public = Authority.create("Public CA", at=NOW)
    (tmp_path / "cert.pem").write_bytes(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    assert Cause.UNTRUSTED == cause_of(verifier, public.client("acme", at=NOW))


def test_c3_without_anchors_everything_is_refused(authority: Authority) -> None:
    assert Cause.UNTRUSTED == cause_of(Verifier([], policy=STRICT), authority.client("acme", at=NOW))


def test_c3_a_self_signed_certificate_is_refused_unless_it_is_registered(authority: Authority) -> None:
    issued = self_signed_client("acme", at=NOW)
    without = Verifier([authority.certificate], policy=STRICT)
    with_it = Verifier([authority.certificate, issued.certificate], policy=Policy(crl_required=True))

    assert Cause.UNTRUSTED == cause_of(without, issued)
    verified = with_it.verify(issued.der, [], NOW)
    assert verified.key_sha256 == verified.issuer_key_sha256


def test_c3_a_registered_self_signed_certificate_vouches_for_itself_alone() -> None:
    registered = self_signed_client("acme", at=NOW)
    verifier = Verifier([registered.certificate], policy=STRICT)
    renamed = self_signed_client("other", at=NOW, key=registered.key)
    under_it = Authority(registered.certificate, registered.key).client("acme", at=NOW)

    assert Cause.UNTRUSTED == cause_of(verifier, renamed)
    assert Cause.UNTRUSTED == cause_of(verifier, under_it)


def test_c3_a_certificate_signed_by_another_client_is_refused(authority: Authority, verifier: Verifier) -> None:
    client = authority.client("acme", at=NOW, usage=key_usage("digital_signature"))
    forged = Authority(client.certificate, client.key).client("other", at=NOW)

    assert (client.certificate,) == forged.intermediates
    assert Cause.UNTRUSTED == cause_of(verifier, forged)


def test_c3_an_anchor_that_neither_is_a_ca_nor_signed_itself_is_refused(authority: Authority) -> None:
    """It used to be that any certificate in the store is a chain of its own, which no list of its CA can revoke."""
    issued = authority.client("acme", at=NOW)

    assert Cause.UNTRUSTED == cause_of(Verifier([issued.certificate], policy=STRICT), issued)
    assert Cause.UNTRUSTED == cause_of(Verifier([issued.certificate, authority.certificate], policy=STRICT), issued)


def test_c4_same_serial_names_and_key_identifier_with_another_key_is_told_apart_by_the_key(
    authority: Authority, verifier: Verifier
) -> None:
    registered = authority.client("acme", at=NOW, serial=4711)
    other = authority.client("acme", at=NOW, serial=4711)
    copy = replaced(other, authority, key_identifier(other), key_identifier(registered))

    first = verifier.verify(registered.der, [], NOW)
    second = verifier.verify(copy, [], NOW)

    assert first.serial == second.serial
    assert first.key_sha256 != second.key_sha256
    assert first.thumbprint != second.thumbprint


def test_c4_a_registered_self_signed_certificate_is_not_mistaken_for_one_with_its_serial_and_names() -> None:
    registered = self_signed_client("acme", at=NOW)
    impostor = self_signed_client("acme", at=NOW)

    assert Cause.UNTRUSTED == cause_of(Verifier([registered.certificate], policy=STRICT), impostor)


def test_a_chain_rests_no_longer_on_an_anchor_that_was_taken_out(authority: Authority, verifier: Verifier) -> None:
    issued = authority.client("acme", at=NOW)
    verified = verifier.verify(issued.der, [], NOW)
    other = Verifier([Authority.create("Another", at=NOW).certificate], policy=STRICT)

    with pytest.raises(CertificateRefused) as refused:
        other.check_now(verified, NOW)
    assert Cause.UNTRUSTED == refused.value.cause


def test_c11_no_address_inside_a_certificate_is_contacted(authority: Authority, verifier: Verifier) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = x509.UniformResourceIdentifier(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        points = [x509.DistributionPoint([url], None, None, None)]
        extra = [
            (x509.CRLDistributionPoints(points), False),
            (x509.FreshestCRL(points), False),
            (
                x509.AuthorityInformationAccess(
                    [
                        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, url),
                        x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url),
                    ]
                ),
                False,
            ),
        ]
        found = authority.client("acme", at=NOW, extra=extra)
        # Its issuer is missing, and the certificate says where it could be had.
        lost = replace(authority.intermediate("Issuing", at=NOW).client("acme", at=NOW, extra=extra), intermediates=())

        assert "acme" == verifier.verify(found.der, [], NOW).common_name
        assert Cause.UNTRUSTED == cause_of(verifier, lost)
        with pytest.raises(BlockingIOError):
            listener.accept()


# Names: rows C12, C13.


@pytest.mark.parametrize(
    "name", ["acme", "Acme, S.A.", "acme,O=Other", 'a"b+c=d\\', "  acme", "ACME", "\u0430cme", "José Peña", "x" * 64]
)
def test_c12_the_common_name_is_the_decoded_text_to_the_letter(
    authority: Authority, verifier: Verifier, name: str
) -> None:
    assert name == verifier.verify(authority.client(name, at=NOW).der, [], NOW).common_name


@pytest.mark.parametrize("kind", [_ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.BMPString])
def test_c12_the_same_text_in_another_encoding_is_the_same_name(kind: _ASN1Type) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme", kind)])

    assert "acme" == common_name(named(name))


@pytest.mark.parametrize(
    "name", ["a\0b", "acme\n", "\x7f", "a\x1b[0m", "a\u202eb", "a\u200bb", "a\u2028b", "\ufeffacme", "   ", "\u00a0"]
)
def test_c12_a_name_that_is_blank_or_has_control_characters_is_refused(
    authority: Authority, verifier: Verifier, name: str
) -> None:
    assert Cause.COMMON_NAME == cause_of(verifier, authority.client(name, at=NOW))


@pytest.mark.parametrize("names", [[], ["acme", "other"], ["acme", "acme"]])
def test_c12_exactly_one_common_name_is_needed(authority: Authority, verifier: Verifier, names: list[str]) -> None:
    assert Cause.COMMON_NAME == cause_of(verifier, authority.client(names, at=NOW))


# The library warns when such a name is made or read; what counts is what comes out where warnings are only warnings.
@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("name", ["", "x" * 65])
def test_c12_an_empty_or_overlong_name_is_refused(name: str) -> None:
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)

    with pytest.raises(CertificateRefused) as refused:
        common_name(named(x509.Name([attribute])))
    assert Cause.COMMON_NAME == refused.value.cause


def test_c12_an_alternative_name_is_not_a_common_name(authority: Authority, verifier: Verifier) -> None:
    alternative = [x509.DNSName("acme.example"), x509.RFC822Name("acme@example.com")]
    issued = authority.client([], at=NOW, alternative_names=alternative)

    assert Cause.COMMON_NAME == cause_of(verifier, issued)


def test_c12_an_alternative_name_does_not_change_the_common_name(authority: Authority, verifier: Verifier) -> None:
    issued = authority.client("acme", at=NOW, alternative_names=[x509.DNSName("other.example")])

    assert "acme" == verifier.verify(issued.der, [], NOW).common_name


@given(name=st.text(min_size=1, max_size=16))
@settings(max_examples=300, deadline=None)
def test_c12_any_text_is_either_the_name_exactly_or_refused(name: str) -> None:
    certificate = named(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _ASN1Type.UTF8String)]))

    try:
        seen = common_name(certificate)
    except CertificateRefused:
        assert not name.isprintable() or not name.strip()
    else:
        assert name == seen


def test_c13_another_certificate_of_the_same_ca_and_name_has_another_key(
    authority: Authority, verifier: Verifier
) -> None:
    """C14 rests on the same values: a token bound to one of them does not fit the other."""
    first = verifier.verify(authority.client("acme", at=NOW).der, [], NOW)
    second = verifier.verify(authority.client("acme", at=NOW).der, [], NOW)

    assert (first.common_name, first.issuer_key_sha256) == (second.common_name, second.issuer_key_sha256)
    assert first.key_sha256 != second.key_sha256
    assert first.x5t_s256 != second.x5t_s256


def test_c13_the_issuer_is_the_key_that_signed_it_and_not_the_anchor_above(
    authority: Authority, verifier: Verifier
) -> None:
    issuing = authority.intermediate("Issuing", at=NOW)
    issued = issuing.client("acme", at=NOW)

    verified = verifier.verify(issued.der, issued.chain_der, NOW)

    assert key_sha256(issuing.certificate) == verified.issuer_key_sha256


def test_what_is_shown_of_a_name_cannot_break_a_line() -> None:
    authority = Authority.create("Bad\nroot", at=NOW)
    issued = authority.client("acme", at=NOW)

    assert "CN=Bad\ufffdroot" == Verifier([authority.certificate], policy=STRICT).verify(issued.der, [], NOW).issuer


# Anchors: registering them.


def test_an_anchor_that_could_vouch_for_somebody_passes(authority: Authority) -> None:
    own = self_signed_client("acme", at=NOW).certificate

    assert [authority.certificate, own] == [check_anchor(authority.certificate), check_anchor(own)]


def test_an_anchor_that_could_never_vouch_is_refused_when_it_is_registered(authority: Authority) -> None:
    client = authority.client("acme", at=NOW).certificate
    edwards = Authority.create("Edwards", at=NOW, key=ed25519.Ed25519PrivateKey.generate()).certificate
    weak = Authority.create("Weak", at=NOW, key=ec.generate_private_key(ec.SECP224R1())).certificate

    causes = []
    for certificate in (client, edwards, weak):
        with pytest.raises(CertificateRefused) as refused:
            check_anchor(certificate)
        causes.append(refused.value.cause)
    assert [Cause.UNTRUSTED, Cause.WEAK_KEY, Cause.WEAK_KEY] == causes


def test_a_file_of_anchors_is_read_in_full_and_the_bad_one_is_named(authority: Authority) -> None:
    other = Authority.create("Other", at=NOW)
    client = authority.client("acme", at=NOW)

    assert [authority.certificate, other.certificate] == parse_anchors(authority.pem + b"\n" + other.pem)
    with pytest.raises(CertificateRefused, match="certificate 2 of the file: neither a CA"):
        parse_anchors(authority.pem + client.pem + other.pem)


@pytest.mark.parametrize("data", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"])
def test_a_file_without_anchors_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateRefused) as refused:
        parse_anchors(data)
    assert Cause.UNPARSABLE == refused.value.cause


def test_an_anchor_with_a_part_that_cannot_be_read_is_refused_before_any_request(authority: Authority) -> None:
    issued = authority.client("acme", at=NOW, usage=key_usage("digital_signature", "key_cert_sign"), is_ca=True)
    unreadable = replaced(issued, authority, b"\x0c\x04acme", b"\x0c\x04\xff\xff\xff\xff")

    with pytest.raises(CertificateRefused) as refused:
        Verifier([x509.load_der_x509_certificate(unreadable)], policy=STRICT)
    assert Cause.UNPARSABLE == refused.value.cause
