"""Whether a client certificate is good now, and whose it is: our policy over the chain (threats, section 4).

What it does not decide: whether the common name and the key are registered, and from where they may come. That is the
core's. The caller of the service learns nothing of the cause of a refusal; the operator learns it exactly.
"""

import base64
import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from aldaba.crypto.certificates import path, profile
from aldaba.crypto.certificates.parsing import MAX_CERTIFICATE_BYTES, parse_certificate
from aldaba.crypto.certificates.refusal import Cause, CertificateRefused
from aldaba.crypto.certificates.revocation import Crl

# Two intermediates and the anchor itself, which some clients send along.
MAX_SENT = path.MAX_DEPTH


class StaleCrl(StrEnum):
    """What to do with the certificates of an issuer whose revocation list is past its next update (threats C9)."""

    REFUSE = "refuse"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The choices an operator has; every default is the strict one.

    Attributes:
        accept_absent_extended_key_usage: Accept certificates without extended key usage.
        accept_any_extended_key_usage: Accept anyExtendedKeyUsage in the place of clientAuth.
        accept_absent_key_usage: Accept certificates without key usage.
        crl_required: Refuse certificates of an issuer for which no revocation list is held. A registered self-signed
            certificate has no issuer and needs none.
        stale_crl: Whether a list past its next update refuses everything, or only what it lists. Who warns asks
            `Verifier.crls_due`.
    """

    accept_absent_extended_key_usage: bool = False
    accept_any_extended_key_usage: bool = False
    accept_absent_key_usage: bool = False
    crl_required: bool = False
    stale_crl: StaleCrl = StaleCrl.REFUSE


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A client certificate with a verified chain.

    The chain does not change with time; dates and revocation do. Keep this value under its thumbprint if you like, and
    call `Verifier.check_now` at every request.

    Attributes:
        common_name: The one common name, as decoded text.
        key_sha256: SHA-256 of the certificate's SubjectPublicKeyInfo in DER.
        issuer_key_sha256: The same of the certificate that signed it; of a registered self-signed one, its own.
        thumbprint: SHA-256 of the whole certificate in DER. Good to bind a token to, or to keep this value under. Not
            good to refuse by: from one ECDSA signature anybody can make another that verifies, and with it a
            certificate of another thumbprint. Refuse by key, or by issuer key and serial.
        serial: The serial number, unique only together with `issuer_key_sha256`.
        not_before_at: First instant of the certificate's own validity.
        not_after_at: Last second of the certificate's own validity.
        subject: The subject for people to read. Never compare it.
        issuer: The issuer for people to read. Never compare it.
        anchor_thumbprint: Of the anchor the chain rests on.
        chain_not_before_at: From when the whole chain is valid.
        chain_not_after_at: The last second in which the whole chain is valid.
        revocable: Issuer key and serial of every link that its issuer can revoke.
    """

    common_name: str
    key_sha256: bytes
    issuer_key_sha256: bytes
    thumbprint: bytes
    serial: int
    not_before_at: datetime
    not_after_at: datetime
    subject: str
    issuer: str
    anchor_thumbprint: bytes = field(repr=False)
    chain_not_before_at: datetime = field(repr=False)
    chain_not_after_at: datetime = field(repr=False)
    revocable: tuple[tuple[bytes, int], ...] = field(repr=False)

    @property
    def x5t_s256(self) -> str:
        """The thumbprint as the `x5t#S256` member of `cnf` (RFC 8705, section 3.1)."""
        return base64.urlsafe_b64encode(self.thumbprint).rstrip(b"=").decode("ascii")


