"""Bytes into certificates: one certificate per input, read completely, or refused with a cause (threats C6, C15)."""

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from aldaba.crypto.certificates.refusal import Cause, CertificateRefused

MAX_CERTIFICATE_BYTES = 16 * 1024

# What cryptography raises on a certificate or a CRL that is not what it should be: ValueError for every error of ASN.1,
# dates and text, TypeError for an address range of a wrong kind, three classes of their own; and what it only warns of,
# such as a negative serial number, where Python was told to make errors of warnings.
MALFORMED = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UserWarning,
)

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_PRIVATE_KEY_LABEL = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")


def parse_certificate(der: bytes) -> x509.Certificate:
    """Read one DER certificate, and every part of it that we look at later.

    The library reads most parts only when they are asked for. Asking here, once, means that nothing after this line
    meets a malformed part.

    Raises:
        CertificateRefused: unparsable, extension (one that is there twice), weak_key (unknown type of key).
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateRefused(Cause.TOO_LARGE, f"{len(der)} bytes, at most {MAX_CERTIFICATE_BYTES} are read")

    try:
        certificate = x509.load_der_x509_certificate(der)
        _read_every_part(certificate)
    except x509.DuplicateExtension as error:
        raise CertificateRefused(Cause.EXTENSION, f"extension {error.oid.dotted_string} is there twice") from error
    except UnsupportedAlgorithm as error:
        raise CertificateRefused(Cause.WEAK_KEY, f"unknown key or signature algorithm: {error}") from error
    except MALFORMED as error:
        raise CertificateRefused(Cause.UNPARSABLE, f"not a readable certificate: {error}") from error
    _require_whole_octets(certificate, der)
    return certificate


def parse_certificate_upload(data: bytes) -> x509.Certificate:
    """Read the file a person uploads: exactly one certificate, PEM or DER, and nothing else (threats C15).

    A private key is recognised and refused before anything is read from it; the caller stores only what is returned.

    Raises:
        CertificateRefused: as `parse_certificate`, or private_key, several_certificates, trailing_bytes.
    """
    if _PRIVATE_KEY_LABEL.search(data) or _is_der_private_key(data):
        raise CertificateRefused(Cause.PRIVATE_KEY, "the file holds a private key: it must never leave its owner")
    return parse_certificate(single_der(data, label=b"CERTIFICATE", max_bytes=2 * MAX_CERTIFICATE_BYTES))


def single_der(data: bytes, *, label: bytes, max_bytes: int) -> bytes:
    """Return the DER of the only object in a file, which may be PEM with that label or DER.

    Raises:
        CertificateRefused: too_large, several_certificates, trailing_bytes, unparsable.
    """
    if len(data) > max_bytes:
        raise CertificateRefused(Cause.TOO_LARGE, f"{len(data)} bytes, at most {max_bytes} are read")
    if b"-----BEGIN " in data:
        return _der_of_pem(data, label)

    end = _der_end(data)
    if len(data) > end:
        raise CertificateRefused(Cause.TRAILING_BYTES, f"{len(data) - end} bytes follow the object")
    return data


def _read_every_part(certificate: x509.Certificate) -> None:
    _ = (certificate.subject, certificate.issuer, certificate.serial_number, certificate.version)
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    _ = (certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters)
    _ = (certificate.extensions, certificate.public_key())


def _require_whole_octets(certificate: x509.Certificate, der: bytes) -> None:
    # The signature is the end of the certificate, a BIT STRING: its count of unused bits, then its octets. The library
    # takes other counts than 0 and reads the same signature: one certificate would have several thumbprints.
    if der[-len(certificate.signature) - 1] != 0:
        raise CertificateRefused(Cause.UNPARSABLE, "the signature is not a number of whole octets")


def _der_of_pem(data: bytes, label: bytes) -> bytes:
    blocks = list(_PEM_BLOCK.finditer(data))
    if not blocks:
        raise CertificateRefused(Cause.UNPARSABLE, "the PEM text is cut off or has characters outside base64")
    if len(blocks) > 1:
        raise CertificateRefused(Cause.SEVERAL_CERTIFICATES, f"{len(blocks)} PEM blocks, expected one")

    block = blocks[0]
    if block[1] != label:
        raise CertificateRefused(Cause.UNPARSABLE, f"PEM of a {block[1].decode()}, expected {label.decode()}")
    if data[: block.start()].strip() or data[block.end() :].strip():
        raise CertificateRefused(Cause.TRAILING_BYTES, "there is something before or after the PEM block")
    try:
        return base64.b64decode(b"".join(block[2].split()), validate=True)
    except binascii.Error as error:
        raise CertificateRefused(Cause.UNPARSABLE, f"the PEM text is not base64: {error}") from error


def _der_end(data: bytes) -> int:
    """Say where the outermost DER SEQUENCE ends (X.690, section 8.1.3), so that what follows can be named."""
    if data[:1] != b"\x30" or len(data) < 2:
        raise CertificateRefused(Cause.UNPARSABLE, "neither PEM nor DER (a web page, or a file of another kind?)")
    if data[1] < 0x80:
        return 2 + data[1]

    length_bytes = data[1] & 0x7F
    return 2 + length_bytes + int.from_bytes(data[2 : 2 + length_bytes])


def _is_der_private_key(data: bytes) -> bool:
    if data[:1] != b"\x30":
        return False
    try:
        load_der_private_key(data, password=None)
    except (ValueError, UnsupportedAlgorithm):
        return False
    except TypeError:  # an encrypted key: the library asks for its password
        return True
    return True
