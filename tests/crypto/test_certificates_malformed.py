"""Client certificates that are malformed, weak or made to be slow: refused with a cause and nothing else (C5, C6)."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto.certificates import Authority, Cause, CertificateRefused, Issued, Policy, Verifier
from aldaba.crypto.certificates.issued import PrivateKey
from tests.crypto.made_certificates import der, replaced, signed, with_signature

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
AUTHORITY = Authority.create("Test root", at=NOW)
VERIFIER = Verifier([AUTHORITY.certificate], policy=Policy())
GOOD = AUTHORITY.client("acme", at=NOW)

SHA256_WITH_RSA = bytes.fromhex("2a864886f70d01010b")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
VERSION_AND_SERIAL = bytes.fromhex("a003020102 0201")


def refused(leaf: bytes, chain: Sequence[bytes] = ()) -> Cause:
    with pytest.raises(CertificateRefused) as error:
        VERIFIER.verify(leaf, chain, NOW)
    return error.value.cause


def accepted(leaf: bytes, chain: Sequence[bytes] = ()) -> str:
    return VERIFIER.verify(leaf, chain, NOW).common_name


def new_client() -> Issued:
    return AUTHORITY.client("acme", at=NOW)


def chain_of(depth: int) -> Issued:
    """Issue a client's certificate whose anchor is at that depth."""
    authority = AUTHORITY
    for level in range(depth - 1):
        authority = authority.intermediate(f"Level {level}", at=NOW)
    return authority.client("acme", at=NOW)


# Chains: row C5.


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_c5_a_chain_of_depth_three_is_accepted(depth: int) -> None:
    issued = chain_of(depth)

    assert "acme" == accepted(issued.der, issued.chain_der)


def test_c5_a_chain_of_depth_four_is_refused() -> None:
    issued = chain_of(4)

    assert Cause.UNTRUSTED == refused(issued.der, issued.chain_der)


def test_c5_more_certificates_than_a_chain_can_have_are_not_even_read() -> None:
    assert Cause.CHAIN_TOO_DEEP == refused(GOOD.der, [b"not read"] * 4)


def test_c5_the_order_of_the_chain_and_the_root_in_it_do_not_matter() -> None:
    issued = chain_of(3)
    sent = [AUTHORITY.der, *reversed(issued.chain_der)]

    assert "acme" == accepted(issued.der, sent)


def test_c5_over_16_kib_in_all_is_refused_unread() -> None:
    half = bytes(8 * 1024)

    assert Cause.TOO_LARGE == refused(bytes(16 * 1024 + 1))
    assert Cause.TOO_LARGE == refused(GOOD.der, [half, half])
    assert Cause.UNPARSABLE == refused(GOOD.der, [half])


def test_c5_certificates_that_sign_each_other_are_refused() -> None:
    first = Authority.create("First", at=NOW)
    second = Authority.create("Second", at=NOW)
    crossed = [
        first.intermediate("Second", at=NOW, key=second.key),
        second.intermediate("First", at=NOW, key=first.key),
    ]
    issued = first.client("acme", at=NOW)

    assert Cause.UNTRUSTED == refused(issued.der, [one.der for one in crossed])


def test_c5_as_many_certificates_of_one_name_and_key_as_can_be_sent_are_refused() -> None:
    """Each of them signs all of them: the number of paths to try grows with the power of the depth."""
    loop = Authority.create("Loop", at=NOW, key=ec.generate_private_key(ec.SECP521R1()))
    sent = [loop.intermediate("Loop", at=NOW, key=loop.key).der for _ in range(3)]

    assert Cause.UNTRUSTED == refused(loop.client("acme", at=NOW).der, sent)


def test_c5_hundreds_of_alternative_names_are_refused() -> None:
    names = [x509.DNSName(f"{number}.example") for number in range(101)]

    assert Cause.EXTENSION == refused(AUTHORITY.client("acme", at=NOW, alternative_names=names).der)
    assert "acme" == accepted(AUTHORITY.client("acme", at=NOW, alternative_names=names[:100]).der)


def test_c5_hundreds_of_name_constraints_are_refused() -> None:
    constraints = x509.NameConstraints(None, [x509.DNSName(f"{number}.example") for number in range(101)])
    issued = AUTHORITY.intermediate("Issuing", at=NOW, extra=[(constraints, True)]).client("acme", at=NOW)

    assert Cause.EXTENSION == refused(issued.der, issued.chain_der)


# Extensions, serials: row C6.


def test_c6_an_unknown_critical_extension_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00")

    assert Cause.EXTENSION == refused(AUTHORITY.client("acme", at=NOW, extra=[(unknown, True)]).der)
    assert "acme" == accepted(AUTHORITY.client("acme", at=NOW, extra=[(unknown, False)]).der)


