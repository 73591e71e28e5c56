"""A certificate together with its private key, as a CA of ours hands it out, and how both are written to files."""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

# So that a certificate just issued is good on a machine whose clock is a little behind.
_BACKDATED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when: both ends are whole seconds and belong to it."""

    not_before_at: datetime
    not_after_at: datetime

    @classmethod
    def starting(cls, at: datetime, life: timedelta) -> "Validity":
        """Start a little before that instant."""
        return cls(at - _BACKDATED, at + life)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key, and the certificates between it and the root."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        """What is sent along with it: the certificates between it and the root."""
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in self.intermediates)

    @property
    def pem(self) -> bytes:
        """The certificate, followed by those between it and the root, as a TLS endpoint wants them in one file."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.intermediates))

    @property
    def key_pem(self) -> bytes:
        """The private key, in clear. For a file, use `write`."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, certificate_path: Path, key_path: Path) -> None:
        """Write both as PEM, the key with mode 0600. Neither file may exist: a key is never overwritten.

        Raises:
            FileExistsError: one of them does.
        """
        for path in (certificate_path, key_path):
            if path.exists():
                raise FileExistsError(f"{path} is there already")
        _write_new(key_path, self.key_pem, mode=0o600)
        _write_new(certificate_path, self.pem, mode=0o644)


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    # The mode is set as the file is made: there is no moment in which others could open it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
