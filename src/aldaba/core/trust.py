"""The anchors and revocation lists in force, read from the configured files and followed when these change.

A changed file that cannot be used is reported and leaves what was in force before (threats C8, C15).
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

from aldaba.core.proofs import Certificates
from aldaba.crypto.certificates import Cause, CertificateRefused, Crl, Policy, Verifier, load_crl, parse_anchors
from aldaba.errors import Impossible

log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]


class Trust:
    """What client certificates are verified against.

    Raises:
        Impossible: a file is missing or unusable at the start: unknown means no.
    """

    def __init__(self, anchors: Sequence[Path], crls: Sequence[Path], policy: Policy) -> None:
        self._anchor_files = tuple(anchors)
        self._crl_files = tuple(crls)
        self._policy = policy
        self._held: dict[Path, Crl] = {}
        self._seen = self._stamp()
        self._anchors = read_anchors(self._anchor_files)
        for file in self._crl_files:
            self._held[file] = self._read_crl(file, None)
        self._verifier = Verifier(self._anchors, list(self._held.values()), policy=policy)
        self.certificates = Certificates(self._verifier)

    def follow(self) -> bool:
        """Look whether the files have changed, and take over those that are good; return whether anything is new."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        changed = self._follow_anchors()
        for file in self._crl_files:
            changed = self._follow_crl(file) or changed
        if changed:
            self._verifier = Verifier(self._anchors, list(self._held.values()), policy=self._policy)
            self.certificates = Certificates(self._verifier)
        return changed

    def lists_due(self, at: datetime) -> list[str]:
        """Return the revocation lists that end within a day or have ended, in words for an alarm (threats C9)."""
        return [
            f"list {crl.number} of issuer key sha256:{crl.issuer_key_sha256.hex()[:16]} ends at {crl.next_update_at}"
            for crl in self._verifier.crls_due(at)
        ]

    def _follow_anchors(self) -> bool:
        try:
            anchors = read_anchors(self._anchor_files)
        except Impossible as error:
            log.error("the anchors in force stay: a changed file cannot be used", error=str(error))
            return False
        changed = anchors != self._anchors
        self._anchors = anchors
        return changed

    def _follow_crl(self, file: Path) -> bool:
        held = self._held[file]
        try:
            self._held[file] = self._read_crl(file, held)
        except Impossible as error:
            if not isinstance(error.__cause__, CertificateRefused) or error.__cause__.cause is not Cause.CRL_NOT_NEWER:
                log.error("the revocation list in force stays: a changed file cannot be used", error=str(error))
            return False
        log.info("revocation list taken over", file=file.name, number=self._held[file].number)
        return True

    def _stamp(self) -> Stamp:
        found = []
        for file in (*self._anchor_files, *self._crl_files):
            try:
                status = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)

    def _read_crl(self, file: Path, held: Crl | None) -> Crl:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise Impossible(f"mtls.crls: {file} cannot be read: {error.strerror}") from error
        refused = CertificateRefused(Cause.CRL_OTHER_ISSUER, "no anchor is configured")
        for anchor in self._anchors:
            try:
                return load_crl(data, anchor, held)
            except CertificateRefused as error:
                refused = error
                if error.cause not in (Cause.CRL_OTHER_ISSUER, Cause.CRL_BADLY_SIGNED):
                    break
            except ValueError:
                continue
        raise Impossible(f"mtls.crls: {file} is not taken over: {refused.detail}") from refused


def read_anchors(files: Sequence[Path]) -> list[x509.Certificate]:
    """Return the certificates of these PEM files, each of which can vouch for somebody.

    Raises:
        Impossible: a file cannot be read or used, and why.
    """
    anchors: list[x509.Certificate] = []
    for file in files:
        try:
            anchors += parse_anchors(file.read_bytes())
        except OSError as error:
            raise Impossible(f"mtls.anchors: {file} cannot be read: {error.strerror}") from error
        except CertificateRefused as error:
            raise Impossible(f"mtls.anchors: {file} cannot be used: {error.detail}") from error
    return anchors
