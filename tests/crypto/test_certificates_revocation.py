"""Revocation lists, threats C7 to C10 and C15: what is imported, what it refuses, and from when on."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto.certificates import (
    Authority,
    Cause,
    CertificateRefused,
    Crl,
    Issued,
    Policy,
    StaleCrl,
    Verifier,
    key_sha256,
    load_crl,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NEXT_UPDATE = NOW + timedelta(days=7)
AUTHORITY = Authority.create("Test root", at=NOW)
OTHER = Authority.create("Other root", at=NOW)
CLIENT = AUTHORITY.client("acme", at=NOW, serial=4711)
SIGNED_LIST = AUTHORITY.crl({4711: x509.ReasonFlags.key_compromise, 4712: None}, number=2, at=NOW)
EMPTY = load_crl(AUTHORITY.crl([], number=1, at=NOW), AUTHORITY.certificate)


def crl_of(authority: Authority, *revoked: int, number: int = 1) -> Crl:
    return load_crl(authority.crl(revoked, number=number, at=NOW), authority.certificate)


def verifier(*crls: Crl, policy: Policy | None = None) -> Verifier:
    return Verifier([AUTHORITY.certificate, OTHER.certificate], crls, policy=policy or Policy())


def cause_of(verifier: Verifier, issued: Issued = CLIENT, at: datetime = NOW) -> Cause:
    with pytest.raises(CertificateRefused) as refused:
        verifier.verify(issued.der, issued.chain_der, at)
    return refused.value.cause


def import_refused(data: bytes, held: Crl | None = None, issuer: x509.Certificate = AUTHORITY.certificate) -> Cause:
    with pytest.raises(CertificateRefused) as refused:
        load_crl(data, issuer, held)
    return refused.value.cause


# What a list refuses: row C7.


def test_a_list_says_whose_it_is_and_until_when() -> None:
    crl = load_crl(AUTHORITY.crl([4711], number=9, at=NOW), AUTHORITY.certificate)

    expected = Crl(
        issuer_key_sha256=key_sha256(AUTHORITY.certificate),
        number=9,
        this_update_at=NOW,
        next_update_at=NEXT_UPDATE,
        revoked=frozenset({4711}),
    )
    assert expected == crl


def test_a_list_is_read_from_pem_as_well() -> None:
    der = AUTHORITY.crl([4711], number=1, at=NOW)
    pem = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)

    assert load_crl(der, AUTHORITY.certificate) == load_crl(pem, AUTHORITY.certificate)


@pytest.mark.parametrize("reason", [None, *x509.ReasonFlags])
def test_c7_a_certificate_on_the_list_is_refused_for_whatever_reason_and_on_hold(
    reason: x509.ReasonFlags | None,
) -> None:
    if reason is x509.ReasonFlags.unspecified:
        reason = None  # written as no reason at all (RFC 5280, section 5.3.1)
    crl = load_crl(AUTHORITY.crl({4711: reason}, number=1, at=NOW), AUTHORITY.certificate)

    assert Cause.REVOKED == cause_of(verifier(crl))


def test_c7_a_certificate_that_is_not_on_the_list_is_accepted() -> None:
    assert "acme" == verifier(crl_of(AUTHORITY, 4712)).verify(CLIENT.der, [], NOW).common_name


def test_c7_the_same_serial_revoked_under_another_issuer_is_accepted() -> None:
    assert "acme" == verifier(EMPTY, crl_of(OTHER, 4711)).verify(CLIENT.der, [], NOW).common_name


def test_c7_an_issuer_is_its_key_and_not_its_name() -> None:
    namesake = Authority.create("Test root", at=NOW)

    assert "acme" == verifier(crl_of(namesake, 4711)).verify(CLIENT.der, [], NOW).common_name


def test_c7_a_revoked_intermediate_refuses_all_it_issued() -> None:
    issuing = AUTHORITY.intermediate("Issuing", at=NOW)
    issued = issuing.client("acme", at=NOW)

    assert Cause.REVOKED == cause_of(verifier(crl_of(AUTHORITY, issuing.certificate.serial_number)), issued)


def test_of_two_lists_of_one_issuer_the_newer_counts() -> None:
    older, newer = crl_of(AUTHORITY, number=1), crl_of(AUTHORITY, 4711, number=2)

    assert Cause.REVOKED == cause_of(verifier(older, newer))
    assert Cause.REVOKED == cause_of(verifier(newer, older))


# What is imported: row C8.


def test_c8_a_list_signed_by_another_key_is_refused() -> None:
    namesake = Authority.create("Test root", at=NOW)

    assert Cause.CRL_BADLY_SIGNED == import_refused(namesake.crl([], number=2, at=NOW), EMPTY)


def test_c8_a_changed_list_is_refused() -> None:
    der = AUTHORITY.crl([0x471147114711], number=2, at=NOW)
    changed = der.replace(bytes.fromhex("471147114711"), bytes.fromhex("471147114712"))

    assert der != changed
    assert Cause.CRL_BADLY_SIGNED == import_refused(changed, EMPTY)


def test_c8_a_list_of_another_issuer_is_refused() -> None:
    assert Cause.CRL_OTHER_ISSUER == import_refused(OTHER.crl([], number=2, at=NOW), EMPTY)


def test_c8_a_list_of_an_issuer_that_may_not_sign_lists_is_refused() -> None:
    client = Authority(CLIENT.certificate, CLIENT.key)

    assert Cause.CRL_OTHER_ISSUER == import_refused(client.crl([], number=2, at=NOW), issuer=CLIENT.certificate)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_c8_a_list_that_is_not_newer_than_the_one_held_is_refused(number: int) -> None:
    held = crl_of(AUTHORITY, number=2)

    assert Cause.CRL_NOT_NEWER == import_refused(AUTHORITY.crl([4711], number=number, at=NOW), held)
    assert 3 == load_crl(AUTHORITY.crl([], number=3, at=NOW), AUTHORITY.certificate, held).number


def test_c8_a_delta_list_is_refused() -> None:
    delta = AUTHORITY.crl([], number=2, at=NOW, extra=[(x509.DeltaCRLIndicator(1), True)])

    assert Cause.CRL_DELTA == import_refused(delta, EMPTY)


def test_c8_a_list_for_one_distribution_point_only_is_refused() -> None:
    point = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier("http://ca.example/1.crl")],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )

    assert Cause.CRL_PARTIAL == import_refused(AUTHORITY.crl([], number=2, at=NOW, extra=[(point, True)]), EMPTY)


def test_c8_an_unknown_critical_extension_of_a_list_refuses_it() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00")

    assert Cause.CRL_UNPARSABLE == import_refused(AUTHORITY.crl([], number=2, at=NOW, extra=[(unknown, True)]), EMPTY)
    assert 2 == load_crl(AUTHORITY.crl([], number=2, at=NOW, extra=[(unknown, False)]), AUTHORITY.certificate).number


def test_c8_an_entry_about_another_issuer_refuses_the_list() -> None:
    other = x509.CertificateIssuer([x509.DirectoryName(OTHER.certificate.subject)])
    entry = x509.RevokedCertificateBuilder().serial_number(4711).revocation_date(NOW).add_extension(other, True).build()
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=[entry])
        .issuer_name(AUTHORITY.certificate.subject)
        .last_update(NOW)
        .next_update(NEXT_UPDATE)
        .add_extension(x509.CRLNumber(2), critical=False)
    )

    assert Cause.CRL_PARTIAL == import_refused(builder.sign(AUTHORITY.key, hashes.SHA256()).public_bytes(Encoding.DER))


def test_c8_a_list_signed_over_a_weak_hash_is_refused() -> None:
    authority = Authority.create("RSA root", at=NOW, key=rsa.generate_private_key(65537, 2048))
    der = authority.crl([], number=1, at=NOW)
    sha256_with_rsa, sha1_with_rsa = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")

    weak = der.replace(sha256_with_rsa, sha1_with_rsa)

    with pytest.raises(CertificateRefused, match="signed over sha1") as refused:
        load_crl(weak, authority.certificate)
    assert Cause.CRL_BADLY_SIGNED == refused.value.cause


@pytest.mark.parametrize(
    "data, cause",
    [
        (b"", Cause.UNPARSABLE),
        (b"<html>", Cause.UNPARSABLE),
        (b"\x30\x03\x02\x01\x00", Cause.CRL_UNPARSABLE),
        (CLIENT.der, Cause.CRL_UNPARSABLE),
        (CLIENT.pem, Cause.UNPARSABLE),
        (AUTHORITY.crl([], number=2, at=NOW) + b"\n", Cause.TRAILING_BYTES),
        (AUTHORITY.crl([], number=2, at=NOW)[:-1], Cause.CRL_UNPARSABLE),
    ],
    ids=["empty", "web page", "other DER", "certificate", "PEM certificate", "trailing", "cut"],
)
def test_c8_a_file_that_is_not_one_list_is_refused(data: bytes, cause: Cause) -> None:
    assert cause == import_refused(data, EMPTY)


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_c8_any_change_of_a_list_is_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    changed = bytearray(SIGNED_LIST)
    # Its last octets are the signature; what is before them is either signed or says how.
    position = data.draw(st.integers(0, len(changed) - 80))
    changed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(CertificateRefused):
        load_crl(bytes(changed), AUTHORITY.certificate)


def test_a_list_held_of_another_issuer_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="another issuer"):
        load_crl(AUTHORITY.crl([], number=2, at=NOW), AUTHORITY.certificate, crl_of(OTHER))


def test_a_list_under_another_name_of_the_same_key_is_refused() -> None:
    renamed = Authority.create("Renamed root", at=NOW, key=AUTHORITY.key)

    assert Cause.CRL_OTHER_ISSUER == import_refused(renamed.crl([], number=2, at=NOW), EMPTY)


# When a list is late or missing: row C9.


@pytest.mark.parametrize("late", [timedelta(microseconds=1), timedelta(days=300)])
def test_c9_a_list_past_its_next_update_refuses_all_of_its_issuer(late: timedelta) -> None:
    assert "acme" == verifier(EMPTY).verify(CLIENT.der, [], NEXT_UPDATE).common_name
    assert Cause.CRL_STALE == cause_of(verifier(EMPTY), CLIENT, NEXT_UPDATE + late)


def test_c9_by_setting_a_late_list_only_warns_and_still_refuses_what_it_lists() -> None:
    policy = Policy(stale_crl=StaleCrl.WARN)
    late = NEXT_UPDATE + timedelta(days=1)

    assert "acme" == verifier(EMPTY, policy=policy).verify(CLIENT.der, [], late).common_name
    assert Cause.REVOKED == cause_of(verifier(crl_of(AUTHORITY, 4711), policy=policy), CLIENT, late)


def test_c9_a_late_list_of_another_issuer_refuses_nothing() -> None:
    at = NEXT_UPDATE + timedelta(days=1)

    assert "acme" == verifier(crl_of(OTHER)).verify(CLIENT.der, [], at).common_name


def test_c9_lists_are_named_a_day_before_they_are_due() -> None:
    held = verifier(EMPTY)
    day = timedelta(days=1)

    assert [] == held.crls_due(NEXT_UPDATE - day)
    assert [EMPTY] == held.crls_due(NEXT_UPDATE - day + timedelta(seconds=1))
    assert [EMPTY] == held.crls_due(NEXT_UPDATE + day)


def test_an_issuer_without_a_list_is_refused_only_where_lists_are_required() -> None:
    required = Policy(crl_required=True)

    assert "acme" == verifier(crl_of(OTHER)).verify(CLIENT.der, [], NOW).common_name
    assert Cause.CRL_MISSING == cause_of(verifier(crl_of(OTHER), policy=required))
    assert "acme" == verifier(EMPTY, policy=required).verify(CLIENT.der, [], NOW).common_name


def test_where_lists_are_required_every_issuer_of_the_chain_needs_one() -> None:
    issuing = AUTHORITY.intermediate("Issuing", at=NOW)
    issued = issuing.client("acme", at=NOW)
    required = Policy(crl_required=True)

    assert Cause.CRL_MISSING == cause_of(verifier(EMPTY, policy=required), issued)
    both = verifier(EMPTY, crl_of(issuing), policy=required)
    assert "acme" == both.verify(issued.der, issued.chain_der, NOW).common_name


# From when on: rows C10 and C15.


def test_c10_a_list_read_back_from_what_was_stored_is_enforced_from_the_first_request() -> None:
    stored = AUTHORITY.crl([4711], number=1, at=NOW)

    after_restart = verifier(load_crl(stored, AUTHORITY.certificate))

    assert Cause.REVOKED == cause_of(after_restart)


def test_c15_a_certificate_revoked_while_its_connection_lives_is_refused_at_the_next_request() -> None:
    before = verifier(EMPTY)
    verified = before.verify(CLIENT.der, [], NOW)

    after = before.with_crls([crl_of(AUTHORITY, 4711, number=2)])

    assert verified is before.check_now(verified, NOW)
    with pytest.raises(CertificateRefused) as refused:
        after.check_now(verified, NOW)
    assert Cause.REVOKED == refused.value.cause
    assert Cause.REVOKED == cause_of(after)
