"""Partners, their clients, and the credentials that prove a client."""

import hashlib
import unicodedata
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from aldaba.model.networks import Network

LONGEST_NAME = 200


class PartnerStatus(StrEnum):
    """Whether an organisation may use anything at all."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ClientStatus(StrEnum):
    """Whether a machine identity may act."""

    ACTIVE = "active"
    DISABLED = "disabled"


class CredentialStatus(StrEnum):
    """Whether a credential may prove its client."""

    ACTIVE = "active"
    REVOKED = "revoked"


class CredentialKind(StrEnum):
    """What a credential is made of."""

    API_KEY = "api_key"
    CERTIFICATE = "certificate"


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation that may own clients."""

    id: str
    name: str
    tax_id: str | None = None
    contacts: tuple[str, ...] = ()
    status: PartnerStatus = PartnerStatus.ACTIVE
    created_at: datetime


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What proves a client, in one version.

    `digest` belongs to an API key (keyed hash, never the key); the `*_sha256` pins and `certificate` to a
    certificate: it is recognised by its own key, or by the key of the issuer that signed it.
    """

    id: str
    client_id: str
    kind: CredentialKind
    version: int
    status: CredentialStatus = CredentialStatus.ACTIVE
    hint: str
    digest: bytes | None = None
    key_sha256: str | None = None
    issuer_key_sha256: str | None = None
    certificate: str | None = None
    not_before_at: datetime | None = None
    not_after_at: datetime | None = None
    created_at: datetime
    revoked_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Credential(id={self.id!r}, kind={self.kind!r}, version={self.version}, status={self.status!r})"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A machine identity of a partner: a user name, a certificate CN, a client id.

    `networks` is None when any address may call, and an empty tuple when none may.
    """

    id: str
    partner_id: str
    name: str
    services: tuple[str, ...]
    networks: tuple[Network, ...] | None = None
    roles: tuple[str, ...] = ("ROLE_USER",)
    status: ClientStatus = ClientStatus.ACTIVE
    token_lifetime: timedelta | None = None
    requests_per_minute: int | None = None
    tokens_not_before_at: datetime | None = None
    created_at: datetime
    credentials: tuple[Credential, ...] = ()

    def credential(self, credential_id: str) -> Credential | None:
        """Return this client's credential of that id, None where it has no such one."""
        for credential in self.credentials:
            if credential.id == credential_id:
                return credential
        return None


def canonical_name(name: str) -> str:
    """Return the one form under which a client's name is unique and its failures are counted (threats B3).

    Case, surrounding and doubled spaces and Unicode compatibility forms do not make another account. What is longer
    than a name can be, or cannot be stored, has a short form that is as much its own (threats B8).
    """
    if name.isascii():
        canonical = " ".join(name.lower().split())
    else:
        canonical = " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())
    if len(canonical) <= LONGEST_NAME and canonical.isprintable():
        return canonical
    return f"#{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"
