"""Issuers and anchors: what a CA must be so that we can follow all it says, told when it is registered."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from aldaba.crypto.certificates.parsing import MALFORMED, parse_certificate
from aldaba.crypto.certificates.profile import extension_of, is_self_signed, require_strong_key
from aldaba.crypto.certificates.refusal import Cause, CertificateRefused


def parse_anchors(pem: bytes) -> list[x509.Certificate]:
    """Read a PEM file of anchors, each of which must be able to vouch for somebody.

    Raises:
        CertificateRefused: unparsable, or as `check_anchor`; the detail says which certificate of the file it is.
    """
    try:
        ders = [certificate.public_bytes(Encoding.DER) for certificate in x509.load_pem_x509_certificates(pem)]
    except MALFORMED as error:
        raise CertificateRefused(Cause.UNPARSABLE, f"not a file of PEM certificates: {error}") from error
    return [_anchor(position, der) for position, der in enumerate(ders, start=1)]


def check_anchor(certificate: x509.Certificate) -> x509.Certificate:
    """Tell an operator, when a certificate is registered as an anchor, why it could never be one.

    Returns:
        The same certificate: a CA's, or a self-signed one, which is good for itself alone.

    Raises:
        CertificateRefused: untrusted, weak_key, usage, extension.
    """
    require_understood(certificate)
    extensions = certificate.extensions
    constraints = extension_of(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        if not is_self_signed(certificate):
            raise CertificateRefused(Cause.UNTRUSTED, "neither a CA certificate nor self-signed: register its CA")
        return certificate

    usage = extension_of(extensions, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise CertificateRefused(Cause.USAGE, "a CA certificate whose key usage does not have keyCertSign")
    if not extensions.get_extension_for_class(x509.BasicConstraints).critical:
        raise CertificateRefused(Cause.EXTENSION, "a CA certificate whose basicConstraints are not critical")
    if extension_of(extensions, x509.SubjectKeyIdentifier) is None:
        raise CertificateRefused(Cause.EXTENSION, "a CA certificate without subjectKeyIdentifier")
    if isinstance(certificate.public_key(), ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        raise CertificateRefused(
            Cause.WEAK_KEY, "signatures of an Ed25519 or Ed448 CA are not verified here: use ECDSA"
        )
    return certificate


def require_understood(issuer: x509.Certificate) -> None:
    """Refuse an issuer with rules that are not applied here, or with a key that is not accepted from anybody else.

    Raises:
        CertificateRefused: weak_key, extension.
    """
    require_strong_key(issuer)
    if extension_of(issuer.extensions, x509.PolicyConstraints) is not None:
        raise CertificateRefused(Cause.EXTENSION, "an issuer has policy constraints, which are not processed here")

    # The library applies constraints on alternative names only, and the name that counts here is in the subject.
    constraints = extension_of(issuer.extensions, x509.NameConstraints)
    if constraints is None:
        return
    for constraint in (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ())):
        if isinstance(constraint, x509.DirectoryName):
            raise CertificateRefused(Cause.EXTENSION, "an issuer is constrained to subject names: not processed here")


def _anchor(position: int, der: bytes) -> x509.Certificate:
    try:
        return check_anchor(parse_certificate(der))
    except CertificateRefused as refused:
        raise CertificateRefused(refused.cause, f"certificate {position} of the file: {refused.detail}") from refused
