"""A small private CA: what `aldaba demo` issues its certificates with, and the tests theirs.

It keeps no record of what it issued. Its key is held in memory and written only where the caller says.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aldaba.crypto.certificates.issued import Issued, PrivateKey, Validity

# An extension, and whether it is critical.
Extension = tuple[x509.ExtensionType, bool]

_CA_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=365)
_CRL_LIFE = timedelta(days=7)

_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def key_usage(*bits: str) -> x509.KeyUsage:
    """Make a key usage of these bits, spelt as `cryptography` does: `key_usage("digital_signature")`."""
    return x509.KeyUsage(**{bit: bit in bits for bit in _KEY_USAGES})


CLIENT_KEY_USAGE = key_usage("digital_signature")


def self_signed_client(
    common_name: str, *, at: datetime | None = None, validity: Validity | None = None, key: PrivateKey | None = None
) -> Issued:
    """Make a client's certificate that depends on no CA: it is good where it is registered itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    validity = validity or Validity.starting(at or datetime.now(UTC), _LIFE)
    builder = _builder(_name([common_name]), _name([common_name]), key, validity, _new_serial())
    extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        *_usages(CLIENT_KEY_USAGE, [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ]
    return Issued(_sign(builder, extensions, key), key)


@dataclass(frozen=True, slots=True)
class Authority(Issued):
    """A CA: a certificate that may sign others, with its key."""

    @classmethod
    def create(
        cls, name: str, *, at: datetime | None = None, validity: Validity | None = None, key: PrivateKey | None = None
    ) -> "Authority":
        """Make a root: self-signed, P-256, good for ten years.

        Args:
            name: Its common name.
            at: The present, if not by the clock of this machine.
            validity: In place of ten years from the present.
            key: In place of a new key.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        validity = validity or Validity.starting(at or datetime.now(UTC), _CA_LIFE)
        builder = _builder(_name([name]), _name([name]), key, validity, _new_serial())
        return cls(_sign(builder, _ca_extensions(key, issuer_key=key, path_length=None), key), key)

    @classmethod
    def from_pem(cls, certificate_pem: bytes, key_pem: bytes) -> "Authority":
        """Read a root written by `write`.

        Raises:
            ValueError: the key is not that of the certificate.
        """
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = load_pem_private_key(key_pem, password=None)
        if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("the private key is not that of the certificate")
        return cls(certificate, key)

    def intermediate(
        self,
        name: str,
        *,
        at: datetime | None = None,
        validity: Validity | None = None,
        key: PrivateKey | None = None,
        path_length: int | None = None,
        extra: Iterable[Extension] = (),
    ) -> "Authority":
        """Make a CA under this one; what it issues brings its certificate along."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        validity = validity or Validity.starting(at or datetime.now(UTC), _CA_LIFE)
        builder = _builder(_name([name]), self.certificate.subject, key, validity, _new_serial())
        extensions = [*_ca_extensions(key, issuer_key=self.key, path_length=path_length), *extra]
        certificate = _sign(builder, extensions, self.key)
        return Authority(certificate, key, self._sent_along)

    def server(self, names: Sequence[str], *, at: datetime | None = None, validity: Validity | None = None) -> Issued:
        """Issue a certificate for a server under these host names and addresses; the first is its common name."""
        return self.client(
            names[0],
            at=at,
            validity=validity,
            extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
            alternative_names=[_alternative_name(name) for name in names],
        )

    def client(
        self,
        common_name: str | Sequence[str],
        *,
        at: datetime | None = None,
        validity: Validity | None = None,
        key: PrivateKey | None = None,
        serial: int | None = None,
        extended_key_usage: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        usage: x509.KeyUsage | None = CLIENT_KEY_USAGE,
        is_ca: bool = False,
        alternative_names: Sequence[x509.GeneralName] = (),
        extra: Iterable[Extension] = (),
    ) -> Issued:
        """Issue a certificate for a client. What is left out is as `Verifier` wants it.

        Args:
            common_name: One name. Several, or none, make a certificate that `Verifier` refuses.
            at: The present, if not by the clock of this machine.
            validity: In place of one year from the present.
            key: In place of a new P-256 key.
            serial: In place of 128 random bits.
            extended_key_usage: The purposes, or None for a certificate without that extension.
            usage: What the key may do, or None for a certificate without that extension.
            is_ca: What its basicConstraints say.
            alternative_names: Its subjectAltName; without names there is none.
            extra: Further extensions, each with whether it is critical.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        validity = validity or Validity.starting(at or datetime.now(UTC), _LIFE)
        names = _name([common_name] if isinstance(common_name, str) else common_name)
        builder = _builder(names, self.certificate.subject, key, validity, serial or _new_serial())
        extensions = [
            (x509.BasicConstraints(ca=is_ca, path_length=None), True),
            *_key_identifiers(key, issuer_key=self.key),
            *_usages(usage, extended_key_usage),
            *_alternative_names(alternative_names),
            *extra,
        ]
        return Issued(_sign(builder, extensions, self.key), key, self._sent_along)

    def crl(
        self,
        revoked: Iterable[int] | Mapping[int, x509.ReasonFlags | None],
        *,
        number: int,
        at: datetime | None = None,
        next_update_at: datetime | None = None,
        extra: Iterable[Extension] = (),
    ) -> bytes:
        """Sign a complete revocation list, in DER.

        Args:
            revoked: The serial numbers, or a mapping from them to the reason that the list states.
            number: Its number; each list must have a higher one than the one before.
            at: The present, if not by the clock of this machine.
            next_update_at: In place of a week from the present.
            extra: Further extensions, each with whether it is critical.
        """
        at = at or datetime.now(UTC)
        reasons = revoked if isinstance(revoked, Mapping) else dict.fromkeys(revoked)
        # All entries at once: adding one copies those before it, which takes minutes for 100,000.
        entries = [_revoked(serial, reason, at) for serial, reason in reasons.items()]
        builder = (
            x509.CertificateRevocationListBuilder(revoked_certificates=entries)
            .issuer_name(self.certificate.subject)
            .last_update(at)
            .next_update(next_update_at or at + _CRL_LIFE)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(_authority_key_identifier(self.key), critical=False)
        )
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, _hash_for(self.key)).public_bytes(Encoding.DER)

    @property
    def _sent_along(self) -> tuple[x509.Certificate, ...]:
        """What this authority's certificates are sent with. A root is not sent: who trusts it has it."""
        if self.certificate.issuer == self.certificate.subject:
            return ()
        return (self.certificate, *self.intermediates)


def _name(common_names: Sequence[str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])


def _new_serial() -> int:
    return secrets.randbits(128) or 1


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, validity: Validity, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(validity.not_before_at)
        .not_valid_after(validity.not_after_at)
    )


