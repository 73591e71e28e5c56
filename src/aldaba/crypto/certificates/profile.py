"""What one certificate must be before anybody asks who signed it: name, usage, key, serial (threats C2, C6, C12).

The rules look at a single certificate and know neither the time nor the anchors.
"""

import hashlib
import unicodedata
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aldaba.crypto.certificates.refusal import Cause, CertificateRefused

MAX_COMMON_NAME = 64  # ub-common-name, RFC 5280, appendix A.1
MAX_SERIAL_BITS = 159  # 20 octets of a positive INTEGER, RFC 5280, section 4.1.2.2
MAX_NAMES = 100

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_RSA_BITS = range(2048, 8192 + 1)
_RSA_EXPONENT_BITS = range(2, 32 + 1)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_KNOWN_EXTENSIONS = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)

# Control, format (bidirectional overrides, zero width), surrogate, line and paragraph separator: what makes a name
# look like another one or breaks a log line.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def key_sha256(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the SubjectPublicKeyInfo in DER: the name under which keys are compared (threats C4)."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def common_name(certificate: x509.Certificate) -> str:
    """Return the one common name of the subject as decoded text (threats C12).

    It is never taken from a rendered name, where a comma or a quote may mean something else.

    Raises:
        CertificateRefused: common_name, when there is none, several, or one that is empty, too long or not plain text.
    """
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise CertificateRefused(Cause.COMMON_NAME, f"{len(names)} common names, expected one")

    name = names[0].value
    if not isinstance(name, str) or not name.strip():
        raise CertificateRefused(Cause.COMMON_NAME, "the common name is empty")
    if len(name) > MAX_COMMON_NAME:
        raise CertificateRefused(Cause.COMMON_NAME, f"the common name has {len(name)} characters, at most 64")
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in name):
        raise CertificateRefused(Cause.COMMON_NAME, f"the common name has control characters: {name!a}")
    return name


def require_sound(certificate: x509.Certificate) -> None:
    """Refuse a certificate whose key, serial or size of lists nobody should have to deal with (threats C5, C6).

    Holds for the client's certificate and for every other one it sends along: verifying must stay cheap, whatever a
    stranger sends.

    Raises:
        CertificateRefused: weak_key, serial, extension.
    """
    require_strong_key(certificate)
    if certificate.serial_number <= 0 or certificate.serial_number.bit_length() > MAX_SERIAL_BITS:
        raise CertificateRefused(Cause.SERIAL, "the serial number is not a positive number of at most 20 octets")
    if _count_of_names(certificate) > MAX_NAMES:
        raise CertificateRefused(Cause.EXTENSION, f"more than {MAX_NAMES} alternative or constrained names")


def require_strong_key(certificate: x509.Certificate) -> None:
    """Refuse a weak or unknown public key: RSA below 2048 bits, other curves than P-256/384/521, DSA and so on.

    RSA above 8192 bits or with an exponent above 32 bits is refused as well: it only makes verifying slow.

    Raises:
        CertificateRefused: weak_key.
    """
    match certificate.public_key():
        case rsa.RSAPublicKey() as key:
            exponent_bits = key.public_numbers().e.bit_length()
            strong = key.key_size in _RSA_BITS and key.key_size % 8 == 0 and exponent_bits in _RSA_EXPONENT_BITS
            seen = f"RSA of {key.key_size} bits with an exponent of {exponent_bits} bits"
        case ec.EllipticCurvePublicKey() as key:
            strong = isinstance(key.curve, _CURVES)
            seen = f"curve {key.curve.name}"
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return
        case key:
            strong = False
            seen = type(key).__name__
    if not strong:
        raise CertificateRefused(Cause.WEAK_KEY, f"weak or unusual key: {seen}")


def has_strong_signature(certificate: x509.Certificate) -> bool:
    """Say whether the certificate is signed over SHA-256, SHA-384 or SHA-512, or by an algorithm with its own hash."""
    algorithm = certificate.signature_hash_algorithm
    return algorithm is None or isinstance(algorithm, _HASHES)


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Say whether the certificate is signed by the very key it is about; equal names alone prove nothing."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def require_known_extensions(certificate: x509.Certificate) -> None:
    """Refuse a critical extension that neither we nor the chain building look at (RFC 5280, section 4.2).

    Raises:
        CertificateRefused: extension.
    """
    for extension in certificate.extensions:
        if extension.critical and not isinstance(extension.value, _KNOWN_EXTENSIONS):
            oid = extension.oid.dotted_string
            raise CertificateRefused(Cause.EXTENSION, f"the critical extension {oid} is not known here")


def require_client_usage(
    certificate: x509.Certificate, *, absent_extended: bool, any_extended: bool, absent_basic: bool
) -> None:
    """Refuse a certificate that was not issued to authenticate a client (threats C2).

    RFC 5280, sections 4.2.1.3, 4.2.1.9 and 4.2.1.12.

    Args:
        certificate: The client's certificate.
        absent_extended: Accept one without extended key usage.
        any_extended: Accept anyExtendedKeyUsage in the place of clientAuth.
        absent_basic: Accept one without key usage.

    Raises:
        CertificateRefused: ca_certificate, usage.
    """
    extensions = certificate.extensions
    constraints = extension_of(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise CertificateRefused(Cause.CA_CERTIFICATE, "a CA certificate is not a client's certificate")

    usage = extension_of(extensions, x509.KeyUsage)
    if usage is None and not absent_basic:
        raise CertificateRefused(Cause.USAGE, "no key usage, expected digitalSignature")
    if usage is not None and not usage.digital_signature:
        raise CertificateRefused(Cause.USAGE, "the key usage does not have digitalSignature")
    if usage is not None and usage.key_cert_sign:
        raise CertificateRefused(Cause.CA_CERTIFICATE, "the key usage has keyCertSign: a CA certificate")

    purposes = extension_of(extensions, x509.ExtendedKeyUsage)
    if purposes is None:
        if not absent_extended:
            raise CertificateRefused(Cause.USAGE, "no extended key usage, expected clientAuth")
        return
    accepted = {ExtendedKeyUsageOID.CLIENT_AUTH}
    if any_extended:
        accepted.add(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if accepted.isdisjoint(purposes):
        seen = ", ".join(purpose.dotted_string for purpose in purposes)
        raise CertificateRefused(Cause.USAGE, f"the extended key usage is {seen}, expected clientAuth")


def extension_of(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    """Return the extension of that kind, or None where the certificate has none."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _count_of_names(certificate: x509.Certificate) -> int:
    alternative = extension_of(certificate.extensions, x509.SubjectAlternativeName)
    constraints = extension_of(certificate.extensions, x509.NameConstraints)
    count = 0 if alternative is None else len(list(alternative))
    if constraints is not None:
        count += len(constraints.permitted_subtrees or ()) + len(constraints.excluded_subtrees or ())
    return count
