"""Why a certificate or a revocation list is refused: a closed list for the operator; the caller learns none of it."""

from enum import StrEnum


class Cause(StrEnum):
    """What exactly was wrong, in words that may be logged, counted and shown to an operator."""

    # What was handed over is not one readable certificate.
    UNPARSABLE = "unparsable"
    TOO_LARGE = "too_large"
    SEVERAL_CERTIFICATES = "several_certificates"
    PRIVATE_KEY = "private_key"
    TRAILING_BYTES = "trailing_bytes"

    # The certificate itself is not one that a client of ours may have.
    SERIAL = "serial"
    EXTENSION = "extension"
    COMMON_NAME = "common_name"
    USAGE = "usage"
    CA_CERTIFICATE = "ca_certificate"
    WEAK_KEY = "weak_key"
    WEAK_SIGNATURE = "weak_signature"

    # The certificate is well made, but nobody we trust vouches for it now.
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    CHAIN_TOO_DEEP = "chain_too_deep"
    UNTRUSTED = "untrusted"
    REVOKED = "revoked"
    CRL_MISSING = "crl_missing"
    CRL_STALE = "crl_stale"

    # A revocation list is not imported; the one held before stays in force.
    CRL_UNPARSABLE = "crl_unparsable"
    CRL_OTHER_ISSUER = "crl_other_issuer"
    CRL_BADLY_SIGNED = "crl_badly_signed"
    CRL_NOT_NEWER = "crl_not_newer"
    CRL_DELTA = "crl_delta"
    CRL_PARTIAL = "crl_partial"


class CertificateRefused(Exception):
    """A certificate or a revocation list was refused.

    Args:
        cause: Which rule refused it.
        detail: The same for a person, with what was seen. For the log and the operator, never for the caller.
    """

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail
