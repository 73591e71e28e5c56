"""Certificates uploaded by people, threats C15: one certificate, or a refusal that says what the file is instead."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto.certificates import Authority, Cause, CertificateRefused, parse_certificate_upload

AUTHORITY = Authority.create("Test root")
CLIENT = AUTHORITY.client("acme")
KEY = CLIENT.key
LOCKED = BestAvailableEncryption(b"secret")


def refused(data: bytes) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as error:
        parse_certificate_upload(data)
    return error.value


@pytest.mark.parametrize(
    "data",
    [CLIENT.der, CLIENT.pem, CLIENT.pem.replace(b"\n", b"\r\n"), b"\n  " + CLIENT.pem + b"\n\n", CLIENT.pem.strip()],
    ids=["DER", "PEM", "PEM of Windows", "blank lines around", "no newline at the end"],
)
def test_c15_one_certificate_is_read(data: bytes) -> None:
    assert CLIENT.certificate == parse_certificate_upload(data)


@pytest.mark.parametrize(
    "data",
    [
        CLIENT.key_pem,
        CLIENT.pem + CLIENT.key_pem,
        CLIENT.key_pem + CLIENT.pem,
        KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, LOCKED),
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, LOCKED),
        KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        b"-----BEGIN RSA PRIVATE KEY-----\ncut off",
    ],
    ids=["PEM", "after", "before", "SEC1", "locked", "DER", "locked DER", "SEC1 DER", "OpenSSH", "cut off"],
)
def test_c15_a_private_key_is_refused_wherever_it_stands_and_is_in_no_text(data: bytes) -> None:
    error = refused(data)

    assert Cause.PRIVATE_KEY == error.cause
    assert "BEGIN" not in str(error)
    assert None is error.__cause__


@pytest.mark.parametrize(
    "data, cause",
    [
        (CLIENT.pem + AUTHORITY.pem, Cause.SEVERAL_CERTIFICATES),
        (CLIENT.pem + CLIENT.pem, Cause.SEVERAL_CERTIFICATES),
        (pkcs7.serialize_certificates([CLIENT.certificate], Encoding.PEM), Cause.UNPARSABLE),
        (pkcs7.serialize_certificates([CLIENT.certificate], Encoding.DER), Cause.UNPARSABLE),
        (pkcs12.serialize_key_and_certificates(b"acme", None, CLIENT.certificate, None, LOCKED), Cause.UNPARSABLE),
        (CLIENT.der + AUTHORITY.der, Cause.TRAILING_BYTES),
        (CLIENT.der + b"\n", Cause.TRAILING_BYTES),
        (CLIENT.pem + b"and more", Cause.TRAILING_BYTES),
        (b"subject=acme\n" + CLIENT.pem, Cause.TRAILING_BYTES),
        (b"<!DOCTYPE html><title>Sign in</title>", Cause.UNPARSABLE),
        (b"", Cause.UNPARSABLE),
        (b"0", Cause.UNPARSABLE),
        (CLIENT.der[:-1], Cause.UNPARSABLE),
        (CLIENT.pem[:-30], Cause.UNPARSABLE),
        (CLIENT.pem.replace(b"A", b"!", 1), Cause.UNPARSABLE),
        (b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", Cause.UNPARSABLE),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", Cause.UNPARSABLE),
        (CLIENT.pem.replace(b"CERTIFICATE", b"PUBLIC KEY"), Cause.UNPARSABLE),
        ("ÿþ".encode("utf-16") + CLIENT.pem, Cause.TRAILING_BYTES),
        (CLIENT.pem.decode().encode("utf-16"), Cause.UNPARSABLE),
        (bytes(40_000), Cause.TOO_LARGE),
        (b"\x30\x82\x50\x00" + bytes(0x5000), Cause.TOO_LARGE),
    ],
)
def test_c15_anything_else_is_refused_with_its_cause(data: bytes, cause: Cause) -> None:
    assert cause == refused(data).cause


def test_c15_a_web_page_is_called_by_its_name() -> None:
    assert "web page" in refused(b"<html>").detail


@given(data=st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda junk: CLIENT.pem + junk)))
@settings(max_examples=500, deadline=None)
def test_c15_any_file_is_read_or_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        certificate = parse_certificate_upload(data)
    except CertificateRefused:
        return
    assert CLIENT.certificate == certificate