def test_c6_an_unknown_critical_extension_of_an_issuer_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00")
    issued = AUTHORITY.intermediate("Issuing", at=NOW, extra=[(unknown, True)]).client("acme", at=NOW)

    assert Cause.UNTRUSTED == refused(issued.der, issued.chain_der)


def test_c6_a_doubled_extension_is_refused() -> None:
    one, other = (x509.ObjectIdentifier(f"1.3.6.1.4.1.32473.{number}") for number in (1, 2))
    twin = [
        (x509.UnrecognizedExtension(one, b"\x05\x00"), False),
        (x509.UnrecognizedExtension(other, b"\x05\x00"), False),
    ]
    issued = AUTHORITY.client("acme", at=NOW, extra=twin)
    encoded = bytes.fromhex("2b0601040181fd59")

    assert Cause.EXTENSION == refused(replaced(issued, AUTHORITY, encoded + b"\x02", encoded + b"\x01"))


@pytest.mark.parametrize("constraint", ["subject", "policy"])
@pytest.mark.parametrize("critical", [True, False])
def test_c6_an_issuer_with_constraints_that_are_not_processed_is_refused(constraint: str, critical: bool) -> None:
    """Ignoring a constraint on subject names would let its issuer name any client."""
    allowed = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other")])
    extension: x509.ExtensionType = x509.NameConstraints([x509.DirectoryName(allowed)], None)
    if constraint == "policy":
        extension = x509.PolicyConstraints(0, None)
    issued = AUTHORITY.intermediate("Issuing", at=NOW, extra=[(extension, critical)]).client("acme", at=NOW)

    assert refused(issued.der, issued.chain_der) in {Cause.EXTENSION, Cause.UNTRUSTED}


# The library warns of such serials when it reads them; here is what happens where warnings are only warnings.
@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@pytest.mark.parametrize("serial", [b"\x00", b"\xff", b"\x80"])
def test_c6_a_serial_that_is_not_positive_is_refused(serial: bytes) -> None:
    issued = AUTHORITY.client("acme", at=NOW, serial=1)
    old, new = VERSION_AND_SERIAL + b"\x01", VERSION_AND_SERIAL + serial

    assert Cause.SERIAL == refused(replaced(issued, AUTHORITY, old, new))


def test_c6_what_the_library_warns_of_is_refused_where_warnings_are_errors() -> None:
    issued = AUTHORITY.client("acme", at=NOW, serial=1)
    zero = replaced(issued, AUTHORITY, VERSION_AND_SERIAL + b"\x01", VERSION_AND_SERIAL + b"\x00")

    assert Cause.UNPARSABLE == refused(zero)


def test_c6_a_serial_over_20_octets_is_refused() -> None:
    issued = AUTHORITY.client("acme", at=NOW, serial=1)
    signed_part = issued.certificate.tbs_certificate_bytes
    start = signed_part.index(VERSION_AND_SERIAL)
    longer = der(0x02, b"\x01" + bytes(20))
    content = bytes.fromhex("a003020102") + longer + signed_part[start + len(VERSION_AND_SERIAL) + 1 :]

    assert Cause.SERIAL == refused(signed(der(0x30, content), issued, AUTHORITY))


# Keys, signatures: row C6.


def weak_rsa() -> PrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505  # the weakness is what is tested


def other_curve() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256K1())


def short_curve() -> PrivateKey:
    return ec.generate_private_key(ec.SECP224R1())


@pytest.mark.parametrize("make", [weak_rsa, other_curve, short_curve])
def test_c6_a_weak_key_is_refused(make: Callable[[], PrivateKey]) -> None:
    assert Cause.WEAK_KEY == refused(AUTHORITY.client("acme", at=NOW, key=make()).der)


@pytest.mark.parametrize("make", [weak_rsa, other_curve, short_curve])
def test_c6_a_weak_key_of_an_issuer_is_refused(make: Callable[[], PrivateKey]) -> None:
    issued = AUTHORITY.intermediate("Issuing", at=NOW, key=make()).client("acme", at=NOW)

    assert Cause.WEAK_KEY == refused(issued.der, issued.chain_der)


def test_c6_a_weak_key_of_an_anchor_is_refused() -> None:
    weak = Authority.create("Weak root", at=NOW, key=weak_rsa())

    with pytest.raises(CertificateRefused):
        Verifier([weak.certificate], policy=Policy()).verify(weak.client("acme", at=NOW).der, [], NOW)


def test_c6_an_rsa_key_of_2048_bits_is_accepted() -> None:
    issued = AUTHORITY.client("acme", at=NOW, key=rsa.generate_private_key(65537, 2048))

    assert "acme" == accepted(issued.der)


@pytest.mark.parametrize("key_type", [b"\x72", b"\x6e"], ids=["unknown type", "X25519"])
def test_c6_a_key_that_cannot_sign_is_refused(key_type: bytes) -> None:
    issued = AUTHORITY.client("acme", at=NOW, key=ed25519.Ed25519PrivateKey.generate())
    old, new = bytes.fromhex("300506032b6570"), bytes.fromhex("300506032b65") + key_type

    assert Cause.WEAK_KEY == refused(replaced(issued, AUTHORITY, old, new))


@pytest.mark.parametrize("hash_", [b"\x05", b"\x04"], ids=["SHA-1", "MD5"])
def test_c6_a_signature_over_a_weak_hash_is_refused(hash_: bytes) -> None:
    authority = Authority.create("RSA root", at=NOW, key=rsa.generate_private_key(65537, 2048))
    whole = authority.client("acme", at=NOW).der
    assert whole.count(SHA256_WITH_RSA) == 2
    weak = whole.replace(SHA256_WITH_RSA, SHA256_WITH_RSA[:-1] + hash_)

    with pytest.raises(CertificateRefused) as error:
        Verifier([authority.certificate], policy=Policy()).verify(weak, [], NOW)
    assert Cause.WEAK_SIGNATURE == error.value.cause


def test_c6_an_issuer_signed_over_a_weak_hash_is_named_as_the_cause() -> None:
    root = Authority.create("RSA root", at=NOW, key=rsa.generate_private_key(65537, 2048))
    issuing = root.intermediate("Issuing", at=NOW)
    issued = issuing.client("acme", at=NOW)
    weak = issuing.der.replace(SHA256_WITH_RSA, SHA256_WITH_RSA[:-1] + b"\x05")

    with pytest.raises(CertificateRefused) as error:
        Verifier([root.certificate], policy=Policy()).verify(issued.der, [weak], NOW)
    assert Cause.WEAK_SIGNATURE == error.value.cause


def test_c6_a_changed_signature_is_refused() -> None:
    assert Cause.UNTRUSTED == refused(replaced(GOOD, Authority.create("Test root", at=NOW), b"acme", b"evil"))


def test_c6_unused_bits_in_the_signature_are_refused() -> None:
    """They used to be ignored, which gave one certificate several thumbprints."""
    issued = next(issued for issued in iter(new_client, None) if issued.certificate.signature[-1] % 2 == 0)
    changed = bytearray(issued.der)
    changed[-len(issued.certificate.signature) - 1] = 1

    assert Cause.UNPARSABLE == refused(bytes(changed))


def test_c6_the_twin_of_an_ecdsa_signature_changes_the_thumbprint_but_nothing_to_refuse_by() -> None:
    r, s = decode_dss_signature(GOOD.certificate.signature)
    twin = with_signature(GOOD, encode_dss_signature(r, P256_ORDER - s))

    first, second = VERIFIER.verify(GOOD.der, [], NOW), VERIFIER.verify(twin, [], NOW)

    assert first.thumbprint != second.thumbprint
    assert first == dataclasses.replace(second, thumbprint=first.thumbprint)


def test_c6_another_algorithm_outside_than_inside_is_refused() -> None:
    ecdsa_with_sha256, ecdsa_with_sha384 = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040303")

    assert Cause.UNTRUSTED == refused(replaced(GOOD, AUTHORITY, ecdsa_with_sha256, ecdsa_with_sha384))


# Anything else: row C6.


@given(leaf=st.binary(max_size=300), chain=st.lists(st.binary(max_size=300), max_size=3))
@settings(max_examples=300, deadline=None)
def test_c6_any_bytes_are_refused_and_nothing_else_happens(leaf: bytes, chain: list[bytes]) -> None:
    with pytest.raises(CertificateRefused):
        VERIFIER.verify(leaf, chain, NOW)


@given(data=st.data())
@settings(max_examples=1000, deadline=None)
def test_c6_any_change_of_a_byte_of_a_certificate_is_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    changed = bytearray(GOOD.der)
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(CertificateRefused):
        VERIFIER.verify(bytes(changed), [], NOW)


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_c6_any_change_that_is_signed_again_is_verified_or_refused_and_nothing_else_happens(
    data: st.DataObject,
) -> None:
    """Whoever runs a registered CA can sign anything: its content must not stop us either."""
    changed = bytearray(GOOD.certificate.tbs_certificate_bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))

    try:
        verified = VERIFIER.verify(signed(bytes(changed), GOOD, AUTHORITY), [], NOW)
    except CertificateRefused:
        return
    assert verified.common_name.strip()


def test_c6_rubbish_sent_along_refuses_even_a_certificate_that_does_not_need_it() -> None:
    assert Cause.UNPARSABLE == refused(GOOD.der, [b"\x30\x03\x02\x01\x00"])
    assert "acme" == accepted(GOOD.der)