class Verifier:
    """Anchors, revocation lists and policy, as they are at one moment. It never changes: make another one.

    An anchor is the certificate of a CA, or a registered self-signed certificate, which is good for itself alone and
    byte for byte: another one over the same key must be registered again. No anchors is a verifier that refuses all.

    Raises:
        CertificateRefused: an anchor is not readable in every part.
    """

    def __init__(self, anchors: Sequence[x509.Certificate], crls: Sequence[Crl] = (), *, policy: Policy) -> None:
        self.policy = policy
        # The library reads a part only when it is asked for: better to fail here than at somebody's request.
        self._anchors = tuple(parse_certificate(anchor.public_bytes(Encoding.DER)) for anchor in anchors)
        self._anchor_thumbprints = frozenset(_thumbprint(anchor) for anchor in self._anchors)
        self._path_builder = path.path_builder(self._anchors)
        self._crls = _newest_by_issuer(crls)

    def with_crls(self, crls: Sequence[Crl]) -> "Verifier":
        """Return a verifier with the same anchors and policy, and these lists in the place of the present ones."""
        other = copy.copy(self)
        other._crls = _newest_by_issuer(crls)
        return other

    def verify(self, leaf_der: bytes, chain_der: Sequence[bytes], at: datetime) -> VerifiedCertificate:
        """Verify a client certificate in full: its own profile, its chain, its dates, its revocation.

        Args:
            leaf_der: The certificate the client proved to hold the key of.
            chain_der: What else it sent, in any order; the anchor may be among it.
            at: The instant of the request.

        Raises:
            CertificateRefused: with the cause for the operator; the caller must not learn it.
        """
        return self.check_now(self.verify_chain(leaf_der, chain_der, at), at)

    def verify_chain(self, leaf_der: bytes, chain_der: Sequence[bytes], at: datetime) -> VerifiedCertificate:
        """Verify everything but revocation. The result may be kept: see `check_now`.

        A certificate is valid from the instant `notBefore` through the whole second `notAfter`, and refused from the
        next second on (RFC 5280, section 4.1.2.5: both ends are inclusive; threats C1). Where OpenSSL 3.0 ends TLS
        before us, it refuses new handshakes already in that last second.

        Raises:
            CertificateRefused: as `verify`.
        """
        _require_small(leaf_der, chain_der)
        leaf = parse_certificate(leaf_der)
        sent = [parse_certificate(der) for der in chain_der]
        name = self._require_profile(leaf)
        for certificate in sent:
            profile.require_sound(certificate)
        _require_valid(leaf.not_valid_before_utc, leaf.not_valid_after_utc, at, "the certificate")

        return _verified(name, self._build_path(leaf, sent, at))

    def check_now(self, verified: VerifiedCertificate, at: datetime) -> VerifiedCertificate:
        """Check what changes with time: the anchor is still ours, the dates of the whole chain, revocation.

        Cheap enough for every request on a kept connection or a resumed session, where TLS verifies nothing
        (threats C15). When it refuses a value that was kept, another chain may still verify: ask `verify` once.

        Returns:
            The same value.

        Raises:
            CertificateRefused: untrusted, expired, not_yet_valid, revoked, crl_missing, crl_stale.
        """
        if verified.anchor_thumbprint not in self._anchor_thumbprints:
            raise CertificateRefused(Cause.UNTRUSTED, "the anchor of its chain is no longer registered")
        _require_valid(verified.chain_not_before_at, verified.chain_not_after_at, at, "a certificate of the chain")
        for issuer_key, serial in verified.revocable:
            self._require_not_revoked(issuer_key, serial, at)
        return verified

    def crls_due(self, at: datetime, within: timedelta = timedelta(days=1)) -> list[Crl]:
        """List the revocation lists that are past their next update or will be soon: time to alarm (threats C9)."""
        return [crl for crl in self._crls.values() if crl.is_stale(at + within)]

    def _require_profile(self, leaf: x509.Certificate) -> str:
        return require_profile(leaf, self.policy)

    def _build_path(
        self, leaf: x509.Certificate, sent: Sequence[x509.Certificate], at: datetime
    ) -> list[x509.Certificate]:
        try:
            chain = path.build_path(self._path_builder, leaf, sent, at)
        except CertificateRefused as refused:
            raise path.explain_failure(leaf, sent, self._anchors_by_name, at) or refused from refused
        if len(chain) == 1 and leaf.issuer != leaf.subject:
            # Its issuer could not revoke it: only what nobody else vouches for may vouch for itself.
            raise CertificateRefused(Cause.UNTRUSTED, "registered as an anchor, but not self-signed: register its CA")
        return chain

    @cached_property
    def _anchors_by_name(self) -> Mapping[x509.Name, Sequence[x509.Certificate]]:
        by_name: dict[x509.Name, list[x509.Certificate]] = {}
        for anchor in self._anchors:
            by_name.setdefault(anchor.subject, []).append(anchor)
        return by_name

    def _require_not_revoked(self, issuer_key: bytes, serial: int, at: datetime) -> None:
        crl = self._crls.get(issuer_key)
        if crl is None:
            if self.policy.crl_required:
                raise CertificateRefused(Cause.CRL_MISSING, f"no revocation list of the issuer {issuer_key.hex()}")
            return
        if serial in crl.revoked:
            raise CertificateRefused(Cause.REVOKED, f"serial {serial:x} is on list {crl.number} of its issuer")
        if self.policy.stale_crl is StaleCrl.REFUSE and crl.is_stale(at):
            raise CertificateRefused(
                Cause.CRL_STALE, f"list {crl.number} of the issuer was due for renewal at {crl.next_update_at}"
            )


