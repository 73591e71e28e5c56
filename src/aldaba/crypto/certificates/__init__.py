"""X.509 client certificates: reading them, verifying them, their revocation lists, and a small CA of our own.

Start at `Verifier`. It says whether a certificate is good and whose it is; who may enter with it is decided elsewhere.
"""

from aldaba.crypto.certificates.authority import Authority, key_usage, self_signed_client
from aldaba.crypto.certificates.issued import Issued, Validity
from aldaba.crypto.certificates.issuers import check_anchor, parse_anchors
from aldaba.crypto.certificates.parsing import parse_certificate, parse_certificate_upload
from aldaba.crypto.certificates.profile import common_name, key_sha256
from aldaba.crypto.certificates.refusal import Cause, CertificateRefused
from aldaba.crypto.certificates.revocation import Crl, load_crl
from aldaba.crypto.certificates.verifier import Policy, StaleCrl, VerifiedCertificate, Verifier, require_profile

__all__ = [
    "Authority",
    "Cause",
    "CertificateRefused",
    "Crl",
    "Issued",
    "Policy",
    "StaleCrl",
    "Validity",
    "VerifiedCertificate",
    "Verifier",
    "check_anchor",
    "common_name",
    "key_sha256",
    "key_usage",
    "load_crl",
    "parse_anchors",
    "parse_certificate",
    "parse_certificate_upload",
    "require_profile",
    "self_signed_client",
]