def _sign(builder: x509.CertificateBuilder, extensions: Iterable[Extension], key: PrivateKey) -> x509.Certificate:
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, _hash_for(key))


def _hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    match key:
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return None
        case ec.EllipticCurvePrivateKey() if key.key_size > 384:
            return hashes.SHA512()
        case ec.EllipticCurvePrivateKey() if key.key_size > 256:
            return hashes.SHA384()
        case _:
            return hashes.SHA256()


def _ca_extensions(key: PrivateKey, *, issuer_key: PrivateKey, path_length: int | None) -> list[Extension]:
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
        *_key_identifiers(key, issuer_key=issuer_key),
    ]


def _key_identifiers(key: PrivateKey, *, issuer_key: PrivateKey) -> list[Extension]:
    return [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (_authority_key_identifier(issuer_key), False),
    ]


def _authority_key_identifier(issuer_key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())


def _usages(usage: x509.KeyUsage | None, purposes: Sequence[x509.ObjectIdentifier] | None) -> Iterator[Extension]:
    if usage is not None:
        yield usage, True
    if purposes is not None:
        yield x509.ExtendedKeyUsage(purposes), False


def _alternative_names(names: Sequence[x509.GeneralName]) -> Iterator[Extension]:
    if names:
        yield x509.SubjectAlternativeName(names), False


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _revoked(serial: int, reason: x509.ReasonFlags | None, at: datetime) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()