def require_profile(leaf: x509.Certificate, policy: Policy) -> str:
    """Check what a client certificate says of itself, whoever signed it, and return its common name.

    Raises:
        CertificateRefused: serial, extension, weak_signature, weak_key, ca_certificate, usage, common_name.
    """
    profile.require_sound(leaf)
    profile.require_known_extensions(leaf)
    if not profile.has_strong_signature(leaf):
        raise CertificateRefused(Cause.WEAK_SIGNATURE, "the certificate is signed over a weak hash")
    profile.require_client_usage(
        leaf,
        absent_extended=policy.accept_absent_extended_key_usage,
        any_extended=policy.accept_any_extended_key_usage,
        absent_basic=policy.accept_absent_key_usage,
    )
    return profile.common_name(leaf)


def _require_small(leaf_der: bytes, chain_der: Sequence[bytes]) -> None:
    if len(chain_der) > MAX_SENT:
        raise CertificateRefused(Cause.CHAIN_TOO_DEEP, f"{len(chain_der)} certificates besides the client's, at most 3")
    total = len(leaf_der) + sum(len(der) for der in chain_der)
    if total > MAX_CERTIFICATE_BYTES:
        raise CertificateRefused(Cause.TOO_LARGE, f"{total} bytes of certificates, at most {MAX_CERTIFICATE_BYTES}")


def _require_valid(not_before_at: datetime, not_after_at: datetime, at: datetime, what: str) -> None:
    # Cutting `at` to its second keeps the whole last second, and works in the year 9999, to which nothing can be added.
    if at.replace(microsecond=0) > not_after_at:
        raise CertificateRefused(Cause.EXPIRED, f"{what} expired at {not_after_at}")
    if at < not_before_at:
        raise CertificateRefused(Cause.NOT_YET_VALID, f"{what} is not valid before {not_before_at}")


def _verified(name: str, chain: Sequence[x509.Certificate]) -> VerifiedCertificate:
    leaf, anchor = chain[0], chain[-1]
    keys = [profile.key_sha256(certificate) for certificate in chain]
    return VerifiedCertificate(
        common_name=name,
        key_sha256=keys[0],
        issuer_key_sha256=keys[1] if len(keys) > 1 else keys[0],
        thumbprint=_thumbprint(leaf),
        serial=leaf.serial_number,
        not_before_at=leaf.not_valid_before_utc,
        not_after_at=leaf.not_valid_after_utc,
        subject=path.shown(leaf.subject),
        issuer=path.shown(leaf.issuer),
        anchor_thumbprint=_thumbprint(anchor),
        chain_not_before_at=max(certificate.not_valid_before_utc for certificate in chain),
        chain_not_after_at=min(certificate.not_valid_after_utc for certificate in chain),
        # The anchor is revoked by taking it out, never by a list of its own.
        revocable=tuple((keys[index + 1], link.serial_number) for index, link in enumerate(chain[:-1])),
    )


def _thumbprint(certificate: x509.Certificate) -> bytes:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def _newest_by_issuer(crls: Sequence[Crl]) -> Mapping[bytes, Crl]:
    newest: dict[bytes, Crl] = {}
    for crl in crls:
        held = newest.get(crl.issuer_key_sha256)
        if held is None or crl.number > held.number:
            newest[crl.issuer_key_sha256] = crl
    return newest
