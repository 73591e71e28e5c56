"""Give clients credentials, rotate and revoke them, and take over those that other systems have given out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from aldaba.core.clients import client_entry, find_client
from aldaba.core.registrar import Note, Registrar
from aldaba.crypto import hashing
from aldaba.crypto.certificates import CertificateRefused, key_sha256, parse_certificate_upload, require_profile
from aldaba.crypto.hashing import Secret
from aldaba.errors import Impossible
from aldaba.model.ids import new_id
from aldaba.model.parties import Client, Credential, CredentialKind, CredentialStatus, canonical_name
from aldaba.store import clients
from aldaba.store.database import Change

KEY_PREFIX = "aldk"


class NewKey(NamedTuple):
    """A new API key: its registered form, and the key itself, which is shown once and kept nowhere."""

    credential: Credential
    secret: Secret


class ExistingKey(NamedTuple):
    """A key given out by another system: in clear, or as its SHA-256 in hexadecimal."""

    client: str
    key: str | None
    sha256: str | None


async def add_api_key(
    registrar: Registrar, name: str, *, not_before_at: datetime | None = None, not_after_at: datetime | None = None
) -> NewKey:
    """Give a client a further API key."""
    client = await find_client(registrar, name)
    secret = hashing.new_secret(KEY_PREFIX)
    digest = hashing.keyed_hash(registrar.secrets.pepper, secret.reveal())

    def work(change: Change, note: Note) -> Credential:
        credential = _api_key(change.connection, registrar, client, digest, str(secret), not_before_at, not_after_at)
        _insert(change, note, client, credential)
        return credential

    return NewKey(await registrar.change("credential.add", work), secret)


async def rotate_api_key(registrar: Registrar, name: str, *, overlap: timedelta | None = None) -> NewKey:
    """Give a client a new API key, and end the ones it has.

    Args:
        overlap: how long the old ones go on. Without it the shortest that the client's services state; zero ends them
            at once, and with them the tokens issued under them (fleet sheet, section 9, row 9).
    """
    client = await find_client(registrar, name)
    if overlap is None:
        overlap = min((registrar.services[service].old_key_lives for service in client.services
                       if service in registrar.services), default=timedelta(0))  # fmt: skip
    secret = hashing.new_secret(KEY_PREFIX)
    digest = hashing.keyed_hash(registrar.secrets.pepper, secret.reveal())

    def work(change: Change, note: Note) -> Credential:
        at = registrar.clock.now()
        for old in clients.credentials_of(change.connection, client.id):
            if old.kind is CredentialKind.API_KEY and old.status is CredentialStatus.ACTIVE:
                _end(change.connection, old, at, overlap)
        credential = _api_key(change.connection, registrar, client, digest, str(secret))
        _insert(change, note, client, credential)
        note.detail |= {"old_key_lives_s": int(overlap.total_seconds())}
        return credential

    return NewKey(await registrar.change("credential.rotate", work), secret)


def _end(connection: Connection, old: Credential, at: datetime, overlap: timedelta) -> None:
    if not overlap:
        clients.revoke_credential(connection, old.id, at=at)
    elif old.not_after_at is None or old.not_after_at > at + overlap:
        clients.end_credential(connection, old.id, not_after_at=at + overlap)


async def add_certificate(registrar: Registrar, name: str, upload: bytes, *, by_issuer: bool = False) -> Credential:
    """Register a certificate for a client: its key, or, with `by_issuer`, every certificate that the uploaded CA signs.

    Raises:
        Impossible: it is not exactly one certificate, not one for client authentication, or its CN is not the client's
            name.
    """
    client = await find_client(registrar, name)
    try:
        certificate = parse_certificate_upload(upload)
        # What would be refused at every request is refused here, where somebody reads why.
        cn = None if by_issuer else require_profile(certificate, registrar.policy)
    except CertificateRefused as error:
        raise Impossible(f"this is not a certificate to register: {error.detail}") from error
    if cn is not None and cn != client.name:
        raise Impossible(
            f"the certificate's CN is {cn!r}, and the client's name {client.name!r}; they must be the same"
        )
    pin = key_sha256(certificate).hex()

    def work(change: Change, note: Note) -> Credential:
        credential = Credential(
            id=new_id(),
            client_id=client.id,
            kind=CredentialKind.CERTIFICATE,
            version=_next_version(change.connection, client, CredentialKind.CERTIFICATE),
            hint=("issuer key " if by_issuer else "key ") + pin[:16],
            key_sha256=None if by_issuer else pin,
            issuer_key_sha256=pin if by_issuer else None,
            certificate=certificate.public_bytes(Encoding.PEM).decode(),
            not_after_at=certificate.not_valid_after_utc if by_issuer else None,
            created_at=registrar.clock.now(),
        )
        _insert(change, note, client, credential)
        return credential

    return await registrar.change("credential.add", work)


async def revoke_credential(registrar: Registrar, credential_id: str) -> None:
    """Revoke a credential for good, and with it the tokens issued under it.

    Raises:
        Impossible: there is none of that id.
    """

    def work(change: Change, note: Note) -> None:
        client = clients.client_of_credential(change.connection, credential_id)
        if client is None:
            raise Impossible(f"there is no credential {credential_id!r}; 'aldaba credential list' shows them")
        clients.revoke_credential(change.connection, credential_id, at=registrar.clock.now())
        change.touch(client_entry(client))
        note.partner, note.client, note.credential = client.partner_id, client.name, credential_id

    await registrar.change("credential.revoke", work)


async def import_api_keys(registrar: Registrar, keys: Sequence[ExistingKey]) -> list[Credential]:
    """Take over API keys that clients already use, all or none.

    Raises:
        Impossible: the line that cannot be taken over, and why.
    """
    pepper = registrar.secrets.pepper
    digests = [_digest(pepper, line, key) for line, key in enumerate(keys, 1)]

    def work(change: Change, note: Note) -> list[Credential]:
        added = []
        for line, (key, digest) in enumerate(zip(keys, digests, strict=True), 1):
            client = clients.load_client(change.connection, canonical_name(key.client))
            if client is None:
                raise Impossible(f"line {line}: there is no client {key.client!r}")
            if any(known.digest == digest for known in client.credentials):
                # Which of the two a request proves would be chance, and one that was revoked would return.
                raise Impossible(f"line {line}: client {client.name!r} has this key already, or had it")
            credential = _api_key(change.connection, registrar, client, digest, "imported")
            clients.insert_credential(change.connection, credential)
            change.touch(client_entry(client))
            added.append(credential)
        note.detail = {"imported": len(added)}
        return added

    return await registrar.change("credential.import", work)


def _digest(pepper: bytes, line: int, key: ExistingKey) -> bytes:
    try:
        if key.key is not None and key.sha256 is None:
            return hashing.keyed_hash(pepper, key.key)
        if key.sha256 is not None and key.key is None:
            return hashing.keyed_hash_of_sha256(pepper, bytes.fromhex(key.sha256))
    except ValueError as error:
        raise Impossible(f"line {line}: {error}") from error
    raise Impossible(f"line {line}: either the key or its SHA-256")


def _api_key(
    connection: Connection,
    registrar: Registrar,
    client: Client,
    digest: bytes,
    hint: str,
    not_before_at: datetime | None = None,
    not_after_at: datetime | None = None,
) -> Credential:
    return Credential(
        id=new_id(),
        client_id=client.id,
        kind=CredentialKind.API_KEY,
        version=_next_version(connection, client, CredentialKind.API_KEY),
        hint=hint,
        digest=digest,
        not_before_at=not_before_at,
        not_after_at=not_after_at,
        created_at=registrar.clock.now(),
    )


def _next_version(connection: Connection, client: Client, kind: CredentialKind) -> int:
    versions = [known.version for known in clients.credentials_of(connection, client.id) if known.kind is kind]
    return max(versions, default=0) + 1


def _insert(change: Change, note: Note, client: Client, credential: Credential) -> None:
    clients.insert_credential(change.connection, credential)
    change.touch(client_entry(client))
    note.partner, note.client, note.credential = client.partner_id, client.name, credential.id
    note.detail = {"kind": credential.kind.value, "version": credential.version, "hint": credential.hint}
