"""Certificates that no CA would issue: made by changing bytes of a good one and signing it again."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from aldaba.crypto.certificates import Authority, Issued


def replaced(issued: Issued, authority: Authority, old: bytes, new: bytes) -> bytes:
    """Return the DER of the certificate with the only `old` in its signed part replaced, signed again.

    Lengths in DER are counted by every structure around, so both must be as long as each other.
    """
    signed_part = issued.certificate.tbs_certificate_bytes
    assert len(old) == len(new)
    assert signed_part.count(old) == 1

    return signed(signed_part.replace(old, new), issued, authority)


def named(subject: x509.Name) -> x509.Certificate:
    """Return a self-signed certificate of that name, whatever the name."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1)
    return builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())


def signed(signed_part: bytes, issued: Issued, authority: Authority) -> bytes:
    """Put a changed signed part and a signature over it together, under the algorithm the certificate had."""
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    signature = authority.key.sign(signed_part, ec.ECDSA(hashes.SHA256()))
    return _assembled(signed_part, _algorithm(issued.certificate), signature)


def with_signature(issued: Issued, signature: bytes) -> bytes:
    """Return the DER of the certificate with another signature."""
    return _assembled(issued.certificate.tbs_certificate_bytes, _algorithm(issued.certificate), signature)


def der(tag: int, content: bytes) -> bytes:
    """Encode one DER value (X.690, section 8.1)."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _assembled(signed_part: bytes, algorithm: bytes, signature: bytes) -> bytes:
    return der(0x30, signed_part + algorithm + der(0x03, b"\x00" + signature))


def _algorithm(certificate: x509.Certificate) -> bytes:
    signature = der(0x03, b"\x00" + certificate.signature)
    whole = certificate.public_bytes(Encoding.DER)
    start = whole.index(certificate.tbs_certificate_bytes) + len(certificate.tbs_certificate_bytes)
    return whole[start : -len(signature)]
