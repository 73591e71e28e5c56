"""Revocation lists (threats C7, C8): imported only when complete, signed by the issuer and newer than the one held.

A list is always handed to us; nothing is fetched (threats C11).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from aldaba.crypto.certificates.parsing import MALFORMED, single_der
from aldaba.crypto.certificates.profile import extension_of, key_sha256
from aldaba.crypto.certificates.refusal import Cause, CertificateRefused

MAX_CRL_BYTES = 32 * 1024 * 1024

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class Crl:
    """What one issuer has revoked, looked up by serial number.

    A certificate on hold counts as revoked for as long as it is listed.
    """

    issuer_key_sha256: bytes
    number: int
    this_update_at: datetime
    next_update_at: datetime
    revoked: frozenset[int] = field(repr=False)

    def is_stale(self, at: datetime) -> bool:
        """Say whether a newer list should have come: `nextUpdate` has passed (RFC 5280, section 5.1.2.5)."""
        return at > self.next_update_at


def load_crl(data: bytes, issuer: x509.Certificate, held: Crl | None = None) -> Crl:
    """Read a complete revocation list of that issuer, PEM or DER.

    Issuer means the key: the signature must verify under it. `held` is the list in force, which the new one must be
    newer than by its CRL number; after a refusal it stays in force.

    Args:
        data: The list as it was uploaded, at most 32 MiB.
        issuer: The certificate of the issuer, already trusted.
        held: The list in force for this issuer, if there is one.

    Raises:
        CertificateRefused: too_large, trailing_bytes, several_certificates, crl_unparsable, crl_other_issuer,
            crl_badly_signed, crl_delta, crl_partial, crl_not_newer.
    """
    crl = _parse(single_der(data, label=b"X509 CRL", max_bytes=MAX_CRL_BYTES))
    _require_signed_by(crl, issuer)
    number = _number_of_complete(crl)

    issuer_key = key_sha256(issuer)
    if held is not None and held.issuer_key_sha256 != issuer_key:
        raise ValueError("the list held is of another issuer")
    if held is not None and number <= held.number:
        raise CertificateRefused(Cause.CRL_NOT_NEWER, f"number {number}, the list in force has {held.number}")
    if crl.next_update_utc is None:
        raise CertificateRefused(Cause.CRL_UNPARSABLE, "the list does not say when the next one comes")
    return Crl(
        issuer_key_sha256=issuer_key,
        number=number,
        this_update_at=crl.last_update_utc,
        next_update_at=crl.next_update_utc,
        revoked=_revoked(crl),
    )


def _parse(der: bytes) -> x509.CertificateRevocationList:
    try:
        crl = x509.load_der_x509_crl(der)
        _ = (crl.issuer, crl.last_update_utc, crl.next_update_utc, crl.extensions, crl.signature_hash_algorithm)
    except (UnsupportedAlgorithm, *MALFORMED) as error:
        raise CertificateRefused(Cause.CRL_UNPARSABLE, f"not a readable revocation list: {error}") from error
    return crl


def _require_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> None:
    if crl.issuer != issuer.subject:
        raise CertificateRefused(Cause.CRL_OTHER_ISSUER, "the list names another issuer")
    usage = extension_of(issuer.extensions, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        raise CertificateRefused(Cause.CRL_OTHER_ISSUER, "the issuer's key usage does not have cRLSign")

    algorithm = crl.signature_hash_algorithm
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        raise CertificateRefused(Cause.CRL_BADLY_SIGNED, f"the list is signed over {algorithm.name}")
    try:
        # The library knows only the types of key that can sign; the type of the issuer's key is its business.
        signed = crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise CertificateRefused(Cause.CRL_BADLY_SIGNED, f"the signature cannot be checked: {error}") from error
    if not signed:
        raise CertificateRefused(Cause.CRL_BADLY_SIGNED, "the signature is not of the issuer's key")


def _number_of_complete(crl: x509.CertificateRevocationList) -> int:
    """Return the CRL number of a list that stands for itself: no delta, no part, no unknown critical extension."""
    if extension_of(crl.extensions, x509.DeltaCRLIndicator) is not None:
        raise CertificateRefused(Cause.CRL_DELTA, "a delta list, expected a complete one")
    if extension_of(crl.extensions, x509.IssuingDistributionPoint) is not None:
        raise CertificateRefused(Cause.CRL_PARTIAL, "the list covers one distribution point, expected a complete one")
    for extension in crl.extensions:
        if extension.critical:
            oid = extension.oid.dotted_string
            raise CertificateRefused(Cause.CRL_UNPARSABLE, f"the critical extension {oid} is not known here")

    number = extension_of(crl.extensions, x509.CRLNumber)
    if number is None:
        raise CertificateRefused(Cause.CRL_UNPARSABLE, "the list has no number (RFC 5280, section 5.2.3)")
    return number.crl_number


def _revoked(crl: x509.CertificateRevocationList) -> frozenset[int]:
    try:
        return frozenset(_serials(crl))
    except MALFORMED as error:
        raise CertificateRefused(Cause.CRL_UNPARSABLE, f"an entry of the list is not readable: {error}") from error


def _serials(crl: x509.CertificateRevocationList) -> Iterator[int]:
    for entry in crl:
        for extension in entry.extensions:
            # Above all certificateIssuer: the entry would be about another issuer (RFC 5280, section 5.3).
            if extension.critical:
                oid = extension.oid.dotted_string
                raise CertificateRefused(Cause.CRL_PARTIAL, f"an entry has the critical extension {oid}")
        yield entry.serial_number
