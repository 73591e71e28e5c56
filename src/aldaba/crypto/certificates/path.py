"""From a client's certificate to an anchor of ours: cryptography's chain building under our rules for extensions.

Names only find candidates; a link of the chain is a signature that verifies under the issuer's key (threats C3, C4).
Nothing a certificate points at is ever fetched (threats C11), and the system's trust store is never looked at.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509 import verification

from aldaba.crypto.certificates.issuers import require_understood
from aldaba.crypto.certificates.parsing import MALFORMED
from aldaba.crypto.certificates.profile import extension_of, has_strong_signature, is_self_signed
from aldaba.crypto.certificates.refusal import Cause, CertificateRefused

# The client's certificate is at depth 0 and the anchor at most at depth 3, so there are at most two certificates
# between. One more would let a stranger's certificates that sign each other cost over 100 ms (threats C5).
MAX_DEPTH = 3


def path_builder(anchors: Sequence[x509.Certificate]) -> verification.PolicyBuilder | None:
    """Prepare chain building towards these anchors; the instant is set for each use. No anchors, no builder."""
    if not anchors:
        return None
    return (
        verification.PolicyBuilder()
        .store(verification.Store(list(anchors)))
        .max_chain_depth(MAX_DEPTH - 1)
        .extension_policies(ca_policy=_ca_policy(), ee_policy=_client_policy())
    )


def build_path(
    builder: verification.PolicyBuilder | None,
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    at: datetime,
) -> list[x509.Certificate]:
    """Return the verified chain, from the client's certificate to the anchor.

    An anchor that is shown as the client's certificate is a chain of its own.

    Raises:
        CertificateRefused: untrusted, weak_key, extension.
    """
    if builder is None:
        raise CertificateRefused(Cause.UNTRUSTED, "no anchors are registered")
    verifier = builder.time(at).build_client_verifier()
    try:
        chain = verifier.verify(leaf, list(intermediates)).chain
    except (verification.VerificationError, *MALFORMED) as error:
        raise CertificateRefused(Cause.UNTRUSTED, f"no chain to an anchor: {error}") from error
    for issuer in chain[1:]:
        require_understood(issuer)
    return chain


def explain_failure(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors_by_name: Mapping[x509.Name, Sequence[x509.Certificate]],
    at: datetime,
) -> CertificateRefused | None:
    """Find the likely cause for which no chain was built, in terms an operator can act on.

    Follows names, not signatures: it explains a refusal and never decides one.
    """
    issuers = [*intermediates]
    for certificate in (leaf, *intermediates):
        issuers.extend(anchors_by_name.get(certificate.issuer, ()))
    for issuer in issuers:
        if at.replace(microsecond=0) > issuer.not_valid_after_utc:
            return CertificateRefused(Cause.EXPIRED, f"the issuer {shown(issuer.subject)} has expired")
        if at < issuer.not_valid_before_utc:
            return CertificateRefused(Cause.NOT_YET_VALID, f"the issuer {shown(issuer.subject)} is not valid yet")
    for certificate in intermediates:
        if not has_strong_signature(certificate) and certificate.issuer != certificate.subject:
            return CertificateRefused(
                Cause.WEAK_SIGNATURE, f"the issuer {shown(certificate.subject)} is signed over a weak hash"
            )
    return None


def shown(name: x509.Name) -> str:
    """Render a name for people. Never compare the result: see `profile.common_name`."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name.rfc4514_string())


def _ca_policy() -> verification.ExtensionPolicy:
    """The library's rules for issuers, with what RFC 5280 adds and without what only the public web demands."""
    return (
        verification.ExtensionPolicy.webpki_defaults_ca()
        # Private roots often have no key usage; one that is there must allow signing (section 6.1.4, step n).
        .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _require_cert_sign)
        .may_be_present(x509.AuthorityKeyIdentifier, verification.Criticality.NON_CRITICAL, _check_ca_key_identifier)
        .require_present(x509.SubjectKeyIdentifier, verification.Criticality.NON_CRITICAL, None)
    )


def _client_policy() -> verification.ExtensionPolicy:
    """The library's rules for the client's certificate, but without a name in subjectAltName.

    Usage is not asked here: `profile.require_client_usage` decides it first, and says more.
    """
    return (
        verification.ExtensionPolicy.webpki_defaults_ee()
        .may_be_present(x509.SubjectAlternativeName, verification.Criticality.NON_CRITICAL, None)
        .may_be_present(x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, None)
        .may_be_present(x509.AuthorityKeyIdentifier, verification.Criticality.NON_CRITICAL, _require_key_identifier)
    )


def _require_cert_sign(_: verification.Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key usage of an issuer does not have keyCertSign")


def _require_key_identifier(
    _: verification.Policy, certificate: x509.Certificate, identifier: x509.AuthorityKeyIdentifier | None
) -> None:
    """RFC 5280, section 4.2.1.1: always there, except in a self-signed certificate."""
    if identifier is None and certificate.issuer != certificate.subject:
        raise ValueError("there is no authority key identifier")


def _check_ca_key_identifier(
    policy: verification.Policy, certificate: x509.Certificate, identifier: x509.AuthorityKeyIdentifier | None
) -> None:
    _require_key_identifier(policy, certificate, identifier)
    if identifier is None:
        return
    if identifier.key_identifier is None or identifier.authority_cert_issuer is not None:
        raise ValueError("the authority key identifier of an issuer must be a key identifier and nothing else")
    own = extension_of(certificate.extensions, x509.SubjectKeyIdentifier)
    if own is not None and own.digest != identifier.key_identifier and is_self_signed(certificate):
        raise ValueError("a self-signed issuer has an authority key identifier that is not its own")
